"""``hostpulse-server dev``: everything in one process, to look at and to develop against.

The api runs on werkzeug's threaded server and not under gunicorn: gunicorn forks its workers and
wants the main thread's signals, while here api, shipper, alert engine and command share one process
that Ctrl-C ends. The application, journal, shipper, engine and store are the ones that production
runs.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import signal
import socket
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hostpulse_server.commands.options import config_option, config_path, open_registry, secret_sink
from hostpulse_server.errors import ConfigError, HostpulseError
from hostpulse_server.runtime import logs, signals
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.serving import BaseWSGIServer

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.registry import Registry

DATA_DIR = Path("hostpulse-dev")
DEFAULT_BIND = "127.0.0.1:8080"

_SERVER_TOML = """\
# Made by "hostpulse-server dev"; yours to change, never written again.
data_dir = "{data_dir}"

[api]
bind = "{bind}"

[journal]
min_free_bytes = "64MiB"

[alerts]
rules = ["{data_dir}/rules/*.yml"]
"""
_AGENT_TOML = """\
# Made by "hostpulse-server dev"; yours to change, never written again.
server_id = "{server_id}"

[server]
urls = ["{url}"]
key_file = "{data_dir}/agent.key"

[spool]
path = "{data_dir}/spool.db"
min_free_bytes = "64MiB"
"""
_WELCOME = """\
hostpulse is at {url}/docs, its data in {data_dir}. Ctrl-C stops it.

Add this host and run an agent on it, in another terminal:
  hostpulse-server servers add {server_id} --config {server_toml} --key-file {data_dir}/agent.key
  hostpulse-agent run --config {agent_toml}

Look at it:
  hostpulse-server servers list --config {server_toml}
  curl -H @<(sed 's/^/Authorization: Bearer /' {admin_key}) \\
    '{url}/api/v1/metrics?measurement=cpu&field=usage_percent&start=-5m'
"""

log = logging.getLogger(__name__)


@click.command()
@click.option("--bind", metavar="ADDRESS:PORT", help=f"Where to listen (default {DEFAULT_BIND}).")
@config_option
@click.pass_context
def dev(ctx: click.Context, *, bind: str | None) -> None:
    """Run everything in one process, in the foreground; needs no configuration.

    Without --config its data, keys and configuration are in ./hostpulse-dev.
    """
    config = _configure(config_path(ctx), bind)
    stop = threading.Event()
    signals.listen({signal.SIGTERM: stop.set, signal.SIGINT: stop.set})
    with ExitStack() as stack:
        _upgrade(config)
        logs.setup()  # after alembic, which explains itself at length
        registry = stack.enter_context(open_registry(config))
        server = stack.enter_context(closing(_listen(config, registry, stack)))
        _introduce(config, registry, server.port)
        _work(config, server, stop)
    click.echo("stopped", err=True)


def _configure(path: Path | None, bind: str | None) -> ServerConfig:
    """Load ``path``, by default a configuration of our own that is made when it is missing."""
    from hostpulse_server.config import load  # noqa: PLC0415 - keeps ``--help`` fast

    made = None
    if path is None:
        data_dir = DATA_DIR.absolute()
        path = data_dir / "server.toml"
        if not path.exists():
            data_dir.mkdir(mode=0o700, exist_ok=True)
            (data_dir / "rules").mkdir(exist_ok=True)
            made = _SERVER_TOML.format(data_dir=data_dir, bind=DEFAULT_BIND)
            path.write_text(made)
    # as a variable, --bind is checked like any other value
    environ = {**os.environ, "HOSTPULSE_API_BIND": bind} if bind else os.environ
    config = load(path, environ)
    if made and bind:  # only now is it known to be an address
        path.write_text(made.replace(DEFAULT_BIND, bind))
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return dataclasses.replace(config, api=dataclasses.replace(config.api, workers=1))


def _upgrade(config: ServerConfig) -> None:
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast

    engine = state.open_engine(config.state.url)
    try:
        state.upgrade(engine)
    finally:
        engine.dispose()


def _listen(config: ServerConfig, registry: Registry, stack: ExitStack) -> _Server:
    from hostpulse_server.api.app import create_app  # noqa: PLC0415 - loads Flask
    from hostpulse_server.journal import open_journal  # noqa: PLC0415 - keeps ``--help`` fast

    journal = stack.enter_context(closing(open_journal(config, SYSTEM)))
    app = create_app(config, registry=registry, journal=journal)
    return _Server(config, app)


class _Server:
    """werkzeug's server, on its socket before any thread runs, so that a taken port is one line."""

    def __init__(self, config: ServerConfig, app: Any) -> None:
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415 - as above

        class Handler(WSGIRequestHandler):
            """Keeps connections open and leaves the log to the application."""

            protocol_version = "HTTP/1.1"

            def log_request(self, *_: Any) -> None:
                return

            def log(self, _type: str, message: str, *args: Any) -> None:
                log.info(message, *args)

        family = socket.AF_INET6 if ":" in config.api.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((config.api.host, config.api.port))
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on {config.api.bind}: {error.strerror}; stop what has the port or "
                "name another with --bind"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        self._server: BaseWSGIServer = make_server(
            config.api.host,
            self.port,
            app,
            threaded=True,
            request_handler=Handler,
            fd=self._socket.fileno(),
        )

    def serve(self) -> None:
        """Answer until ``shutdown``."""
        self._server.serve_forever(poll_interval=0.1)

    def shutdown(self) -> None:
        """Make ``serve`` return."""
        self._server.shutdown()

    def close(self) -> None:
        """Close the socket."""
        self._server.server_close()
        self._socket.close()


def _work(config: ServerConfig, server: _Server, stop: threading.Event) -> None:
    """Run api, shipper and alert engine until ``stop`` is set or one gives up, which is raised."""
    from hostpulse_server.services.alert_engine import alert  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.services.shipper import ship  # noqa: PLC0415 - as above

    failures: list[HostpulseError] = []

    def working(work: Callable[[ServerConfig, threading.Event], None]) -> None:
        try:
            work(config, stop)
        except HostpulseError as error:
            failures.append(error)
        finally:
            stop.set()

    threads = [
        threading.Thread(target=working, args=(ship,), name="shipper"),
        threading.Thread(target=working, args=(alert,), name="alerts"),
        threading.Thread(target=server.serve, name="api"),
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    server.shutdown()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _introduce(config: ServerConfig, registry: Registry, port: int) -> None:
    """Make what a first look needs, once, and say where everything is."""
    shown = {
        "url": f"http://{_reachable(config.api.host)}:{port}",
        "data_dir": _short(config.data_dir),
        "server_id": _server_id(),
        "server_toml": _short(config.source or config.data_dir / "server.toml"),
        "agent_toml": _short(config.data_dir / "agent.toml"),
        "admin_key": _short(config.data_dir / "admin.key"),
    }
    admin_key = config.data_dir / "admin.key"
    if not admin_key.exists():
        with secret_sink(admin_key) as deliver:
            deliver(registry.create_key("admin").text)
    agent_toml = config.data_dir / "agent.toml"
    if not agent_toml.exists():
        agent_toml.write_text(_AGENT_TOML.format(**{**shown, "data_dir": config.data_dir}))
    click.echo(_WELCOME.format(**shown))
    if shown["url"] not in agent_toml.read_text():
        click.echo(f'{shown["agent_toml"]} names another address: set urls = ["{shown["url"]}"]\n')


def _reachable(host: str) -> str:
    """Return ``host`` as part of a URL; a wildcard address is reached on the loopback."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a look-up, nothing is bound
    host = everywhere.get(host, host)
    return f"[{host}]" if ":" in host else host


def _short(path: Path) -> str:
    """Return ``path`` as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _server_id() -> str:
    """Return this host's name if it can be a server id."""
    name = socket.gethostname().lower()
    return name if re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?", name) else "this-host"
