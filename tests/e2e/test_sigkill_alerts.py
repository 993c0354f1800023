"""SIGKILL at every step from a sample to its message: each is told, once, or once more a crash."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.e2e.alerting import PHASES, watching
from tests.e2e.killed_process import Engines
from tests.e2e.services import LONG, kill
from tests.support.polling import wait_until
from tests.support.slack_receiver import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.alerting import Watch

TRIALS = 100 if LONG else 3
PORTION = 250  # of a site: two messages each are fewer than a channel takes in a minute
# from outside: no engine runs when the sample comes; the receiver has the message and says nothing
AWAY, HELD = "away", "held"
DETECTION = (AWAY, "read", "evaluated", "written", "committed")
DELIVERY = ("picked", HELD, "answered", "marking", "marked")
# the receiver has the message and the outbox does not know: it comes again
TWICE = {HELD: {1}, "answered": {1}, "marking": {1}, "committed": {0, 1}}
RETRY_AFTER = 5


@dataclass(frozen=True)
class Crash:
    """One crash, in the way of one host's alert."""

    step: str
    phase: str
    number: int

    @property
    def server_id(self) -> str:
        """The host."""
        return f"{self.step}-{self.phase}-{self.number}"

    def go(self, watch: Watch, engines: Engines) -> None:
        """Let the alert come and go, the engine crash on the way and another one go on."""
        is_ours = self.step not in {AWAY, HELD}
        engines.begin(*((self.step, self.phase) if is_ours else ()))
        for phase in PHASES:
            if phase == self.phase:
                watch.await_sent()  # what was told before is no part of this
                self._crash(watch, engines)
                engines.begin()
            else:
                watch.post(self.server_id, phase)
            watch.await_phase(self.server_id, phase)
            assert len(watch.alerts(self.server_id)) == 1
        watch.await_sent()
        engines.kill()

    def _crash(self, watch: Watch, engines: Engines) -> None:
        if self.step == AWAY:
            engines.kill()
            watch.post(self.server_id, self.phase)
        elif self.step == HELD:
            watch.receiver.answers.append(Answer(status=0, hold=True))
            known = len(watch.receiver.posts)
            watch.post(self.server_id, self.phase)
            watch.receiver.await_posts(known + 1)
            engines.kill()
        else:
            watch.post(self.server_id, self.phase)
            engines.await_crash(self.server_id)

    def check(self, watch: Watch) -> None:
        """Hold what was received, and what is on disk, to the promise."""
        assert set(watch.confirmed(self.server_id)) == {"firing", "resolved"}
        told = [one.payload for one in watch.posts(self.server_id)]
        assert len(told) - 2 in TWICE.get(self.step, {0})
        assert len({one["message_id"] for one in told}) == 2
        kinds = [one["kind"] for one in told]
        assert kinds == sorted(kinds), "an end was told before its beginning"
        assert [one["state"] for one in watch.alerts(self.server_id)] == ["resolved"]
        assert watch.events(self.server_id) == {"firing": 1, "resolved": 1, "told": 2}


@pytest.mark.parametrize(
    "crashes",
    [
        [(step, phase) for step in DETECTION for phase in PHASES],
        [(step, phase) for step in DELIVERY for phase in PHASES[1:]],
    ],
    ids=["detection", "delivery"],
)
def test_a_kill_at_any_step_loses_no_message_and_doubles_at_most_one(
    tmp_path: Path, crashes: list[tuple[str, str]]
) -> None:
    """A doubled one carries the same id; alerts, history and outbox are as without a crash."""
    every = [Crash(*one, number) for number in range(TRIALS) for one in crashes]
    for first in range(0, len(every), PORTION):
        portion, folder = every[first : first + PORTION], tmp_path / f"{first}"
        folder.mkdir()
        with watching(folder, [one.server_id for one in portion]) as watch:
            with Engines(watch.site) as engines:
                for one in portion:
                    one.go(watch, engines)
            for one in portion:
                one.check(watch)


def test_a_429_and_a_kill_while_messages_wait_drop_none(tmp_path: Path) -> None:
    """The one that was refused comes again after the time that was asked for."""
    hosts = ["refused", "behind"]
    with watching(tmp_path, hosts) as watch:
        refusal = Answer(429, "rate_limited", {"Retry-After": str(RETRY_AFTER)})
        watch.receiver.answers.append(refusal)
        with watch.site.running("alert"):
            for host in hosts:
                watch.post(host, "pending")
                watch.await_phase(host, "pending")
            watch.post("refused", "firing")
            wait_until(lambda: [one["attempts"] for one in watch.outbox()] == [1], "a 429 is noted")
            watch.post("behind", "firing")
            wait_until(lambda: len(watch.outbox()) == 2, "another message waits")
            assert {one["state"] for one in watch.outbox()} == {"waiting"}
        with watch.site.running("alert"):
            for host in hosts:
                watch.await_phase(host, "firing")
            watch.await_sent()
        first, second = watch.posts("refused")
        assert (first.answered, second.answered) == (429, 200)
        assert first.payload == second.payload
        assert second.at_ms - first.at_ms >= RETRY_AFTER * 1000
        assert len(watch.posts("behind")) == 1


def test_restarts_in_steady_state_send_nothing(tmp_path: Path) -> None:
    """By SIGKILL and SIGTERM; each engine's only message is that of a new alert after all else."""
    ends = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
    probes = [f"probe-{number}" for number in range(len(ends))]
    with watching(tmp_path, ["fires", "is-over", *probes]) as watch:
        engine = watch.site.start("alert")
        try:
            for phase in PHASES:
                watch.post("is-over", phase)
                watch.await_phase("is-over", phase)
            _fire(watch, "fires")
            watch.await_sent()
            for number, end in enumerate(ends):
                engine.send_signal(end)
                assert engine.wait(60) == (0 if end == signal.SIGTERM else -end)
                known = len(watch.receiver.posts)
                engine = watch.site.start("alert")
                watch.send("fires", {5 + number: 90})  # it still does: nothing new
                _fire(watch, probes[number])
                watch.await_sent()
                assert watch.receiver.posts[known:] == watch.posts(probes[number])
                assert len(watch.posts(probes[number])) == 1
        finally:
            kill(engine)
    assert len(watch.receiver.posts) == 3 + len(probes)


def _fire(watch: Watch, server_id: str) -> None:
    for phase in ("pending", "firing"):
        watch.post(server_id, phase)
        watch.await_phase(server_id, phase)
