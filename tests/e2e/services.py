"""The server's services as processes of their own, on a configuration that a test makes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from testbed.ports import free_port
from tests.policy.repository import ROOT
from tests.support.polling import DEADLINE, wait_until

from hostpulse_server.config import load
from hostpulse_server.journal import open_journal
from hostpulse_server.registry import Registry
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.state import open_engine, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostpulse_server.config import ServerConfig

LONG = os.environ.get("HOSTPULSE_TRIALS") == "long"
_UNIT = ROOT / "roles/hostpulse_server/templates/hostpulse-service.service.j2"
_FOREIGN = re.compile("COVERAGE_|PYTHONDONTWRITEBYTECODE")
_SERVER = Path(sys.executable).with_name("hostpulse-server")


def environment() -> dict[str, str]:
    """Return the environment that services have in production, without coverage.

    They start from byte code, as installed ones do, with the settings of their unit.
    """
    found = re.search(r"^Environment=(.*)$", _UNIT.read_text(), re.MULTILINE)
    assert found is not None
    unit = dict(item.split("=", 1) for item in found[1].split())
    ours = {name: text for name, text in os.environ.items() if not _FOREIGN.match(name)}
    return {**ours, **unit}


@dataclass(frozen=True)
class Site:
    """One server's configuration, data and address."""

    path: Path
    config: ServerConfig

    @classmethod
    def make(cls, folder: Path, more: str = "") -> Site:
        """Make a configuration in ``folder``, with ``more`` TOML at its end, and its database."""
        path = folder / "server.toml"
        path.write_text(
            f'data_dir = "{folder}"\n[api]\nbind = "127.0.0.1:{free_port()}"\n'
            f'rate_limit = "1000000/second"\n[journal]\nmin_free_bytes = "1MiB"\n{more}'
        )
        config = load(path, {})
        engine = open_engine(config.state.url)
        upgrade(engine)
        engine.dispose()
        return cls(path, config)

    @property
    def url(self) -> str:
        """Where the api listens."""
        return f"http://{self.config.api.bind}"

    def register(self, server_ids: Iterable[str]) -> dict[str, str]:
        """Add servers; return id → key."""
        with self._registry() as registry:
            added = [registry.add({"id": server_id}) for server_id in server_ids]
        return {one.server.id: one.key.text for one in added if one.key is not None}

    def reader_key(self) -> str:
        """Make a key that reads."""
        with self._registry() as registry:
            return registry.create_key("reader").text

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        engine = open_engine(self.config.state.url)
        try:
            yield Registry(engine)
        finally:
            engine.dispose()

    def start(self, service: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a service in a process group of its own; what it says goes to ``SERVICE.log``."""
        with (self.config.data_dir / f"{service}.log").open("ab") as log:
            return subprocess.Popen(
                [_SERVER, "--config", self.path, service],
                stdout=log,
                stderr=log,
                env={**environment(), **variables},
                process_group=0,
            )

    @contextmanager
    def running(self, service: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """Give a service that runs meanwhile, killed at the end."""
        with self.start(service, **variables) as process:
            try:
                yield process
            finally:
                kill(process)

    def await_api(self) -> None:
        """Return once the api takes requests."""
        wait_until(lambda: self.get("/readyz")[0] == 200, "the api gets ready")

    def get(self, path: str, key: str = "") -> tuple[int, Any]:
        """Return status and JSON of a request, status 0 when nobody answers."""
        try:
            answer = requests.get(self.url + path, headers={"X-API-Key": key}, timeout=DEADLINE)
        except requests.ConnectionError:
            return 0, None
        return answer.status_code, answer.json()

    def newest_entry(self) -> int:
        """Return the id of the journal's newest entry, 0 when the shipper needs none of them."""
        with closing(open_journal(self.config, SYSTEM)) as journal:
            return journal.stats().newest_id

    def shipped_to(self) -> int:
        """Return up to where everything of the journal is dealt with."""
        status = LastSeenReader(self.config.paths.shipper).status()
        return 0 if status is None else status.position

    def await_shipped(self, seconds: float = DEADLINE) -> None:
        """Return once all that the journal has now is shipped."""
        newest = self.newest_entry()
        what = f"the shipper deals with entry {newest}; see {self.config.data_dir / 'ship.log'}"
        wait_until(lambda: self.shipped_to() >= newest, what, seconds)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a service and all its processes as a crash does; harmless when it has ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
