"""The live state machine over samples that are already there: what people would have been told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_server.alerts.evaluator import Evaluator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hostpulse_server.alerts.model import Condition, Identity, Severity
    from hostpulse_server.alerts.rules.cases import State
    from hostpulse_server.alerts.rules.model import RuleSet

_ORIGIN = "replay"


class Told(NamedTuple):
    """A firing at a severity, or a resolution."""

    at_ms: int
    state: State
    severity: Severity
    condition: Condition


class Telling:
    """Of conditions, those that change what people know."""

    def __init__(self) -> None:
        self._firing: dict[Identity, Severity] = {}

    def of(self, at_ms: int, conditions: Iterable[Condition]) -> Iterator[Told]:
        """Yield each alert that fires, changes its severity or is over at ``at_ms``."""
        for condition in conditions:
            known = self._firing.get(condition.identity)
            if condition.phase == "firing" and condition.severity != known:
                self._firing[condition.identity] = condition.severity
                yield Told(at_ms, "firing", condition.severity, condition)
            elif condition.phase == "resolved" and known is not None:
                del self._firing[condition.identity]
                yield Told(at_ms, "resolved", known, condition)


class Replay:
    """Evaluates samples as they are handed in, each as if it had just arrived."""

    def __init__(self, rules: RuleSet, labels: Callable[[str], Mapping[str, str]]) -> None:
        self._evaluator = Evaluator(rules, labels)
        self._telling = Telling()

    def sample(
        self,
        server_id: str,
        time_ms: int,
        interval_ms: int,
        points: Sequence[Mapping[str, Any]],
    ) -> list[Told]:
        """Return what changes with this sample; a server's come in the order of their times."""
        self._evaluator.feed(server_id, _ORIGIN, time_ms, interval_ms, points)
        conditions = self._evaluator.settle(server_id, is_fresh=True)
        return list(self._telling.of(time_ms, conditions))
