"""An alert that goes on with the incident of another: a mount that was full and is now absent.

What fired on a series that vanishes is over as gone. The alert that it is absent follows, and
keeps the ``dedup_key``: a pager sees one incident go on, not one end and another begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hostpulse_server.state.alert_models import AlertRow
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CONTINUES: Final = "continues"
DEDUP_KEY: Final = "dedup_key"
# series of one point may differ in how often they come, and so in when they are gone
_APART_MS: Final = 600_000


def note(session: Session, row: AlertRow) -> None:
    """Let an absent alert that has begun to fire go on with what fired when its series vanished.

    The most serious of several, then the oldest.
    """
    found = session.scalars(
        sa.select(AlertRow).where(
            AlertRow.server_id == row.server_id,
            AlertRow.measurement == row.measurement,
            AlertRow.reason == "gone",
            AlertRow.rule != row.rule,
            AlertRow.resolved_ms >= row.started_ms - _APART_MS,
            AlertRow.resolved_ms <= (row.fired_ms or row.started_ms),
        )
    )
    same = [one for one in found if one.tags == row.tags]
    if same:
        before = max(same, key=lambda one: (_rank(one), -(one.fired_ms or 0), -one.id))
        row.evidence = {
            **(row.evidence or {}),
            CONTINUES: before.id,
            DEDUP_KEY: before.fingerprint,
        }


def kept(row: AlertRow) -> dict[str, Any]:
    """Return what a new description of an alert must not lose of that."""
    evidence = row.evidence or {}
    return {key: evidence[key] for key in (CONTINUES, DEDUP_KEY) if key in evidence}


def _rank(row: AlertRow) -> int:
    return SEVERITIES.index(row.severity) if row.severity in SEVERITIES else 0
