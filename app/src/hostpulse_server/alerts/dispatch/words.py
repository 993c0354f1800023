"""From rows to the notification that a channel renders."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from hostpulse_server.alerts.dispatch import books
from hostpulse_server.alerts.dispatch.plan import rank
from hostpulse_server.channels.base import MAX_SHOWN, AlertView, Notification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostpulse_server.alerts.dispatch.plan import Message
    from hostpulse_server.alerts.links import Links
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.registry import Server
    from hostpulse_server.state.alert_models import AlertGroupRow, AlertRow

_OTHERS = 10


class Words:
    """Says what rows mean."""

    def __init__(
        self, config: ServerConfig, links: Links, servers: Callable[[str], Server | None]
    ) -> None:
        self._config = config
        self._links = links
        self._servers = servers

    def notification(
        self,
        message: Message,
        group: AlertGroupRow,
        said: Sequence[AlertRow],
        active: Sequence[AlertRow],
        now_ms: int,
    ) -> Notification:
        """Return the notification of a message about ``said``, while ``active`` are under way."""
        site = self._config.site
        channel = message.place[0]
        firing = [row for row in said if row.state == "firing"]
        known = {row.id: row for row in active}
        concerned = [known[one] for one in (*message.news, *message.still, *message.ended)]
        shown = sorted(said, key=lambda row: (row.state != "firing", -rank(row.severity), row.id))
        environments = {row.labels.get("env", "") for row in said}
        return Notification(
            kind=message.kind,
            channel=channel,
            site=site.name,
            severity=message.severity,
            created_ms=now_ms,
            incident=group.incident,
            number=group.messages,
            environment=environments.pop() if len(environments) == 1 else "",
            alerts=tuple(self._view(row, active, now_ms) for row in shown[:MAX_SHOWN]),
            firing=len(message.news) + len(message.still),
            resolved=len(message.ended),
            servers=len({row.server_id for row in concerned}),
            group=books.group_values(self._config.alerts.group_by, said[0]),
            act_url=self._links.url(group.incident, channel) if firing else "",
            timezone=site.timezone,
        )

    def _view(self, row: AlertRow, active: Sequence[AlertRow], now_ms: int) -> AlertView:
        server = self._servers(row.server_id)
        evidence = row.evidence
        is_firing = row.state == "firing"
        is_acknowledged = (row.acknowledged_until_ms or 0) > now_ms
        comparison = ""
        if row.value is not None and row.threshold is not None:
            comparison = "above" if row.value >= row.threshold else "below"
        return AlertView(
            id=row.id,
            rule=row.rule,
            server_id=row.server_id,
            server_name=server.name if server else row.server_id,
            severity=row.severity,
            state=row.state,
            summary=row.summary,
            started_ms=row.started_ms,
            fired_ms=row.fired_ms or row.started_ms,
            resolved_ms=row.resolved_ms,
            reason=row.reason,
            value=row.value,
            threshold=row.threshold,
            comparison=comparison,
            measurement=row.measurement,
            field=row.field,
            tags=row.tags,
            labels=row.labels,
            runbook=row.runbook,
            dashboard=self._dashboard(row.server_id),
            trend=tuple(evidence.get("trend") or ()),
            evidence=tuple(evidence.get("lines") or ()),
            processes=tuple(evidence.get("processes") or ()) if is_firing else (),
            others=_others(row, active) if is_firing else (),
            acknowledged_by=(row.acknowledged_by or "") if is_acknowledged else "",
        )

    def _dashboard(self, server_id: str) -> str:
        base = self._config.site.grafana_url.rstrip("/")
        if not base or not server_id:
            return ""
        return f"{base}/d/hostpulse-server-detail?var-server={quote(server_id, safe='')}"


def _others(row: AlertRow, active: Sequence[AlertRow]) -> tuple[str, ...]:
    """Return what else fires on the host, a line each."""
    if not row.server_id:
        return ()
    found = [
        one.summary
        for one in active
        if one.server_id == row.server_id and one.id != row.id and one.state == "firing"
    ]
    return tuple(found[:_OTHERS])
