"""How a message says that its channel was away; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostpulse_server import formatting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from hostpulse_server.state.alert_models import AlertRow

_LINES: Final = 5  # of alerts: what a note has room for


@dataclass(frozen=True, slots=True)
class Away:
    """From when to when a channel took nothing, seen from now."""

    since_ms: int
    until_ms: int
    now_ms: int
    zone: tzinfo

    def of_message(self, fired_ms: int | None) -> str:
        """Return how old a message is that waited."""
        period = f"this channel did not answer {self._period()}"
        if fired_ms is None:
            return f"{period[0].upper()}{period[1:]}."
        return f"Fired {formatting.duration(self.now_ms - fired_ms)} ago; {period}."

    def of_over(self, alerts: Sequence[AlertRow]) -> str:
        """Return what was over before it was sent, a line each."""
        fired = "alert fired and was" if len(alerts) == 1 else "alerts fired and were"
        lines = [
            f"While this channel was away: {len(alerts)} {fired} over.",
            f"It did not answer {self._period()}.",
            *(self._line(one) for one in alerts[:_LINES]),
        ]
        if len(alerts) > _LINES:
            lines.append(f"and {len(alerts) - _LINES} more; see: hostpulse-server alerts history")
        return "\n".join(lines)

    def _line(self, one: AlertRow) -> str:
        fired_ms = one.fired_ms or one.started_ms
        lasted = formatting.duration((one.resolved_ms or self.now_ms) - fired_ms)
        where = f" on {one.server_id}" if one.server_id else ""
        fired = formatting.moment(fired_ms, self.zone)
        return f"{one.severity} {one.rule}{where}: fired {fired}, over after {lasted}"

    def _period(self) -> str:
        first, last = (
            formatting.moment(time_ms, self.zone) for time_ms in (self.since_ms, self.until_ms)
        )
        return f"from {first} to {last}"
