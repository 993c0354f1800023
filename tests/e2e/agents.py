"""Real agents as processes: one configuration, key and spool each, all on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hostpulse_agent import report, status
from tests.e2e.services import environment
from tests.support.polling import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AGENT = Path(sys.executable).with_name("hostpulse-agent")
_CONFIG = """\
server_id = "{server_id}"
[server]
urls = ["{url}"]
key_file = "{folder}/agent.key"
[sampling]
interval = "{interval}s"
[spool]
path = "{folder}/spool.db"
min_free_bytes = "1MiB"
"""


@dataclass(frozen=True)
class Account:
    """What an agent that has ended says: seqs up to ``acknowledged`` arrived, the rest waits."""

    acknowledged: int
    waiting: int
    dropped: int


class Agents:
    """One agent a server id, each in a folder of its own."""

    def __init__(self, folder: Path, url: str, keys: Mapping[str, str], interval: int) -> None:
        self._folders = {server_id: folder / server_id for server_id in keys}
        for server_id, home in self._folders.items():
            home.mkdir()
            (home / "agent.key").touch(0o600)
            (home / "agent.key").write_text(keys[server_id])
            (home / "agent.toml").write_text(
                _CONFIG.format(server_id=server_id, url=url, folder=home, interval=interval)
            )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run them meanwhile; each is asked to end, which it does once it said good-bye."""
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for home in self._folders.values():
                with (home / "agent.log").open("wb") as log:
                    command = [str(_AGENT), "--config", str(home / "agent.toml"), "run"]
                    processes.append(
                        subprocess.Popen(command, stdout=log, stderr=log, env=environment())
                    )
            yield
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(DEADLINE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def accounts(self) -> dict[str, Account]:
        """Return server id → what its ended agent says."""
        found = {}
        for server_id, home in self._folders.items():
            spool = str(home / "spool.db")
            content = report.spool(spool)
            found[server_id] = Account(
                acknowledged=status.read(status.path_beside(spool))["acknowledged"]["seq"],
                waiting=sum(stream["samples"] for stream in content["streams"]),
                dropped=content["state"].get("dropped_total", 0),
            )
        return found
