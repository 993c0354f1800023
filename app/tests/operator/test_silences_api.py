"""The silences API over the real application, and what comes of garbage."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostpulse_server.values.matchers import matches, properties

if TYPE_CHECKING:
    from app.tests.operator.conftest import AlertsHarness

HOUR_MS = 3_600_000
GOOD: dict[str, Any] = {"matchers": {"rule": "disk_*"}, "end": "2h", "comment": "moving disks"}


def test_a_silence_is_made_shown_and_ended(alerts_site: AlertsHarness) -> None:
    """From now on, by the key; removing ends it and its record stays."""
    made = alerts_site.ask("POST", "/silences", json=GOOD)
    assert made.status_code == 201
    shown = made.json
    assert shown is not None
    assert (shown.pop("firing"), shown.pop("notes")) == (0, [])
    assert made.headers["Location"] == f"/api/v1/silences/{shown['id']}"
    assert shown == {
        "id": 1,
        "matchers": {"rule": "disk_*"},
        "start": alerts_site.now_ms,
        "end": alerts_site.now_ms + 2 * HOUR_MS,
        "comment": "moving disks",
        "by": f"key {alerts_site.api.keys['operator'][3:15]}",
        "created": alerts_site.now_ms,
        "state": "active",
    }
    assert alerts_site.get("/silences") == {"silences": [shown], "next": None}
    assert alerts_site.get("/silences/1") == shown
    alerts_site.api.clock.move(60)
    for _ in range(2):
        assert alerts_site.ask("DELETE", "/silences/1").status_code == 204
        assert alerts_site.get("/silences")["silences"] == []
        (old,) = alerts_site.get("/silences?expired=true")["silences"]
        assert (old["state"], old["end"]) == ("expired", alerts_site.now_ms)
        assert old["start"] == alerts_site.now_ms - 60_000


def test_a_silence_to_come_never_begins_once_it_is_removed(alerts_site: AlertsHarness) -> None:
    """It is listed as future; afterwards its times are over."""
    made = alerts_site.ask("POST", "/silences", json={**GOOD, "start": "1h"}).json
    assert made is not None
    assert made["state"] == "future"
    assert made["start"] == alerts_site.now_ms + HOUR_MS
    assert [one["id"] for one in alerts_site.get("/silences")["silences"]] == [made["id"]]
    alerts_site.ask("DELETE", f"/silences/{made['id']}")
    row = alerts_site.silences()[0]
    assert row.start_ms == row.end_ms == alerts_site.now_ms


def test_alerts_say_what_silences_them(alerts_site: AlertsHarness) -> None:
    """Globs over rule, severity, server, tags and labels; all of one silence must match."""
    alert_id = alerts_site.alert(severity="critical", labels={"env": "production", "mount": "no"})
    matching = (
        {"rule": "disk_usage"},
        {"rule": "disk_*", "server_id": "web-*"},
        {"severity": "crit*"},
        {"mount": "/data[0-9]"},
        {"env": "prod*"},
        {"label.env": "production"},
        {"label.mount": "no"},
        {"rule": "*"},
        {"rule!": "cpu_*"},
        {"core!": "*"},
    )
    others = (
        {"rule": "disk"},
        {"rule": "disk_*", "server_id": "db-*"},
        {"core": "*"},
        {"mount": "no"},
        {"rule": "*", "mount!": "/data*"},
    )
    for matchers in (*matching, *others):
        body = {"matchers": matchers, "end": "1h", "comment": "x"}
        assert alerts_site.ask("POST", "/silences", json=body).status_code == 201, matchers
    alerts_site.ask("POST", "/silences", json={**GOOD, "start": "30m"})
    (shown,) = alerts_site.get("/alerts")["alerts"]
    assert shown["silenced_by"] == list(range(1, len(matching) + 1))
    alerts_site.api.clock.move(3600)
    assert alerts_site.get(f"/alerts/{alert_id}")["silenced_by"] == [
        len(matching) + len(others) + 1
    ]


def test_a_new_silence_says_how_many_alerts_it_matches_and_what_may_be_a_slip(
    alerts_site: AlertsHarness,
) -> None:
    """Of those that fire now; a name that nothing has is taken all the same."""
    for server_id in ("web-01", "web-02"):
        alerts_site.alert(server_id=server_id)
    alerts_site.alert("pending")
    alerts_site.alert("resolved")
    for matchers, count, notes in (
        ({"rule": "disk_*", "mount": "*"}, 2, 0),
        ({"server_id": "web-02"}, 1, 0),
        ({"server_id": "web-02", "foo": "bar"}, 0, 1),
    ):
        made = alerts_site.ask("POST", "/silences", json={**GOOD, "matchers": matchers})
        assert made.json is not None
        assert made.status_code == 201
        assert (made.json["firing"], len(made.json["notes"])) == (count, notes), matchers


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"matchers": {}}, "/matchers"),
        ({"matchers": None}, "/matchers"),
        ({"matchers": ["rule"]}, "/matchers"),
        ({"matchers": {f"tag{n}": "x" for n in range(33)}}, "/matchers"),
        ({"matchers": {"rule": 5}}, "/matchers/rule"),
        ({"matchers": {"rule": ""}}, "/matchers/rule"),
        ({"matchers": {"rule": "x" * 1025}}, "/matchers/rule"),
        ({"matchers": {"rule": "a\nb"}}, "/matchers/rule"),
        ({"matchers": {"severity": "fatal"}}, "/matchers/severity"),
        ({"matchers": {"Label.env": "x"}}, "/matchers/Label.env"),
        ({"matchers": {"a/b~c": "x"}}, "/matchers/a~1b~0c"),
        ({"matchers": {"": "x"}}, "/matchers/"),
        ({"matchers": {"label.": "x"}}, "/matchers/label."),
        ({"matchers": {"rule": "*", "server_id": "**"}, "comment": " "}, "/comment"),
        ({"end": None}, "/end"),
        ({"end": "now"}, "/end"),
        ({"end": "-1h"}, "/end"),
        ({"end": "53w"}, "/end"),
        ({"start": "3h"}, "/end"),
        ({"start": "-2h", "end": "-1h"}, "/end"),
        ({"start": {}}, "/start"),
        ({"comment": ["x"]}, "/comment"),
        ({"creator": "me"}, "/creator"),
    ],
)
def test_a_wrong_silence_is_told_by_its_field(
    alerts_site: AlertsHarness, changes: dict[str, Any], field: str
) -> None:
    """And nothing is written."""
    assert list(alerts_site.faults("POST", "/silences", json={**GOOD, **changes})) == [field]
    assert alerts_site.silences() == []


def test_every_fault_is_told_at_once(alerts_site: AlertsHarness) -> None:
    """Not one after the other."""
    body = {"matchers": {"rule": "", "severity": "fatal"}, "end": "53w", "comment": "\x07"}
    found = alerts_site.faults("POST", "/silences", json=body)
    assert set(found) == {"/matchers/rule", "/matchers/severity", "/end", "/comment"}
    assert set(alerts_site.faults("POST", "/silences", json={})) == {"/matchers", "/end"}


def test_silences_page(alerts_site: AlertsHarness) -> None:
    """Each once, in order."""
    for _ in range(5):
        alerts_site.ask("POST", "/silences", json=GOOD)
    first = alerts_site.get("/silences?limit=3")
    assert [one["id"] for one in first["silences"]] == [1, 2, 3]
    rest = alerts_site.get(f"/silences?limit=3&cursor={first['next']}")
    assert ([one["id"] for one in rest["silences"]], rest["next"]) == ([4, 5], None)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/alerts?state=resolved", "/state"),
        ("/alerts?state=", "/state"),
        ("/alerts?severity=bad", "/severity"),
        ("/alerts?limit=0", "/limit"),
        ("/alerts?limit=1001", "/limit"),
        ("/alerts?limit=x", "/limit"),
        ("/alerts?cursor=x", "/cursor"),
        ("/alerts?cursor=99999999999999999999", "/cursor"),
        ("/alerts?cursor=1%0a", "/cursor"),
        ("/alerts?server_id=%00", "/server_id"),
        ("/alerts?what=1", "/what"),
        ("/alerts?label.Env=1", "/label.Env"),
        ("/alerts?label.NAME=1", "/label.NAME"),
        ("/alerts?label.env=1&label.env=2", "/label.env"),
        ("/alerts/history?start=yesterday", "/start"),
        ("/alerts/history?start=now&end=-1h", "/start"),
        ("/alerts/history?end=2026-01-01", "/end"),
        ("/alerts/history?cursor=5", "/cursor"),
        ("/alerts/history?state=firing", "/state"),
        ("/silences?expired=maybe", "/expired"),
        ("/silences?cursor=-1", "/cursor"),
    ],
)
def test_a_wrong_parameter_is_told(alerts_site: AlertsHarness, path: str, field: str) -> None:
    """By name, as a JSON pointer."""
    assert list(alerts_site.faults("GET", path)) == [field]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_field = st.sampled_from(["matchers", "start", "end", "comment", "until", "by"])
_times = st.sampled_from(["1h", "now", "+1d", "-1d", "0", "9" * 30, "2027-01-15T08:00:00Z"])
_matchers = st.dictionaries(
    st.sampled_from(["rule", "server_id", "severity", "label.env", "core", "[", "a/b"]),
    st.sampled_from(["*", "", "[", "[!", "crit*", "\x00", "\ud83d", "é"]),
    max_size=3,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=_json | st.dictionaries(_field, _json | _times | _matchers, max_size=4),
    text=st.text(max_size=8),
    number=st.integers(0),
)
def test_whatever_is_sent_the_answer_is_no_server_error(
    alerts_site: AlertsHarness, body: Any, text: str, number: int
) -> None:
    """Bodies, parameters and paths of any kind: 2xx or 4xx, as JSON."""
    alert_id = (
        alerts_site.alert(tags={"mount": "/data"})
        if not alerts_site.get("/alerts")["alerts"]
        else 1
    )
    value = quote(text, errors="surrogatepass")
    data = json.dumps(body)
    options: dict[str, Any] = {"data": data, "content_type": "application/json"}
    for response in (
        alerts_site.ask("POST", f"/alerts/{alert_id}/ack", **options),
        alerts_site.ask("POST", f"/alerts/{number}/ack", **options),
        alerts_site.ask("POST", "/silences", **options),
        alerts_site.ask("DELETE", f"/silences/{number}"),
        alerts_site.ask("GET", f"/alerts/{value}"),
        alerts_site.ask("GET", f"/alerts?server_id={value}&cursor={value}"),
        alerts_site.ask("GET", f"/alerts/history?start={value}&end={number}&rule={value}"),
        alerts_site.ask("GET", f"/silences?expired={value}&limit={number}"),
    ):
        assert response.status_code < 500, response.text
        if response.data:
            json.loads(response.data)
    assert alerts_site.get("/alerts/history")["alerts"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000, b'{"until": ' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_is_the_senders_fault(
    alerts_site: AlertsHarness, data: bytes
) -> None:
    """However it is broken."""
    alerts_site.alert()
    for path in ("/alerts/1/ack", "/silences"):
        response = alerts_site.ask("POST", path, data=data, content_type="application/json")
        assert response.status_code in ((200, 422) if data == b"" else (400, 422))
    response = alerts_site.ask("POST", "/silences", data={"end": "1h"})
    assert response.status_code == 415


@given(value=st.text(max_size=5), glob=st.text("ab*?[]!", max_size=5))
def test_a_glob_without_magic_is_equality(value: str, glob: str) -> None:
    """The short way gives what the long one would."""
    assert matches({"x": glob}, {"x": value}) == fnmatchcase(value, glob)
    assert not matches({"x": glob}, {})


def test_nothing_hides_what_an_alert_is() -> None:
    """A tag before a label of its name; neither before rule, severity and server."""
    labels = {"rule": "l", "core": "l", "env": "l"}
    found = properties("info", "cpu", "web", labels, {"core": "t", "severity": "t"})
    assert found == {
        "rule": "cpu",
        "severity": "info",
        "server_id": "web",
        "core": "t",
        "env": "l",
        "label.rule": "l",
        "label.core": "l",
        "label.env": "l",
    }
