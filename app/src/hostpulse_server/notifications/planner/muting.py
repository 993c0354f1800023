"""Silences and inhibition: which alerts are muted, by a silence or a more severe alert; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner.state import RANKS
from hostpulse_server.values.alert import NO_SERVER
from hostpulse_server.values.matchers import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.notifications.planner.state import PlannedAlert, Silence

_HOST_DOWN: Final = "host_down"
_CRITICAL: Final = RANKS["critical"]


class Muter:
    """Looks at all that fires once, then answers for each alert.

    A host that is down mutes its other alerts; an outage of our own mutes the liveness alerts of
    hosts; a critical alert mutes less serious ones of the same figure.
    """

    def __init__(
        self, firing: Sequence[PlannedAlert], silences: Sequence[Silence], now_ms: int
    ) -> None:
        self._active = [one for one in silences if one.start_ms <= now_ms < one.end_ms]
        self._past = [one for one in silences if one.end_ms <= now_ms]
        self._down = {one.server_id: one.id for one in firing if one.verdict == _HOST_DOWN}
        self._is_us = any(one.verdict and one.server_id == NO_SERVER for one in firing)
        self._critical = {
            one.series for one in firing if one.series is not None and one.rank == _CRITICAL
        }

    def is_muted(self, alert: PlannedAlert) -> bool:
        """Return whether notifications about a firing alert are muted now."""
        return self.is_inhibited(alert) or self.is_silenced(alert)

    def is_inhibited(self, alert: PlannedAlert) -> bool:
        """Return whether a more severe alert mutes this one."""
        if alert.server_id != NO_SERVER:
            if self._down.get(alert.server_id, alert.id) != alert.id:
                return True
            if self._is_us and alert.verdict:
                return True
        return alert.rank < _CRITICAL and alert.series in self._critical

    def is_silenced(self, alert: PlannedAlert) -> bool:
        """Return whether a silence is in force for an alert."""
        if not self._active:
            return False
        values = alert.seen_by_globs(has_tags=True)
        return any(matches(one.matchers, values) for one in self._active)

    def silenced_until(self, alert: PlannedAlert, since_ms: int, least_ms: int) -> int | None:
        """Return when the last silence ended that muted an alert after ``since_ms``.

        Those shorter than ``least_ms`` do not count: they were made by mistake.
        """
        values = alert.seen_by_globs(has_tags=True) if self._past else {}
        ends = [
            one.end_ms
            for one in self._past
            if one.end_ms > since_ms
            and one.end_ms - one.start_ms >= least_ms
            and matches(one.matchers, values)
        ]
        return max(ends, default=None)
