"""Silences and inhibition: which alerts are muted, by a silence or a more severe alert; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner.state import RANKS, Suppression
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
        active = [one for one in silences if one.start_ms <= now_ms < one.end_ms]
        self._active = sorted(active, key=lambda one: (-one.end_ms, one.id))
        self._past = [one for one in silences if one.end_ms <= now_ms]
        # of several the oldest, whatever the order in which they were read
        newest_first = sorted(firing, key=lambda one: -one.id)
        self._down = {one.server_id: one.id for one in newest_first if one.verdict == _HOST_DOWN}
        self._us = min(
            (one.id for one in firing if one.verdict and one.server_id == NO_SERVER), default=None
        )
        self._critical = {
            one.series: one.id
            for one in newest_first
            if one.series is not None and one.rank == _CRITICAL
        }

    def is_muted(self, alert: PlannedAlert) -> bool:
        """Return whether notifications about a firing alert are muted now."""
        return self.suppression(alert) is not None

    def suppression(self, alert: PlannedAlert) -> Suppression | None:
        """Return what mutes a firing alert now, a silence before an inhibition."""
        silence = self.silence(alert)
        if silence is not None:
            return Suppression("silence", silence.id, silence.end_ms)
        by = self._inhibitor(alert)
        return None if by is None else Suppression("inhibition", by)

    def _inhibitor(self, alert: PlannedAlert) -> int | None:
        """Return the more severe alert that mutes this one."""
        if alert.server_id != NO_SERVER:
            down = self._down.get(alert.server_id, alert.id)
            if down != alert.id:
                return down
            if alert.verdict and self._us is not None:
                return self._us
        if alert.series is None or alert.rank >= _CRITICAL:
            return None
        return self._critical.get(alert.series)

    def silence(self, alert: PlannedAlert) -> Silence | None:
        """Return the silence in force for an alert, of several the one that ends last."""
        if not self._active:
            return None
        values = alert.seen_by_globs(has_tags=True)
        return next((one for one in self._active if matches(one.matchers, values)), None)

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
