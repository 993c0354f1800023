"""``statvfs`` with a deadline: the calls, which may hang, are made in a helper process.

``statvfs`` on a dead network mount blocks its process for good. So a helper process makes the
call. If it does not answer in time, that helper keeps waiting as the *watcher* of that one mount,
and a new helper takes its place. The mount is reported as hung, at no cost, until its watcher
answers. The number of watchers is limited; beyond it a stuck helper is killed, and its mount is
tried again only after ``retry_s``.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Union

from hostpulse_agent.collectors.worker_process import (
    StatResult,
    StatvfsAnswer,
    WorkerGoneError,
    WorkerProcess,
    WorkerStuckError,
    reap,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

__all__ = ["HUNG", "StatResult", "StatvfsClient"]

HUNG: Literal["hung"] = "hung"
Result = Union[StatvfsAnswer, "Literal['hung']"]

# A mount is reported as hung after this part of the call's deadline, so that one call can find
# several hung mounts.
_PATIENCE = 1 / 3


class StatvfsClient:
    """Client of the helper processes: the one in use, and the watchers of hung mounts."""

    def __init__(self, *, max_watchers: int = 4, retry_s: float = 300.0) -> None:
        """Start no process; the first call does."""
        self._max_watchers = max_watchers
        self._retry_s = retry_s
        self._worker: WorkerProcess | None = None
        self._watchers: dict[str, WorkerProcess] = {}
        self._retry_at: dict[str, float] = {}
        self._dying: dict[int, str] = {}

    def statvfs(self, paths: Iterable[str], deadline_s: float) -> dict[str, Result]:
        """Return for every path its ``StatResult``, ``HUNG``, or the ``OSError`` it gave.

        Takes at most ``deadline_s`` seconds. Each call names all current mounts: the state of
        others is dropped. Raises ``OSError`` when no helper can be started.
        """
        end = time.monotonic() + deadline_s
        wanted = list(paths)
        self._tidy(set(wanted))
        return {path: self._result(path, end, deadline_s * _PATIENCE) for path in wanted}

    def pids(self) -> list[int]:
        """Return the process ids of the helpers that live, for accounting."""
        workers = list(self._watchers.values())
        if self._worker is not None:
            workers.append(self._worker)
        return [worker.pid for worker in workers]

    def close(self) -> None:
        """End all helpers."""
        self._tidy(set())
        self._drop()

    def _result(self, path: str, end: float, patience: float) -> Result:
        now = time.monotonic()
        if path in self._watchers or now < self._retry_at.get(path, 0.0):
            return HUNG
        if path in self._dying.values():  # killed, but the kernel still holds it
            return HUNG
        late = TimeoutError(errno.ETIMEDOUT, "no time was left to ask for this filesystem")
        if now >= end:
            return late
        if self._worker is None:
            self._worker = WorkerProcess()
        worker = self._worker
        try:
            worker.wait_ready(end)
            answer = self._ask(worker, path, end, patience)
        except (WorkerStuckError, WorkerGoneError):
            self._drop()
            return late
        self._retry_at.pop(path, None)
        return self._mark_hung(path, worker) if answer is None else answer

    @staticmethod
    def _ask(worker: WorkerProcess, path: str, end: float, patience: float) -> StatvfsAnswer | None:
        """Return the answer, None for a hung mount; raises if its state is not known."""
        enough = time.monotonic() + patience
        try:
            return worker.ask(path, min(end, enough))
        except WorkerStuckError:
            if enough > end:  # others took the time; the next call has more for this mount
                raise
            if not worker.starved():
                return None
        # An overloaded machine, not a dead mount: give the helper the rest of the deadline.
        return worker.wait(end)

    def _mark_hung(self, path: str, worker: WorkerProcess) -> Literal["hung"]:
        if len(self._watchers) < self._max_watchers:
            self._watchers[path] = worker
            self._worker = None
        else:
            self._retry_at[path] = time.monotonic() + self._retry_s
            self._drop(path)
        return HUNG

    def _tidy(self, wanted: set[str]) -> None:
        """Remove watchers that answered or whose mount is gone, and reap ended processes."""
        self._dying = {pid: path for pid, path in self._dying.items() if not reap(pid)}
        self._retry_at = {path: at for path, at in self._retry_at.items() if path in wanted}
        for path, worker in list(self._watchers.items()):
            if path in wanted:
                try:
                    worker.wait(0.0)
                except WorkerStuckError:
                    continue
                except WorkerGoneError:
                    pass
            del self._watchers[path]
            self._kill(worker, path)

    def _drop(self, path: str = "") -> None:
        """End the helper in use, which hangs at ``path`` if one is given."""
        if self._worker is not None:
            self._kill(self._worker, path)
            self._worker = None

    def _kill(self, worker: WorkerProcess, path: str) -> None:
        if not worker.kill():
            self._dying[worker.pid] = path
