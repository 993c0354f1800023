"""Handle of one helper process: starts it, sends requests, detects that it is stuck."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import NamedTuple, Union

from hostpulse_agent.collectors.procfs import read_or_none

_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "statvfs_worker.py")


class StatResult(NamedTuple):
    """Sizes of a filesystem in bytes, inodes in numbers; ``directory``: is its mount point one."""

    directory: bool
    total: int
    free: int
    available: int
    inodes: int
    inodes_free: int


StatvfsAnswer = Union[StatResult, OSError]


class WorkerStuckError(Exception):
    """The helper did not answer in time; it may still do so later."""


class WorkerGoneError(Exception):
    """The helper process has ended."""


class WorkerProcess:
    """A helper process and the two pipes to it."""

    def __init__(self) -> None:
        """Start the process. Raises ``OSError``."""
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", _PROGRAM],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs_in, 0),
                    (os.POSIX_SPAWN_DUP2, theirs_out, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
            )
        except OSError:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        self._poll = select.poll()
        self._poll.register(ours_in, select.POLLIN)
        self._buffer = b""
        self._ready = False

    def wait_ready(self, until: float) -> None:
        """Wait for the process to be up. Raises ``WorkerStuckError``, ``WorkerGoneError``."""
        if not self._ready:
            self._line(until)
            self._ready = True

    def ask(self, path: str, until: float) -> StatvfsAnswer:
        """Request statvfs of a path and wait until monotonic ``until`` (seconds).

        Raises ``WorkerStuckError`` (then only ``wait`` makes sense) and ``WorkerGoneError``.
        """
        try:
            os.write(self._out, os.fsencode(path) + b"\0")
        except OSError as error:
            raise WorkerGoneError from error
        return self.wait(until)

    def wait(self, until: float) -> StatvfsAnswer:
        """Continue to wait for the answer to the last ``ask``; raises as ``ask``."""
        kind, *numbers = self._line(until).split()
        if kind == b"e":
            code = int(numbers[0])
            return OSError(code, os.strerror(code))
        directory, *sizes = map(int, numbers)
        return StatResult(bool(directory), *sizes)

    def starved(self) -> bool:
        """Return whether the process waits for CPU rather than for a filesystem."""
        data = read_or_none(f"/proc/{self.pid}/stat") or b""
        return data[data.rfind(b")") + 2 :][:1] == b"R"

    def kill(self) -> bool:
        """Kill the process; False while the kernel still holds it (see ``reap``)."""
        os.close(self._in)
        os.close(self._out)
        os.kill(self.pid, signal.SIGKILL)
        return reap(self.pid)

    def _line(self, until: float) -> bytes:
        while b"\n" not in self._buffer:
            patience = max(0.0, until - time.monotonic())
            if not self._poll.poll(patience * 1000):
                raise WorkerStuckError
            data = os.read(self._in, 4096)
            if not data:
                raise WorkerGoneError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def reap(pid: int) -> bool:
    """Reap a killed helper; False while the kernel still holds it."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
