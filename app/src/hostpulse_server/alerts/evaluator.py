"""Rules over samples as they come: conditions that have changed, and nothing but memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hostpulse_server.alerts.model import Condition, Reason
    from hostpulse_server.alerts.rules import RuleSet


class Evaluator:
    """Holds the state of every threshold rule on every series; knows no clock and no database.

    ``labels`` gives the labels of a server, none for one that is not known.
    """

    def __init__(self, rules: RuleSet, labels: Callable[[str], Mapping[str, str]]) -> None:
        self._rules = rules
        self._labels = labels

    def feed(
        self,
        server_id: str,
        origin: str,
        time_ms: int,
        interval_ms: int,
        points: Sequence[Mapping[str, Any]],
    ) -> bool:
        """Evaluate a sample; return False for one that is not newer than the last of its origin."""
        raise NotImplementedError

    def settle(self, server_id: str, *, is_fresh: bool) -> list[Condition]:
        """Return what differs from what was last settled; nothing while not fresh."""
        raise NotImplementedError

    def dump(self, server_id: str, origin: str) -> tuple[int, dict[str, Any]]:
        """Return the time of the newest sample, and as JSON what ``restore`` needs to go on."""
        raise NotImplementedError

    def restore(
        self, server_id: str, origin: str, time_ms: int, document: Mapping[str, Any]
    ) -> None:
        """Take over what was dumped, also under rules that have changed since."""
        raise NotImplementedError

    def reload(self, rules: RuleSet) -> list[Condition]:
        """Evaluate by these rules from now on; return the ends of what no longer has a rule."""
        raise NotImplementedError

    def relabel(self, server_id: str) -> None:
        """Resolve the overrides of a server anew, whose labels have changed."""
        raise NotImplementedError

    def forget(self, server_id: str, reason: Reason) -> list[Condition]:
        """Forget a server; return the ends of its alerts."""
        raise NotImplementedError
