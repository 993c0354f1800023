"""Replays stored samples through the live state machine, and yields the reported transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rule_testing.transitions import TransitionFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout
    from hostpulse_server.rule_testing.transitions import Reported
    from hostpulse_server.rules.model import RuleSet

_ORIGIN = "replay"


class Replay:
    """Evaluates samples as they are handed in, each as if it had just arrived."""

    def __init__(self, rules: RuleSet, labels: Callable[[str], Mapping[str, str]]) -> None:
        self._evaluator = Evaluator(rules, labels)
        self._transitions = TransitionFilter()

    def sample(
        self,
        server_id: str,
        time_ms: int,
        interval_ms: int,
        points: Sequence[Mapping[str, Any]],
    ) -> list[Reported]:
        """Return what changes with this sample; a server's come in the order of their times."""
        self._evaluator.add(server_id, _ORIGIN, Sample(time_ms, interval_ms, points))
        conditions = self._evaluator.collect_changes(server_id, time_ms, is_fresh=True)
        return list(self._transitions.of(time_ms, conditions))

    def layout(self, server_id: str, points: Sequence[Mapping[str, Any]]) -> CompiledLayout:
        """Return the rules as they hold for samples with the series of these points."""
        return self._evaluator.layout(server_id, points)

    def is_at_rest(self, server_id: str) -> bool:
        """Return whether nothing but windows is remembered of a server's samples so far."""
        return self._evaluator.is_at_rest(server_id, _ORIGIN)
