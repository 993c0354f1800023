"""The alerts API over the real application: lists, history, acknowledgements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hostpulse_server.state import writing
from hostpulse_server.state.alert_models import AlertEventRow

if TYPE_CHECKING:
    from app.tests.operator.conftest import AlertsHarness

DAY_MS = 86_400_000
ACTS: tuple[tuple[str, Any], ...] = (("POST", {"json": {}}), ("DELETE", {}))


def walk(alerts_site: AlertsHarness, path: str) -> list[dict[str, Any]]:
    """Return the alerts of all pages, two each."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = alerts_site.get(f"{path}limit=2{cursor}")
        assert 0 < len(page["alerts"]) <= 2
        found += page["alerts"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def test_an_alert_is_shown_with_all_there_is_to_it(alerts_site: AlertsHarness) -> None:
    """What, where, since when, who was told."""
    alert_id = alerts_site.alert(
        evidence={"lines": ["seen"], "trend": [1.0], "processes": [{"pid": 1}]}
    )
    alerts_site.notify(alert_id)
    (shown,) = alerts_site.get("/alerts")["alerts"]
    assert shown == {
        "id": alert_id,
        "rule": "disk_usage",
        "server_id": "web-01",
        "tags": {"mount": "/data0"},
        "severity": "warning",
        "state": "firing",
        "value": 91.5,
        "threshold": 90.0,
        "measurement": "disk",
        "field": "used_percent",
        "summary": "disk /data0 91.5 % full on web-01",
        "labels": {"env": "production"},
        "runbook": "docs/runbooks.md#disk_usage",
        "evidence": {"lines": ["seen"], "trend": [1.0], "processes": [{"pid": 1}]},
        "started": alerts_site.now_ms - 300_000,
        "fired": alerts_site.now_ms - 300_000,
        "resolved": None,
        "reason": None,
        "duration_ms": 300_000,
        "acknowledged": None,
        "told": [{"channel": "mail", "at": alerts_site.now_ms}],
        "silenced_by": [],
    }


def test_the_list_holds_what_is_not_over_and_filters(alerts_site: AlertsHarness) -> None:
    """Both states without ``state``; filters are exact; pages hold every alert once."""
    pending = alerts_site.alert("pending", fired_ms=None)
    firing = [
        alerts_site.alert(),
        alerts_site.alert(severity="critical"),
        alerts_site.alert(server_id="web-02"),
    ]
    other = alerts_site.alert(rule="cpu_usage", tags={"core": "total"})
    alerts_site.alert("resolved")
    ids = [one["id"] for one in walk(alerts_site, "/alerts?")]
    assert ids == [pending, *firing, other]
    for query, expected in (
        ("state=pending", [pending]),
        ("state=firing", [*firing, other]),
        ("severity=critical", [firing[1]]),
        ("server_id=web-02", [firing[2]]),
        ("rule=cpu_usage", [other]),
        ("rule=cpu", []),
    ):
        assert [one["id"] for one in alerts_site.get(f"/alerts?{query}")["alerts"]] == expected, (
            query
        )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/alerts?state=firing&state=pending", "/state"),
        ("/alerts/history?server_id=web-01&rule=a&server_id=web-02", "/server_id"),
        ("/silences?limit=1&limit=2", "/limit"),
    ],
)
def test_a_filter_given_twice_is_refused(alerts_site: AlertsHarness, path: str, name: str) -> None:
    """Of two only one could count, and nobody would know which."""
    assert alerts_site.faults("GET", path) == {name: ["is there more than once"]}


def test_the_history_tells_who_what_when_and_how_long(alerts_site: AlertsHarness) -> None:
    """Newest first, over or not; what was only pending never happened."""
    minute = 60_000
    ids = []
    for age in (50, 40, 40, 40, 10):
        fired = alerts_site.now_ms - age * minute
        ids.append(alerts_site.alert("resolved", fired_ms=fired, resolved_ms=fired + 5 * minute))
    still = alerts_site.alert(rule="cpu_usage")
    alerts_site.alert("pending", fired_ms=None)
    expected = [still, *reversed(ids)]
    found = walk(alerts_site, "/alerts/history?")
    assert [one["id"] for one in found] == expected
    assert (found[1]["duration_ms"], found[1]["reason"]) == (5 * minute, "cleared")
    assert found[0]["duration_ms"] == 5 * minute
    for query, wanted in (
        ("rule=cpu_usage", [still]),
        ("server_id=web-02", []),
        ("start=-20m", [still, ids[4]]),
        ("start=-36m", expected[:5]),  # these were still firing then
        ("end=-45m", [ids[0]]),
        ("start=-45m&end=-20m", expected[2:]),
        (f"start={alerts_site.now_ms - minute}", [still]),
        ("start=2020-01-01T00:00:00Z&end=2020-02-01T00:00:00Z", []),
    ):
        found = alerts_site.get(f"/alerts/history?{query}")["alerts"]
        assert [one["id"] for one in found] == wanted, query


def test_an_acknowledgement_names_the_key_and_runs_out(alerts_site: AlertsHarness) -> None:
    """A day unless said otherwise; anew replaces; after its end it is as if there were none."""
    alert_id = alerts_site.alert()
    by = f"key {alerts_site.api.keys['operator'][3:15]}"
    response = alerts_site.ask("POST", f"/alerts/{alert_id}/ack", json={"comment": "on it"})
    assert response.status_code == 200
    assert response.json is not None
    at = alerts_site.now_ms
    expected = {"by": by, "at": at, "until": at + DAY_MS, "comment": "on it"}
    assert response.json["acknowledged"] == expected
    assert alerts_site.get("/alerts")["alerts"][0]["acknowledged"] == expected
    alerts_site.api.clock.move(60)
    alerts_site.ask("POST", f"/alerts/{alert_id}/ack", "admin", json={"until": "4h"})
    until = alerts_site.row(alert_id).acknowledged_until_ms
    assert until == alerts_site.now_ms + 4 * 3_600_000
    detail = alerts_site.get(f"/alerts/{alert_id}")
    assert detail["acknowledged"]["comment"] == ""
    assert [one["kind"] for one in detail["events"]] == ["acknowledged"] * 2
    assert detail["events"][0]["details"] == {"by": by, "until": at + DAY_MS, "comment": "on it"}
    alerts_site.api.clock.move(4 * 3600)
    assert alerts_site.get(f"/alerts/{alert_id}")["acknowledged"] is None
    alerts_site.change(alert_id, state="resolved", resolved_ms=alerts_site.now_ms)
    assert alerts_site.get("/alerts/history")["alerts"][0]["acknowledged"]["until"] == until


@pytest.mark.parametrize(
    ("until", "ahead_s"),
    [("+4h", 14_400), ("90m", 5400), (1_800_000_065_000, 60), ("2027-01-15T08:01:05Z", 60)],
)
def test_the_end_of_an_acknowledgement_is_said_in_many_ways(
    alerts_site: AlertsHarness, until: str | int, ahead_s: int
) -> None:
    """Relative, epoch milliseconds, RFC 3339."""
    alert_id = alerts_site.alert()
    assert alerts_site.now_ms == 1_800_000_005_000
    response = alerts_site.ask("POST", f"/alerts/{alert_id}/ack", json={"until": until})
    assert response.status_code == 200, response.text
    assert alerts_site.row(alert_id).acknowledged_until_ms == alerts_site.now_ms + ahead_s * 1000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"until": "-1h"}, "/until"),
        ({"until": "now"}, "/until"),
        ({"until": "31d"}, "/until"),
        ({"until": 5}, "/until"),
        ({"until": -5}, "/until"),
        ({"until": 1.5}, "/until"),
        ({"until": True}, "/until"),
        ({"until": []}, "/until"),
        ({"until": "soon"}, "/until"),
        ({"until": "999999999999w"}, "/until"),
        ({"until": 10**40}, "/until"),
        ({"comment": 5}, "/comment"),
        ({"comment": "x" * 1001}, "/comment"),
        ({"comment": "a\x1b[31m"}, "/comment"),
        ({"who": "me"}, "/who"),
        ([], ""),
        (7, ""),
    ],
)
def test_a_wrong_acknowledgement_is_told_by_its_field(
    alerts_site: AlertsHarness, body: Any, field: str
) -> None:
    """And nothing is written."""
    alert_id = alerts_site.alert()
    assert list(alerts_site.faults("POST", f"/alerts/{alert_id}/ack", json=body)) == [field]
    assert alerts_site.row(alert_id).acknowledged_by is None


def test_who_writes_no_time_ahead_is_told_how(alerts_site: AlertsHarness) -> None:
    """Nothing that lies behind, and nothing about how addresses are written."""
    path = f"/alerts/{alerts_site.alert()}/ack"
    for text in ("soon", "+soon", "2026-13-01"):
        (said,) = alerts_site.faults("POST", path, json={"until": text})["/until"]
        assert said.endswith('or a duration from now as "4h"')


def test_an_acknowledgement_needs_no_body(alerts_site: AlertsHarness) -> None:
    """All of it is optional; what has a body says of which type it is."""
    alert_id = alerts_site.alert()
    assert alerts_site.ask("POST", f"/alerts/{alert_id}/ack").status_code == 200
    assert alerts_site.row(alert_id).acknowledged_by is not None
    alerts_site.ask("DELETE", f"/alerts/{alert_id}/ack")
    for options in ({"data": b'{"until": "4h"}'}, {"data": {"until": "4h"}}):
        assert alerts_site.ask("POST", f"/alerts/{alert_id}/ack", **options).status_code == 415
    assert alerts_site.row(alert_id).acknowledged_by is None


def test_an_acknowledgement_is_taken_back(alerts_site: AlertsHarness) -> None:
    """Once; a second time changes nothing and adds no event."""
    alert_id = alerts_site.alert()
    alerts_site.ask("POST", f"/alerts/{alert_id}/ack", json={})
    for _ in range(2):
        assert alerts_site.ask("DELETE", f"/alerts/{alert_id}/ack").status_code == 204
        assert alerts_site.row(alert_id).acknowledged_until_ms is None
    kinds = [one["kind"] for one in alerts_site.get(f"/alerts/{alert_id}")["events"]]
    assert kinds == ["acknowledged", "unacknowledged"]


def test_what_is_over_or_unknown_is_not_acknowledged(alerts_site: AlertsHarness) -> None:
    """409 and 404, and an old alert's record stays as it is."""
    over = alerts_site.alert("resolved", acknowledged_by="key a", acknowledged_until_ms=5)
    for method, options in ACTS:
        assert alerts_site.ask(method, f"/alerts/{over}/ack", **options).status_code == 409
        for unknown in (over + 1, 2**31 - 1, 2**31, 10**30, "x", "-1"):
            assert alerts_site.ask(method, f"/alerts/{unknown}/ack", **options).status_code == 404
    assert alerts_site.row(over).acknowledged_by == "key a"
    assert alerts_site.ask("GET", f"/alerts/{over + 1}").status_code == 404


def test_a_reader_reads_and_an_agent_does_not(alerts_site: AlertsHarness) -> None:
    """Acknowledging and silencing is for operators and admins."""
    alert_id = alerts_site.alert()
    end = {"matchers": {"rule": "x"}, "end": "1h"}
    for key, reads, acts in (
        (None, 401, 401),
        ("agent", 403, 403),
        ("reader", 200, 403),
        ("operator", 200, 200),
        ("admin", 200, 200),
    ):
        for path in ("/alerts", "/alerts/history", f"/alerts/{alert_id}", "/silences"):
            assert alerts_site.ask("GET", path, key).status_code == reads
        assert alerts_site.ask("POST", f"/alerts/{alert_id}/ack", key, json={}).status_code == acts
        made = alerts_site.ask("POST", "/silences", key, json=end)
        assert made.status_code == (201 if acts == 200 else acts)
        path = f"/silences/{made.json['id'] if acts == 200 and made.json else 1}"
        assert alerts_site.ask("DELETE", path, key).status_code == (204 if acts == 200 else acts)
        removed = alerts_site.ask("DELETE", f"/alerts/{alert_id}/ack", key)
        assert removed.status_code == (204 if acts == 200 else acts)


def test_an_event_of_any_kind_is_shown(alerts_site: AlertsHarness) -> None:
    """What befell it, in order, with its particulars."""
    alert_id = alerts_site.alert()
    with writing(alerts_site.api.registry.engine) as session:
        for at_ms, kind in ((3, "failed"), (1, "firing"), (2, "severity")):
            session.add(
                AlertEventRow(alert_id=alert_id, at_ms=at_ms, kind=kind, document={"n": at_ms})
            )
    events = alerts_site.get(f"/alerts/{alert_id}")["events"]
    assert [one["kind"] for one in events] == ["firing", "severity", "failed"]
    assert events[0] == {"at": 1, "kind": "firing", "details": {"n": 1}}


def test_the_state_database_away_is_a_503(alerts_site: AlertsHarness) -> None:
    """Not a 500, and it says when to come again."""
    alert_id = alerts_site.alert()
    alerts_site.api.registry.servers()
    with alerts_site.api.registry.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE alerts RENAME TO gone")
        connection.commit()
    for response in (
        alerts_site.ask("GET", "/alerts"),
        alerts_site.ask("POST", f"/alerts/{alert_id}/ack", json={}),
    ):
        assert response.status_code == 503
        assert "Retry-After" in response.headers


def test_the_openapi_document_describes_alerts_and_silences(alerts_site: AlertsHarness) -> None:
    """Every path with its methods; times may be text or number."""
    document = alerts_site.api.app.test_client().get("/openapi.json").get_json()
    paths = document["paths"]
    for path, methods in (
        ("/api/v1/alerts", {"get"}),
        ("/api/v1/alerts/history", {"get"}),
        ("/api/v1/alerts/{alert_id}", {"get"}),
        ("/api/v1/alerts/{alert_id}/ack", {"post", "delete"}),
        ("/api/v1/silences", {"get", "post"}),
        ("/api/v1/silences/{silence_id}", {"get", "delete"}),
    ):
        assert set(paths[path]) - {"parameters"} == methods
    names = {one["name"] for one in paths["/api/v1/alerts/history"]["get"]["parameters"]}
    assert names >= {"server_id", "rule", "start", "end", "cursor", "limit"}
    body = document["components"]["schemas"]["AckBody"]["properties"]["until"]
    assert {one["type"] for one in body["oneOf"]} == {"integer", "string", "null"}
