"""A server of ``testbed/`` on loopback: its process, its port, its directory."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from testbed.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

READY_SECONDS = 60.0
_GET = Path(__file__).resolve().parent / "get"
_OK = range(200, 300)


class EngineError(Exception):
    """A server did not do what was asked; the message holds its answer."""


@cache
def unpacked(name: str) -> Path:
    """Return the top folder of the archive of engine ``name``, unpacked in the cache."""
    command: list[str | Path] = [sys.executable, _GET, "--unpacked", name]
    got = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Path(got.stdout.decode().strip())


class LocalServer:
    """One process. Data stays in the directory, so a kill and a resume act as a crash does."""

    name: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        """Return what to run."""
        raise NotImplementedError

    def ready(self) -> None:
        """Raise OSError, HTTPException or EngineError while it takes no requests yet."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; raises EngineError when it does not run."""
        if self._process is None:
            raise EngineError(f"{self.name} does not run")
        return self._process.pid

    def resume(self) -> None:
        """Start the process on the same port and data and wait until it is ready."""
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        self._wait()

    def stop(self) -> None:
        """End it in order; harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop."""
        self.stop()

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        """Return the answer's body; raise EngineError unless its status is 2xx."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        if response.status not in _OK:
            raise EngineError(f"{method} {path}: {response.status} {answer.decode()[:500]}")
        return answer

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                self.ready()
            except (OSError, http.client.HTTPException, EngineError):
                time.sleep(0.05)
            else:
                return
        self.kill()
        tail = (self.directory / f"{self.name}.log").read_text(errors="replace")[-2000:]
        raise EngineError(f"{self.name} did not get ready; its log ends:\n{tail}")

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None
