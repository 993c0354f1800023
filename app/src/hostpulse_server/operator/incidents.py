"""What the holder of a link may see and do: the alerts of one incident, and nothing else."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from hostpulse_server.operator import actions, history, serializers
from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
)
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

    from hostpulse_server.state.alert_models import SilenceRow

Deed = Literal["acknowledge", "silence", "take_back", "end_silence"]
# A button is pressed twice, or the page reloaded: an end this much later is the same silence.
_SAME_MS = 300_000


@dataclass(frozen=True, slots=True)
class Incident:
    """The state of an incident: ``silences`` are those of exactly its firing alerts.

    What flaps counts as firing, also where it is over at this moment.
    """

    firing: tuple[AlertRow, ...]
    over: tuple[AlertRow, ...]
    silences: Mapping[int, tuple[SilenceRow, ...]]
    now_ms: int

    @property
    def acknowledged(self) -> list[AlertRow]:
        """The firing alerts that are acknowledged."""
        return [row for row in self.firing if serializers.acknowledgement(row, self.now_ms)]

    @property
    def silenced(self) -> list[AlertRow]:
        """The firing alerts with a silence of their own."""
        return [row for row in self.firing if self.silences.get(row.id)]


@dataclass(frozen=True, slots=True)
class ActionResult:
    """To how many alerts something was done, and of how many it was so already."""

    changed: int
    already: int


def read(session: Session, incident: str, now_ms: int) -> Incident:
    """Return an incident, the most serious alerts first; empty if nothing is known of it."""
    rows = session.scalars(
        sa.select(AlertRow)
        .join(NotificationLogRow, NotificationLogRow.alert_id == AlertRow.id)
        .join(AlertGroupRow, AlertGroupRow.id == NotificationLogRow.group_id)
        .where(AlertGroupRow.incident == incident)
        .execution_options(populate_existing=True)
    ).unique()
    found = sorted(rows, key=_order)
    quiet = _quiet(session, incident, found)
    firing = tuple(row for row in found if row.resolved_ms is None or row.id in quiet)
    active = [one for one in history.silences(session, now_ms) if one.start_ms <= now_ms]
    by_content: dict[tuple[tuple[str, str], ...], list[SilenceRow]] = {}
    for one in active:
        by_content.setdefault(_content(one.matchers), []).append(one)
    silences = {row.id: tuple(by_content.get(_content(exactly(row)), ())) for row in firing}
    firing_ids = {row.id for row in firing}
    over = tuple(row for row in found if row.id not in firing_ids)
    return Incident(firing, over, silences, now_ms)


def _quiet(session: Session, incident: str, rows: Iterable[AlertRow]) -> set[int]:
    """Return the newest alert of each fingerprint that flaps and is over at this moment."""
    events = session.execute(
        sa.select(AlertRow.fingerprint, AlertEventRow.kind)
        .select_from(AlertRow)
        .join(AlertEventRow, AlertEventRow.alert_id == AlertRow.id)
        .join(NotificationLogRow, NotificationLogRow.alert_id == AlertRow.id)
        .join(AlertGroupRow, AlertGroupRow.id == NotificationLogRow.group_id)
        .where(AlertGroupRow.incident == incident, AlertGroupRow.closed_ms.is_(None))
        .where(AlertEventRow.kind.in_(("flapping", "steady")))
        .where(AlertEventRow.document["channel"].as_string() == AlertGroupRow.channel)
        .order_by(AlertEventRow.id)
    )
    last: dict[str, str] = {row.fingerprint: row.kind for row in events}
    newest = {row.fingerprint: row for row in sorted(rows, key=lambda row: row.id)}
    return {row.id for name, row in newest.items() if last.get(name) == "flapping"}


def acknowledge(session: Session, incident: Incident, act: actions.Act) -> ActionResult:
    """Acknowledge what fires for a day; who was first stays."""
    taken = {row.id for row in incident.acknowledged}
    for row in incident.firing:
        if row.id not in taken:
            actions.acknowledge(session, row.id, act, may_be_over=row.resolved_ms is not None)
    return ActionResult(len(incident.firing) - len(taken), len(taken))


def unacknowledge(session: Session, incident: Incident, act: actions.Act) -> ActionResult:
    """End the acknowledgements."""
    taken = incident.acknowledged
    for row in taken:
        actions.unacknowledge(session, row.id, act, may_be_over=row.resolved_ms is not None)
    return ActionResult(len(taken), len(incident.firing) - len(taken))


def silence(
    session: Session, incident: Incident, duration_ms: int, act: actions.Act
) -> ActionResult:
    """Silence each alert that fires, by rule, server and tags, unless it is for that long."""
    end_ms = act.now_ms + duration_ms
    changed = 0
    for row in incident.firing:
        ends = [one.end_ms for one in incident.silences[row.id]]
        if max(ends, default=0) < end_ms - _SAME_MS:
            actions.silence(session, exactly(row), act.now_ms, end_ms, act)
            changed += 1
    return ActionResult(changed, len(incident.firing) - changed)


def end_silence(session: Session, incident: Incident, act: actions.Act) -> ActionResult:
    """End the silences of exactly these alerts; broader ones are not the link's."""
    silenced = incident.silenced
    for row in silenced:
        for one in incident.silences[row.id]:
            actions.end_silence(session, one.id, act)
    return ActionResult(len(silenced), len(incident.firing) - len(silenced))


def exactly(row: AlertRow) -> dict[str, str]:
    """Return matchers of this alert and no other."""
    own = {"rule": row.rule, "server_id": row.server_id}
    return {name: glob.escape(value) for name, value in {**row.tags, **own}.items()}


def _content(matchers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(matchers.items()))


def _order(row: AlertRow) -> tuple[int, str, int]:
    return -SEVERITIES.index(row.severity), row.server_id, row.id
