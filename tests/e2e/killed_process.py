"""Alert engines that crash where a test wants them to, and those that go on after them.

``python -m tests.e2e.killed_process CONFIG`` runs ``hostpulse-server alert`` in forks of itself,
one after the other: what takes a second of a start, the imports, is done once. Each line of
standard input, ``STEP PHASE``, begins one; an empty one an engine as it is. The answers are lines,
too: its process id, and once it has ended, its exit status. ``Engines`` is the other end of this.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.services import environment, kill
from tests.policy.repository import ROOT
from tests.support.polling import DEADLINE

from hostpulse_server import cli
from hostpulse_server.commands import services
from hostpulse_server.engine.commit import TurnCommitter
from hostpulse_server.engine.consumer import EntryConsumer
from hostpulse_server.engine.reader import JournalReader
from hostpulse_server.journal.records import SAMPLES, SamplesRecord
from hostpulse_server.notifications import outbox
from hostpulse_server.notifications.channels.slack import Slack
from hostpulse_server.notifications.workers import ChannelWorker
from hostpulse_server.services import alert_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.services import Site

    from hostpulse_server.values.alert import Condition

PRELOADED = (alert_engine, services)
# phase of an alert → the number of the sample that brings it there
LAST_SEQ = {"pending": 2, "firing": 4, "resolved": 5}


class Engines:
    """The engines of one site; what they say goes to ``alert.log``."""

    def __init__(self, site: Site) -> None:
        with (site.config.data_dir / "alert.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.killed_process", site.path],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=environment(),
                process_group=0,
            )
        self._pid = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """End whatever runs."""
        kill(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def begin(self, step: str = "", phase: str = "") -> None:
        """Start an engine that crashes at a step of an alert's phase, without one never."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{step} {phase}\n".encode())
        self._pid = self._answer("an engine starts")

    def kill(self) -> None:
        """Crash the engine."""
        os.kill(self._pid, signal.SIGKILL)
        self.await_crash("the kill")

    def await_crash(self, what: str) -> None:
        """Return once the engine has crashed."""
        status = self._answer(f"the engine crashes at {what}")
        assert status == -signal.SIGKILL, f"the engine ended with status {status}"

    def _answer(self, what: str) -> int:
        stdout = self._process.stdout
        assert stdout is not None
        assert select.select([stdout], [], [], DEADLINE)[0], f"{what}, in vain; see alert.log"
        return int(stdout.readline())


def main() -> None:
    """Run engines until standard input ends."""
    before = 0
    for line in sys.stdin:
        if before:
            os.waitpid(before, 0)
        before = os.fork()
        if before == 0:
            _live(*line.split())
        print(before, flush=True)  # noqa: T201 - the protocol
        # not reaped before the next line: until then a kill can hit no other process
        ended = os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        is_exit = ended.si_code == os.CLD_EXITED
        print(ended.si_status if is_exit else -ended.si_status, flush=True)  # noqa: T201 - as above


def _live(step: str = "", phase: str = "") -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if step:
        _doom(step, phase)
    sys.argv = ["hostpulse-server", "--config", sys.argv[1], "alert"]
    cli.main()


def _doom(step: str, phase: str) -> None:
    """Put a crash behind the function that ends a step."""
    settled: list[Condition] = []

    def has_sample(entries: Any, *_args: Any) -> bool:
        records = [SamplesRecord.decode(one) for one in entries if one.kind == SAMPLES]
        return any(one.samples[-1]["seq"] == LAST_SEQ[phase] for one in records)

    def has_condition(conditions: Any, *_args: Any) -> bool:
        settled.extend(one for one in conditions if one.phase == phase)
        return bool(settled)

    steps: dict[str, tuple[Any, str, Callable[..., bool]]] = {
        # the entry is read, the cursor moved in memory
        "read": (JournalReader, "read", has_sample),
        # rules were applied
        "evaluated": (EntryConsumer, "collect_changes", has_condition),
        # all of the transaction is written but for its COMMIT
        "written": (TurnCommitter, "_dispatch", lambda *_: bool(settled)),
        # the message, if there is one, stands in the outbox; nobody was woken
        "committed": (TurnCommitter, "commit", lambda *_: bool(settled)),
        # a message is about to be posted
        "picked": (Slack, "_payload", lambda _got, _self, message, *_: message.kind == phase),
        # the receiver has confirmed
        "answered": (Slack, "send", lambda _got, _self, message, **_: message.kind == phase),
        # the row is marked, all but for the COMMIT
        "marking": (outbox, "note", lambda *args: args[-1]["kind"] == phase),
        # the row is marked
        "marked": (ChannelWorker, "_sent", lambda _got, _self, row, *_: row.kind == phase),
    }
    _crash_after(
        EntryConsumer, "collect_changes", lambda *args: has_condition(*args) and step == "evaluated"
    )
    _crash_after(*steps[step])


def _crash_after(owner: Any, name: str, is_now: Callable[..., bool]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def doomed(*args: Any, **named: Any) -> Any:
        got = original(*args, **named)
        if is_now(got, *args, **named):
            os.kill(os.getpid(), signal.SIGKILL)
        return got

    setattr(owner, name, doomed)


if __name__ == "__main__":
    main()
