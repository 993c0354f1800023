"""Runs the tests of liveness rules: a host that falls silent, second by second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostpulse_server.liveness import BaselineLearner, Ingest, LivenessMonitor, Probe
from hostpulse_server.registry.model import Server
from hostpulse_server.rule_testing.transitions import TransitionFilter
from hostpulse_server.rules.model import RuleSet
from hostpulse_server.rules.series import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_server.rule_testing.transitions import Reported
    from hostpulse_server.rules.schema.cases import Case

_TURN_MS: Final = 1000
_DAY_MS: Final = 86_400_000
_ADDRESS: Final = "192.0.2.1"  # nobody's (RFC 5737), and nobody asks it


@dataclass
class _Clock:
    ms: int

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class _Prober:
    """Returns at once the answer that the test gives for the host."""

    def __init__(self, clock: _Clock, *, is_answering: bool | None) -> None:
        self._clock = clock
        self._is_answering = is_answering

    def ask(self, server_id: str, address: str) -> None:
        """Nothing has to be waited for."""

    def answer(self, server_id: str) -> Probe | None:
        del server_id
        return Probe(self._clock.ms, self._is_answering, ())

    def forget(self, server_id: str) -> None:
        """Nothing is kept."""


def run(case: Case, start_ms: int) -> Iterator[Reported]:
    """Yield the transitions that would be reported; a step with a value is an arriving sample."""
    clock = _Clock(start_ms)
    prober = _Prober(clock, is_answering=case.answers)
    # while it reports it answers
    baseline = BaselineLearner(_Prober(clock, is_answering=True))
    liveness = LivenessMonitor(RuleSet({case.rule.name: case.rule}), clock, prober, baseline)
    server = _server(case, start_ms)
    ingest = Ingest(is_working=True, since_ms=start_ms - _DAY_MS, is_caught_up=True)
    changes = TransitionFilter()
    end_ms = start_ms + len(case.steps) * case.interval_ms
    for now_ms in range(start_ms, end_ms, min(_TURN_MS, case.interval_ms)):
        clock.ms = now_ms
        number, since_ms = divmod(now_ms - start_ms, case.interval_ms)
        if since_ms < _TURN_MS and case.steps[number] is not Missing.HOST:
            liveness.seen(server.id, now_ms, case.interval_ms)
        yield from changes.of(now_ms, liveness.turn(now_ms, [server], ingest))


def _server(case: Case, created_ms: int) -> Server:
    return Server(
        id=case.server_id,
        name=case.server_id,
        address=None if case.answers is None else _ADDRESS,
        labels=case.labels,
        allow_from=(),
        disabled=False,
        created_ms=created_ms,
        conflict_ms=None,
        keys=(),
        interval_ms=case.interval_ms,
    )
