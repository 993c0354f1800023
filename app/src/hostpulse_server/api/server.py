"""The api under gunicorn: one master, threads in each worker, its state reported to systemd."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from hostpulse_server.api.app import create_app
from hostpulse_server.api.problems import CONTENT_TYPE
from hostpulse_server.api.services import EXTENSION
from hostpulse_server.runtime.sd_notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from hostpulse_server.config import ServerConfig

GRACEFUL_SECONDS = 25
STUCK_SECONDS = 60
# longer than a proxy keeps an idle connection, so that the proxy closes first
KEEPALIVE_SECONDS = 75
CONNECTIONS = 4096


class _Logger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Hands gunicorn's own lines to the process's log; requests are logged by the app."""

    def setup(self, cfg: Any) -> None:
        """Add no handlers: the root has one."""
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.setLevel(logging.INFO)

    def access(self, *_args: Any) -> None:
        """Log nothing."""

    def close_on_exec(self) -> None:
        """Nothing is open here."""


class _Sink:
    """Takes the place of a client's socket, to learn what gunicorn would have answered."""

    def __init__(self) -> None:
        self.data = b""

    def sendall(self, data: bytes) -> None:
        self.data += data

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, _blocking: Any) -> None:
        return


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A threaded worker whose own errors are problems, too (a request line too long, …)."""

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Return whether the connection can be used again; drain what the view left of the body.

        Draining sets the socket's timeout twice. A body of known length that was read to its end,
        which is every sample, needs none of that.
        """
        body = getattr(conn.parser.mesg, "body", None)
        if keepalive and getattr(getattr(body, "reader", None), "length", None) == 0:
            return True
        drained: bool = super()._keepalive_after(conn, keepalive)
        return drained

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that never reached the app."""
        sink = _Sink()
        super().handle_error(req, sink, addr, exc)
        try:
            status = HTTPStatus(int(sink.data.split(b" ", 2)[1]))
        except (IndexError, ValueError):
            status = HTTPStatus.BAD_REQUEST
        request_id = os.urandom(8).hex()
        body = json.dumps(
            {
                "type": "about:blank",
                "title": status.phrase,
                "status": status.value,
                "detail": "The request could not be read: " + status.description or "see RFC 9110.",
            }
        ).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            return


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """A master that reports to systemd: ready once a worker accepts, alive while it loops."""

    def __init__(self, application: Application) -> None:
        self._notifier = Notifier(dict(os.environ))
        # gunicorn would report READY before any worker has loaded the application
        os.environ.pop("NOTIFY_SOCKET", None)
        self._accepting = application.accepting
        self._announced = False
        super().__init__(application)

    def murder_workers(self) -> None:
        """Look after workers; called every second at least."""
        super().murder_workers()
        if not self._announced and _arrived(self._accepting):
            self._announced = True
            self._notifier.ready()
        self._notifier.alive()

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002  # gunicorn's signature
        """Stop workers, letting them finish their requests when ``graceful``."""
        self._notifier.stopping()
        super().stop(graceful)


def _arrived(pipe: int) -> bool:
    try:
        return bool(os.read(pipe, 64))
    except BlockingIOError:
        return False


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """The api as gunicorn sees it; ``make`` is called in every worker, after the fork."""

    def __init__(self, config: ServerConfig, make: Callable[[ServerConfig], Flask]) -> None:
        self._config = config
        self._make = make
        self.accepting, self._accepted = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        super().__init__()

    def load_config(self) -> None:
        """Translate our configuration into gunicorn's."""
        api = self._config.api
        settings = {
            "bind": api.bind,
            "workers": api.workers,
            "threads": api.threads,
            "worker_class": Worker,
            "worker_connections": CONNECTIONS,
            "keepalive": KEEPALIVE_SECONDS,
            "timeout": STUCK_SECONDS,
            "graceful_timeout": GRACEFUL_SECONDS,
            "limit_request_line": 8190,
            "limit_request_fields": 64,
            "limit_request_field_size": 8190,
            "logger_class": _Logger,
            "control_socket_disable": True,
            "proc_name": "hostpulse-api",
            "post_worker_init": self._report_accepting,
            "worker_exit": _close,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application in this worker."""
        return self._make(self._config)

    def run(self) -> None:
        """Serve until a signal says otherwise; exits the process."""
        _Arbiter(self).run()

    def _report_accepting(self, worker: Any) -> None:
        # what is loaded now stays: walking through it again and again stops all threads for 30 ms
        gc.collect()
        gc.freeze()
        os.write(self._accepted, b"1")
        # a signal that changes nothing wakes the master's loop at once
        os.kill(worker.ppid, signal.SIGCHLD)


def _close(_arbiter: Any, worker: Any) -> None:
    app = getattr(worker, "wsgi", None)
    extensions = getattr(app, "extensions", {})
    if EXTENSION in extensions:
        extensions[EXTENSION].journal.close()


def serve(config: ServerConfig, make: Callable[[ServerConfig], Flask] = create_app) -> None:
    """Run the api in the foreground until SIGTERM or SIGINT; exits the process."""
    Application(config, make).run()
