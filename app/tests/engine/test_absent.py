"""A mount that fires and vanishes: over as gone, and then absent, in one incident."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hostpulse_server.notifications.channels.base import Notification
from hostpulse_server.notifications.channels.message_context import build_context

if TYPE_CHECKING:
    from app.tests.engine.conftest import AlertsSite

RULES = """\
rules:
  - name: disk_usage
    summary: "{{ mount }} {{ value }} % full"
    measurement: disk
    field: used_percent
    levels: {warning: {above: 80}}
  - name: disk_absent
    kind: absent
    summary: "{{ mount }} is no longer mounted"
    measurement: disk
    field: hung
    present_for: 1m
    for: 1m
"""


def disk(used: float) -> list[dict[str, Any]]:
    """Return a point of /srv."""
    fields = {"used_percent": used, "hung": 0.0}
    return [{"measurement": "disk", "tags": {"mount": "/srv"}, "fields": fields}]


CPU = [{"measurement": "cpu", "tags": {"core": "total"}, "fields": {"usage_percent": 1.0}}]


def tell(site: AlertsSite, samples: int, points: list[dict[str, Any]]) -> None:
    """Send samples, one every ten seconds, and take what waits in the outbox."""
    for _ in range(samples):
        site.clock.move(10)
        site.send("web-01", [*CPU, *points])
        site.drain()


def test_a_full_mount_that_vanishes_is_one_incident(site: AlertsSite) -> None:
    """What ends it is no recovery, and who was paged of the one is not paged of another."""
    site.write_rules(RULES)
    site.run(3)
    tell(site, 10, disk(90.0))
    tell(site, 8, [])
    site.restart()
    tell(site, 12, [])
    tell(site, 3, disk(10.0))
    rows = {row["rule"]: row for row in site.rows("alerts")}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "disk_usage": "gone",
        "disk_absent": "cleared",
    }
    messages = [
        Notification.from_document(json.loads(row["document"])) for row in site.rows("outbox")
    ]
    shown = [build_context(one, "id") for one in messages]
    assert [one.kind for one in messages] == ["firing", "resolved", "firing", "resolved"]
    assert [one["alerts"][0]["tone"] for one in shown] == ["warning", "over", "warning", "resolved"]
    assert len({one["incident"] for one in shown}) == 1
    assert len({one["alerts"][0]["dedup_key"] for one in shown}) == 1
    assert [one.number for one in messages] == [1, 2, 3, 4]
    assert [one.alerts[0].value for one in messages][2:] == [None, None]
