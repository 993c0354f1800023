"""The application with alerts in its state database, put there as the engine would."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.api.conftest import Api, make_api

from hostpulse_server.state import reading, writing
from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
    SilenceRow,
)
from hostpulse_server.values.alert import AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from werkzeug.test import TestResponse

__all__ = ["make_api"]

INCIDENT = "0123456789abcdef0123456789abcdef"
SETTINGS = (
    'rate_limit = "1000/second"\n[site]\nname = "example"\npublic_url = "https://monitor:8443"'
)


@dataclass
class AlertsHarness:
    """An application, its alerts and those who ask."""

    api: Api
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def now_ms(self) -> int:
        """The time it is."""
        return self.api.clock.ms

    def alert(self, state: str = "firing", **changes: Any) -> int:
        """Add an alert that began five minutes ago; return its id."""
        began = self.now_ms - 300_000
        number = next(self.numbers)
        values = {
            "rule": "disk_usage",
            "server_id": "web-01",
            "tags": {"mount": f"/data{number}"},
            "measurement": "disk",
            "field": "used_percent",
            "state": state,
            "severity": "warning",
            "value": 91.5,
            "threshold": 90.0,
            "summary": f"disk /data{number} 91.5 % full on web-01",
            "runbook": "docs/runbooks.md#disk_usage",
            "labels": {"env": "production"},
            "evidence": {"lines": [], "trend": [90.5, 91.5], "processes": [], "facts": {}},
            "started_ms": began,
            "fired_ms": None if state == "pending" else began,
            "resolved_ms": self.now_ms if state == "resolved" else None,
            "reason": "cleared" if state == "resolved" else "",
            "comment": "",
            **changes,
        }
        identity = AlertIdentity(values["rule"], values["server_id"], tuple(values["tags"].items()))
        with writing(self.api.registry.engine) as session:
            row = AlertRow(fingerprint=identity.fingerprint, **values)
            session.add(row)
            session.flush()
            return row.id

    def notify(self, *alert_ids: int, channel: str = "mail", incident: str = INCIDENT) -> None:
        """Note that a channel was told of these, as one incident."""
        with writing(self.api.registry.engine) as session:
            group = AlertGroupRow(
                incident=incident,
                channel=channel,
                key="[]",
                opened_ms=self.now_ms,
                notified_ms=self.now_ms,
                messages=1,
            )
            session.add(group)
            session.flush()
            for alert_id in alert_ids:
                session.add(
                    NotificationLogRow(
                        alert_id=alert_id,
                        channel=channel,
                        group_id=group.id,
                        severity="warning",
                        over=False,
                        notified_ms=self.now_ms,
                    )
                )
                session.add(
                    AlertEventRow(
                        alert_id=alert_id,
                        at_ms=self.now_ms,
                        kind="told",
                        document={"channel": channel},
                    )
                )

    def event(self, alert_id: int, kind: str, **document: str) -> None:
        """Note an event of an alert."""
        with writing(self.api.registry.engine) as session:
            at_ms = self.now_ms
            session.add(AlertEventRow(alert_id=alert_id, at_ms=at_ms, kind=kind, document=document))

    def row(self, alert_id: int) -> AlertRow:
        """Return an alert as it stands."""
        with reading(self.api.registry.engine) as session:
            row = session.get(AlertRow, alert_id)
            assert row is not None
            return row

    def change(self, alert_id: int, **changes: Any) -> None:
        """Change an alert, as the engine does when it ends."""
        with writing(self.api.registry.engine) as session:
            row = session.get(AlertRow, alert_id)
            for name, value in changes.items():
                setattr(row, name, value)

    def silences(self) -> list[SilenceRow]:
        """Return all silences."""
        with reading(self.api.registry.engine) as session:
            return list(session.query(SilenceRow).order_by(SilenceRow.id))

    def ask(
        self, method: str, path: str, key: str | None = "operator", **options: Any
    ) -> TestResponse:
        """Send a request with the key of a role."""
        headers = {} if key is None else {"X-API-Key": self.api.keys[key]}
        client = self.api.app.test_client()
        return client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, key: str | None = "reader") -> Any:
        """Return the JSON that a reader gets."""
        response = self.ask("GET", path, key)
        assert response.status_code == 200, response.text
        return response.json

    def faults(self, method: str, path: str, **options: Any) -> dict[str, list[str]]:
        """Return what is wrong with a request, by field."""
        response = self.ask(method, path, **options)
        assert response.status_code == 422, response.text
        assert response.content_type == "application/problem+json"
        found: dict[str, list[str]] = response.get_json(force=True)["errors"]
        return found


@pytest.fixture
def alerts_site(make_api: Callable[..., Api]) -> AlertsHarness:
    """Return an application without alerts."""
    return AlertsHarness(make_api(SETTINGS))
