"""Composes a planned message for a channel: its alerts with all that helps to act."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import sqlalchemy as sa

from hostpulse_server.notifications import runbooks
from hostpulse_server.notifications.channels.base import MAX_SHOWN, AlertDetails, Notification
from hostpulse_server.notifications.planner.state import RANKS
from hostpulse_server.notifications.repository import portions
from hostpulse_server.state.alert_models import AlertRow, NotificationLogRow
from hostpulse_server.values.alert import NO_SERVER, SEVERITIES, UNPROVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.planner.flapping import FlappingAlert
    from hostpulse_server.notifications.planner.state import PlannedAlert, PlannedMessage
    from hostpulse_server.registry import Server

DASHBOARD: Final = "/d/hostpulse-server-detail?var-server="
AROUND_MS: Final = 600_000  # shown before an incident and behind it
MAX_OTHERS: Final = 20


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """A group's alerts as they are now, each once however often it fired.

    ``servers`` are those where something fires, or all once nothing does. Then ``reason`` is why it
    is over.
    """

    firing: int
    resolved: int
    servers: int
    reason: str


def count(session: Session, message: PlannedMessage) -> MessageCounts:
    """Count what a channel knows of a group once the message is sent."""
    flapping = {flap.alert.fingerprint for flap in (*message.begun, *message.flapping)}
    firing = {alert.fingerprint: alert.server_id for alert in message.news}
    over = {alert.fingerprint: alert.server_id for alert in (*message.ends, *message.superseded)}
    reasons: dict[str, str] = {}
    if message.group.id is not None:
        rows = session.execute(
            sa.select(AlertRow.fingerprint, AlertRow.server_id, AlertRow.state, AlertRow.reason)
            .join(NotificationLogRow, AlertRow.id == NotificationLogRow.alert_id)
            .where(NotificationLogRow.group_id == message.group.id)
            .where(NotificationLogRow.channel == message.group.channel)
            .order_by(AlertRow.id)
        )
        for fingerprint, server_id, state, reason in rows:
            is_firing = state == "firing" or fingerprint in flapping
            (firing if is_firing else over)[fingerprint] = server_id
            reasons[fingerprint] = reason
    servers = set((firing or over).values()) - {NO_SERVER}
    return MessageCounts(
        firing=len(firing),
        resolved=len(over.keys() - firing.keys()),
        servers=len(servers),
        reason="" if firing else _worst(set(reasons.values())),
    )


def _worst(reasons: Collection[str]) -> str:
    """Return the reason of several ends that says least of a recovery."""
    return next((one for one in UNPROVEN if one in reasons), "cleared")


class AlertViews:
    """Makes views of alerts within one transaction."""

    def __init__(
        self,
        session: Session,
        config: ServerConfig,
        servers: Callable[[str], Server | None],
        now_ms: int,
        refresh: Callable[[Iterable[AlertRow]], None],
    ) -> None:
        self._refresh = refresh
        self._session = session
        self._config = config
        self._servers = servers
        self._now_ms = now_ms

    def notification(
        self, message: PlannedMessage, counts: MessageCounts, group: Mapping[str, str]
    ) -> Notification:
        """Return a message without what only the writer of its rows knows."""
        notified = [*message.news, *message.still, *message.ends]
        return Notification(
            kind=message.kind,
            channel=message.group.channel,
            site=self._config.site.name,
            severity=SEVERITIES[message.rank],
            created_ms=self._now_ms,
            environment=_common_environment(notified),
            alerts=self._views([one.id for one in _shown(message)], message),
            firing=counts.firing,
            resolved=counts.resolved,
            servers=counts.servers,
            group=group,
            timezone=self._config.site.timezone,
            is_partial=message.is_partial,
            reason=counts.reason if message.kind == "resolved" else "",
        )

    def _views(self, ids: Sequence[int], message: PlannedMessage) -> tuple[AlertDetails, ...]:
        found = self._session.scalars(sa.select(AlertRow).where(AlertRow.id.in_(ids)))
        rows = {row.id: row for row in found}
        self._refresh(rows.values())
        others = self._others({row.server_id for row in rows.values()}, but=rows.keys())
        flaps = {
            flap.alert.id: flap for flap in (*message.begun, *message.flapping, *message.steady)
        }
        views = []
        for row in (rows[one] for one in ids if one in rows):
            view = self._view(row, others.get(row.server_id, ()), message.before.get(row.id, ""))
            flap = flaps.get(row.id)
            views.append(self._flap(view, flap) if flap else view)
        return tuple(views)

    def _flap(self, view: AlertDetails, flap: FlappingAlert) -> AlertDetails:
        """Say that an alert flaps, so that it is not over, or that it is steady again."""
        if flap.state == "is steady":
            changed_ms = view.fired_ms if view.resolved_ms is None else view.resolved_ms
            return dataclasses.replace(
                view, flap="steady", changed_within_ms=max(0, self._now_ms - changed_ms)
            )
        return dataclasses.replace(
            view,
            flap="flapping",
            changes=len(flap.times),
            changed_within_ms=max(0, self._now_ms - flap.times[0]) if flap.times else 0,
            state="firing",
            is_quiet=view.resolved_ms is not None,
            resolved_ms=None,
            reason="",
        )

    def _others(self, server_ids: Iterable[str], but: Collection[int]) -> Mapping[str, list[str]]:
        """Return what else fires on servers, a line each, the most serious first."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for portion in portions(sorted(set(server_ids) - {NO_SERVER})):
            rows = self._session.execute(
                sa.select(
                    AlertRow.id,
                    AlertRow.server_id,
                    AlertRow.severity,
                    AlertRow.rule,
                    AlertRow.summary,
                ).where(AlertRow.server_id.in_(portion), AlertRow.state == "firing")
            )
            for row in sorted(rows, key=lambda row: (-RANKS.get(row.severity, 0), row.id)):
                if row.id not in but:
                    line = f"{row.severity} {row.rule}: {row.summary}"
                    found[row.server_id].append(line)
        return found

    def _view(self, row: AlertRow, others: Sequence[str], before: str) -> AlertDetails:
        server = self._servers(row.server_id)
        evidence = row.evidence or {}
        return AlertDetails(
            id=row.id,
            rule=row.rule,
            server_id=row.server_id,
            server_name=server.name if server else row.server_id,
            severity=row.severity,
            state=row.state,
            summary=row.summary,
            started_ms=row.started_ms,
            fired_ms=row.started_ms if row.fired_ms is None else row.fired_ms,
            resolved_ms=row.resolved_ms,
            reason=row.reason,
            value=row.value,
            threshold=row.threshold,
            comparison=_comparison(row),
            measurement=row.measurement,
            field=row.field,
            tags=row.tags,
            labels=row.labels,
            runbook=runbooks.address(row.runbook, self._config.site.public_url),
            dashboard=self._dashboard(row),
            trend=tuple(evidence.get("trend", ())),
            evidence=tuple(evidence.get("lines", ())),
            processes=tuple(evidence.get("processes", ())),
            others=tuple(others[:MAX_OTHERS]),
            acknowledged_by=self._acknowledged_by(row),
            worst=evidence.get("worst"),
            clear=evidence.get("clears_at"),
            dedup_key=evidence.get("dedup_key", ""),
            previous_severity=before if before != row.severity else "",
        )

    def _dashboard(self, row: AlertRow) -> str:
        """Return a link to the host's dashboard, from before it began until its end, or now."""
        root = self._config.site.grafana_url.rstrip("/")
        if not root or not row.server_id:
            return ""
        end = "now" if row.resolved_ms is None else row.resolved_ms + AROUND_MS
        span = f"&from={row.started_ms - AROUND_MS}&to={end}"
        return f"{root}{DASHBOARD}{quote(row.server_id, safe='')}{span}"

    def _acknowledged_by(self, row: AlertRow) -> str:
        is_in_force = (row.acknowledged_until_ms or 0) > self._now_ms
        return (row.acknowledged_by or "") if is_in_force else ""


def _comparison(row: AlertRow) -> str:
    """Return on which side of its threshold a value has to be to fire.

    A release before 0.2 did not say so; of its alerts the value is taken for one that fires.
    """
    known: str = (row.evidence or {}).get("comparison", "")
    if known:
        return known
    if row.value is None or row.threshold is None:
        return ""
    return "above" if row.value >= row.threshold else "below"


def _common_environment(alerts: Iterable[PlannedAlert]) -> str:
    found = {alert.labels.get("env", "") for alert in alerts}
    return found.pop() if len(found) == 1 else ""


def _shown(message: PlannedMessage) -> list[PlannedAlert]:
    """Return what a message shows: what fires, then what is over; of a partial end some of both."""
    firing, ends = (
        sorted(one, key=_order) for one in (message.news or message.still, message.ends)
    )
    if message.is_partial:
        firing = firing[: max(MAX_SHOWN // 2, MAX_SHOWN - len(ends))]
    return [*firing, *ends][:MAX_SHOWN]


def _order(alert: PlannedAlert) -> tuple[int, str, int]:
    return -alert.rank, alert.server_id, alert.id
