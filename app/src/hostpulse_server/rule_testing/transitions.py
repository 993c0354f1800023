"""Which conditions change what people know."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostpulse_server.rules.schema.cases import State
    from hostpulse_server.values.alert import AlertIdentity, Condition, Severity


class Reported(NamedTuple):
    """A firing at a severity, or a resolution."""

    at_ms: int
    state: State
    severity: Severity
    condition: Condition


class TransitionFilter:
    """Of conditions, those that change what people know."""

    def __init__(self) -> None:
        self._firing: dict[AlertIdentity, Severity] = {}

    def of(self, at_ms: int, conditions: Iterable[Condition]) -> Iterator[Reported]:
        """Yield each alert that fires, changes its severity or is over at ``at_ms``."""
        for condition in conditions:
            known = self._firing.get(condition.identity)
            if condition.phase == "firing" and condition.severity != known:
                self._firing[condition.identity] = condition.severity
                yield Reported(at_ms, "firing", condition.severity, condition)
            elif condition.phase == "resolved" and known is not None:
                del self._firing[condition.identity]
                yield Reported(at_ms, "resolved", known, condition)
