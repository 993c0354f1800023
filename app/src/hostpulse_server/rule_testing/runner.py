"""Running the tests of rules files: each series through the state machine that runs live."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.rule_testing import liveness
from hostpulse_server.rule_testing.replay import Replay
from hostpulse_server.rules.model import RuleSet
from hostpulse_server.rules.schema.cases import ExpectedTransition
from hostpulse_server.rules.series import Missing, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_server.rule_testing.transitions import Reported
    from hostpulse_server.rules.schema.cases import Case

_START_MS: Final = 1_800_000_000_000  # any time will do: rules know none but that between samples


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """A test and what came of its series."""

    case: Case
    found: tuple[ExpectedTransition, ...]

    @property
    def is_passed(self) -> bool:
        """Whether it is what was expected."""
        return self.found == self.case.expect

    def side_by_side(self) -> Iterator[tuple[str, str]]:
        """Yield what was expected and what was found, "-" for nothing."""
        for expected, found in zip_longest(self.case.expect, self.found):
            yield str(expected or "-"), str(found or "-")


def run(case: Case) -> CaseOutcome:
    """Run one test."""
    reported = liveness.run(case, _START_MS) if case.rule.kind == "liveness" else _replayed(case)
    found = (
        ExpectedTransition(
            one.at_ms - _START_MS, one.state, one.severity if one.state == "firing" else ""
        )
        for one in reported
    )
    return CaseOutcome(case, tuple(found))


def _replayed(case: Case) -> Iterator[Reported]:
    replay = Replay(RuleSet({case.rule.name: case.rule}), lambda _: case.labels)
    for number, points in _samples(case):
        time_ms = _START_MS + number * case.interval_ms
        yield from replay.sample(case.server_id, time_ms, case.interval_ms, points)


def _samples(case: Case) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the number and points of each sample that the host sends."""
    for number, step in enumerate(case.steps):
        if step is Missing.HOST:
            continue
        at_hand: dict[str, Step] = {case.rule.field: step}
        for name, steps in case.also.items():
            if number < len(steps):
                at_hand[name] = steps[number]
        fields = {name: one for name, one in at_hand.items() if not isinstance(one, Missing)}
        point = {"measurement": case.rule.measurement, "tags": dict(case.tags), "fields": fields}
        yield number, [point] if fields else []
