"""From a sample in the journal to rows in the state database, whatever happens on the way."""

from __future__ import annotations

import json
import logging
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from app.tests.engine.conftest import RULES, cpu, disk

from hostpulse_server import state
from hostpulse_server.journal.records import INTERNAL
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.shipper.deliveries import decode
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    import pytest
    from app.tests.engine.conftest import AlertsSite

    from hostpulse_server.journal import Entry

FIRING = ("web-01", "cpu_usage", "firing", "warning")


def test_an_alert_is_pending_fires_and_resolves(site: AlertsSite) -> None:
    """One row from its beginning to its end, with what a message needs."""
    site.cpu("web-01", 85)
    assert site.alerts() == [("web-01", "cpu_usage", "pending", "warning")]
    began = site.clock.ms
    site.cpu("web-01", 85, 85)
    assert site.events() == []
    processes = [{"name": "x", "pid": 7, "cpu_percent": 85.0, "rss_bytes": 1}]
    site.clock.move(10)
    site.send("web-01", [cpu(86)], processes=processes)
    site.drain()
    (row,) = site.rows("alerts")
    assert (row["state"], row["severity"], row["value"], row["threshold"]) == (
        "firing",
        "warning",
        86.0,
        80.0,
    )
    assert (row["started_ms"], row["fired_ms"]) == (began, began + 30_000)
    assert row["summary"] == "CPU 86 % on Web"
    assert (row["measurement"], row["field"]) == ("cpu", "usage_percent")
    assert json.loads(row["labels"]) == {"env": "prod", "team": "web"}
    assert json.loads(row["tags"]) == {"core": "total"}
    assert json.loads(row["evidence"])["processes"] == processes
    site.cpu("web-01", 76, 74)
    (row,) = site.rows("alerts")
    assert (row["state"], row["reason"], row["resolved_ms"]) == (
        "resolved",
        "cleared",
        site.clock.ms,
    )
    assert site.events() == ["firing", "resolved"]


def test_values_are_those_of_now_with_the_worst_and_of_the_end(site: AlertsSite) -> None:
    """In rows within 15 s, in messages at once, over a restart, and once it is over."""
    site.cpu("web-01", 85, 85, 85, 86)
    site.cpu("web-01", 97.5, 94.5)
    site.restart()
    site.cpu("web-01", 93)
    site.run(16)
    (row,) = site.rows("alerts")
    assert (row["value"], row["summary"]) == (93.0, "CPU 93 % on Web")
    evidence = json.loads(row["evidence"])
    assert (evidence["worst"], evidence["comparison"], evidence["clears_at"]) == (97.5, "above", 75)
    site.clock.move(4 * 3600)
    site.cpu("web-01", 91)
    site.run(2)
    repeated = json.loads(site.rows("outbox")[-1]["document"])
    (alert,) = repeated["alerts"]
    assert (repeated["kind"], alert["value"], alert["worst"]) == ("repeat", 91.0, 97.5)
    assert (alert["summary"], alert["trend"][-1]) == ("CPU 91 % on Web", 91.0)
    site.cpu("web-01", 79)
    site.run(16)
    site.cpu("web-01", 42)
    (row,) = site.rows("alerts")
    assert (row["state"], row["value"], row["reason"]) == ("resolved", 42.0, "cleared")
    assert json.loads(row["evidence"])["worst"] == 97.5
    assert row["summary"] == "CPU 97.5 % on Web"
    (alert,) = json.loads(site.rows("outbox")[-1]["document"])["alerts"]
    assert (alert["value"], alert["worst"], alert["comparison"]) == (42.0, 97.5, "above")


def test_in_the_band_of_hysteresis_a_value_is_not_below(site: AlertsSite) -> None:
    """The rule says on which side of its threshold it fires."""
    site.cpu("web-01", 85, 85, 85, 86, 78)
    site.clock.move(4 * 3600)
    site.cpu("web-01", 77)
    site.run(2)
    repeated = json.loads(site.rows("outbox")[-1]["document"])
    (alert,) = repeated["alerts"]
    assert (repeated["kind"], alert["value"], alert["comparison"], alert["clear"]) == (
        *("repeat", 77.0, "above", 75.0),
    )


def test_an_end_by_another_threshold_says_so(site: AlertsSite) -> None:
    """The value has not recovered."""
    site.cpu("web-01", 85, 85, 85, 86)
    site.write_rules(RULES.replace("above: 80, clear_below: 75", "above: 90"))
    site.run(6)
    site.cpu("web-01", 86)
    (row,) = site.rows("alerts")
    assert (row["state"], row["reason"], row["value"]) == ("resolved", "rule_changed", 86.0)


def test_what_a_break_has_begun_anew_is_so_since_then(site: AlertsSite) -> None:
    """While it is pending, and when it fires."""
    site.cpu("web-01", 85, 85)
    site.clock.move(120)
    site.cpu("web-01", 85)
    began = site.clock.ms
    (row,) = site.rows("alerts")
    assert (row["state"], row["started_ms"]) == ("pending", began)
    site.cpu("web-01", *[85] * 3)
    (row,) = site.rows("alerts")
    assert (row["started_ms"], row["fired_ms"]) == (began, began + 30_000)


def test_what_begins_anew_and_fires_at_once_is_so_since_then(site: AlertsSite) -> None:
    """As after a while in which the engine did not work: it reads all in one turn."""
    site.cpu("web-01", 85)
    site.clock.move(120)
    for _ in range(4):
        site.clock.move(10)
        site.send("web-01", [cpu(85)])
    site.drain()
    (row,) = site.rows("alerts")
    assert row["state"] == "firing"
    assert row["fired_ms"] - row["started_ms"] == 30_000


def test_what_was_only_pending_leaves_no_trace(site: AlertsSite) -> None:
    """Its row goes."""
    site.cpu("web-01", 85, 70)
    assert site.alerts() == []
    assert site.events() == []


def test_a_severity_that_changes_is_an_event_of_the_same_alert(site: AlertsSite) -> None:
    """The row has the one that holds now."""
    site.cpu("web-01", *[96] * 4)
    assert site.alerts() == [("web-01", "cpu_usage", "firing", "critical")]
    site.cpu("web-01", 85)
    assert site.alerts() == [FIRING]
    assert site.events() == ["firing", "severity"]
    document = json.loads(site.rows("alert_events")[1]["document"])
    assert (document["before"], document["severity"]) == ("critical", "warning")


def test_the_message_is_in_the_outbox_with_the_alert(site: AlertsSite) -> None:
    """One transaction has both, and the notifier is woken."""
    site.cpu("web-01", *[85] * 3)
    assert (site.rows("outbox"), site.woken) == ([], 0)
    site.cpu("web-01", 85)
    (row,) = site.rows("outbox")
    assert (row["channel"], row["state"]) == ("pager", "waiting")
    assert site.woken == 1


def test_an_alert_that_cannot_be_committed_is_committed_later(
    site: AlertsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is read on meanwhile, and the trouble is logged once."""
    site.cpu("web-01", *[85] * 3)
    with state.writing(site.database) as session:
        session.execute(sa.text("ALTER TABLE alert_events RENAME TO away"))
    site.cpu("web-01", 85)
    read_to = site.engine._reader.cursor.position
    for _ in range(10):
        site.send("web-02", [cpu(10)])
        site.run(10)
    assert site.engine._reader.cursor.position == read_to
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert site.alerts() == [("web-01", "cpu_usage", "pending", "warning")]
    before = site.cursor()["position"]
    with state.writing(site.database) as session:
        session.execute(sa.text("ALTER TABLE away RENAME TO alert_events"))
    site.run(20)
    assert site.alerts() == [FIRING]
    assert site.cursor()["position"] > before
    assert len(site.rows("outbox")) == 1


def test_transitions_are_points_for_the_store(site: AlertsSite) -> None:
    """One each; two at once on one host do not share a time, or one would be lost."""
    site.clock.move(10)
    site.send("web-01", [disk("/", 90.0), disk("/srv", 91.0)])
    site.drain()
    entries = [one for one in site.journal.read(0, 100, 2**20) if one.kind == INTERNAL]
    points = [point for entry in entries for point in decode(entry).points]
    assert [point.measurement for point in points] == ["alert", "alert"]
    assert {point.server_id for point in points} == {"web-01"}
    assert points[0].tags == (("rule", "disk_usage"), ("severity", "warning"), ("state", "firing"))
    assert points[1].time_ms == points[0].time_ms + 1
    expected = {"value": 90.0, "threshold": 80.0, "duration_seconds": 0.0, "change": 1.0}
    assert points[0].fields == expected
    position = site.cursor()["position"]
    site.run(3)
    assert site.cursor()["position"] == position + len(entries)
    assert site.alerts() == [("web-01", "disk_usage", "firing", "warning")] * 2


def test_what_transitions_change_adds_up_to_what_fires(site: AlertsSite) -> None:
    """Two mounts fill up, one gets worse, the other has room again: one critical alert fires."""
    more_severe = "critical: {above: 95}}"
    site.write_rules(
        RULES.replace("{warning: {above: 80}}", f"{{warning: {{above: 80}}, {more_severe}")
    )
    site.run(3)
    for root, data in ((90.0, 91.0), (99.0, 91.0), (99.0, 10.0)):
        site.clock.move(10)
        site.send("web-01", [disk("/", root), disk("/srv", data)])
        site.drain()
    entries = [one for one in site.journal.read(0, 100, 2**20) if one.kind == INTERNAL]
    points = [point for entry in entries for point in decode(entry).points]
    assert [point.fields["change"] for point in points] == [1.0, 1.0, -1.0, 1.0, -1.0]
    sums = Counter[str]()
    for point in points:
        sums[dict(point.tags)["severity"]] += int(point.fields["change"])
    assert sums == {"warning": 0, "critical": 1}
    reported = [point.fields for point in points if "duration_seconds" in point.fields]
    assert len(reported) == 4, "what a severity was before is no transition of its own"
    assert [alert[2:] for alert in site.alerts()].count(("firing", "critical")) == 1


def test_what_alerts_say_of_themselves_raises_no_alert(site: AlertsSite) -> None:
    """Or one would feed the next for ever."""
    rule = "{name: loop, summary: s, runbook: r, measurement: alert, field: value,"
    site.write_rules(f"{RULES}  - {rule} levels: {{warning: {{above: 0}}}}}}\n")
    site.run(3)
    site.send("web-01", [disk("/", 99.0)])
    site.run(5)
    assert [one[1] for one in site.alerts()] == ["disk_usage"]


def test_an_entry_that_comes_while_the_journal_is_read_is_no_gap(site: AlertsSite) -> None:
    """It was not there for the read, and is for the look at the newest id."""
    site.cpu("web-01", 10)
    read = site.journal.read

    def late(after: int, limit: int, max_bytes: int) -> list[Entry]:
        found = read(after, limit, max_bytes)
        if not found and site.seq["web-01"] == 1:
            site.send("web-01", [disk("/", 99.0)], time_ms=site.clock.ms + 1)
        return found

    site.journal.__dict__["read"] = late
    site.run(2)
    assert site.seq["web-01"] == 2
    assert site.cursor()["skipped"] == 0
    assert [one[1] for one in site.alerts()] == ["disk_usage"]


def test_what_the_server_measures_is_evaluated_too(site: AlertsSite) -> None:
    """Also what belongs to no host; each point of one entry once."""
    site.write_rules(
        "rules:\n"
        "  - {name: old, summary: s, runbook: r, measurement: backup, field: age_seconds,"
        " levels: {critical: {above: 10}}}\n"
        "  - {name: late, summary: s, runbook: r, measurement: server, field: status,"
        " levels: {warning: {above: 0}}}\n"
    )
    site.run(3)
    kinds = [
        StorePoint("", "backup", (("kind", kind),), site.clock.ms, {"age_seconds": 11.0})
        for kind in ("a", "b")
    ]
    site.say(*kinds, StorePoint("web-02", "server", (), site.clock.ms, {"status": 1.0}))
    site.run()
    assert sorted(site.alerts()) == [
        ("", "old", "firing", "critical"),
        ("", "old", "firing", "critical"),
        ("web-02", "late", "firing", "warning"),
    ]


def test_an_entry_that_cannot_be_read_is_passed_over_once(
    site: AlertsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, logged once and holds nobody up."""
    for body in (b"{", b"[]", b"\xff", b"{}", b"[" * 100_000):
        site.journal.append(body, "samples", site.clock.ms)
    site.journal.append(b"{}", "unheard of", site.clock.ms)
    site.cpu("web-01", *[85] * 4)
    assert site.alerts() == [FIRING]
    site.run(2)
    assert site.cursor()["faults"] == {"undecodable": 6}
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records)


def test_a_server_that_evaluation_fails_for_does_not_stop_the_others(
    site: AlertsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged once for that server, and counted."""
    broken: Any = {"measurement": "cpu", "tags": {"core": "total"}, "fields": {"usage_percent": []}}
    for _ in range(4):
        site.clock.move(10)
        site.send("web-01", [broken])
        site.send("web-02", [cpu(85)])
        site.drain()
    assert site.alerts() == [("web-02", "cpu_usage", "firing", "warning")]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    site.run(2)
    assert site.cursor()["faults"]["evaluation"] >= 1


def test_of_a_replayed_backlog_what_is_over_is_history_and_no_news(site: AlertsSite) -> None:
    """An hour of trouble that has passed is a line, marked late; trouble that goes on is sent."""
    start = site.clock.ms
    for number in range(360):
        at = start + number * 10_000
        site.send("web-01", [cpu(99 if number < 300 else 10)], time_ms=at)
        site.send("web-02", [cpu(99)], time_ms=at)
    site.clock.ms = start + 3_600_000
    site.drain()
    assert site.alerts() == [
        ("web-01", "cpu_usage", "resolved", "critical"),
        ("web-02", "cpu_usage", "firing", "critical"),
    ]
    late = [json.loads(row["document"]).get("late") for row in site.rows("alert_events")]
    assert late.count(True) == 2
    (message,) = site.rows("outbox")
    assert "web-01" not in message["document"]


def test_a_backlog_that_ends_long_ago_waits_for_a_fresh_sample(site: AlertsSite) -> None:
    """Nobody knows how it is now; the first fresh sample says so."""
    start = site.clock.ms
    for number in range(30):
        site.send("web-01", [cpu(99)], time_ms=start + number * 10_000)
    site.clock.ms = start + 1_800_000
    site.run(5)
    assert site.alerts() == []
    site.cpu("web-01", 99)
    assert [one[2] for one in site.alerts()] in (["pending"], ["firing"])


def test_entries_dropped_before_they_were_read_are_counted_and_told(site: AlertsSite) -> None:
    """As after an engine that was away for more than an hour; it goes on with what is there."""
    site.cpu("web-01", 10)
    site.run(2)
    for _ in range(5):
        site.send("web-01", [cpu(10)])
    site.journal.hint("shipper", site.journal.last_id())
    expiry = ExpiryGuard(site.clock)
    site.clock.move(3601)
    site.journal.trim(expiry)
    site.restart()
    site.cpu("web-01", *[85] * 4)
    assert site.alerts() == [FIRING]
    assert site.cursor()["skipped"] == 5
    kinds = [row["kind"] for row in site.rows("outbox")]
    assert kinds.count("notice") == 1
    site.run(30)
    assert [row["kind"] for row in site.rows("outbox")].count("notice") == 1


def test_another_journal_is_read_from_its_start_and_nothing_is_told_twice(site: AlertsSite) -> None:
    """As after a restored backup: alerts and times stay, samples that are known are skipped."""
    site.cpu("web-01", *[85] * 4)
    site.run(2)
    bodies = [entry.body for entry in site.journal.read(0, 100, 2**20) if entry.kind == "samples"]
    position = site.cursor()["position"]
    site.journal.close()
    for path in site.folder.glob("journal.db*"):
        if path.is_file():
            path.unlink()
    with closing(site.open_journal()) as journal:
        site.journal = journal
        for body in bodies:
            journal.append(body, "samples", site.clock.ms)
        site.restart()
        site.run(2)
        assert site.cursor()["position"] < position
        assert site.cursor()["skipped"] == 0
        assert (site.alerts(), site.events()) == ([FIRING], ["firing"])
        site.cpu("web-01", 70)
        assert site.events() == ["firing", "resolved"]
        assert len([row for row in site.rows("outbox") if row["kind"] == "firing"]) == 1


def test_a_disabled_server_ends_its_alerts_and_is_not_evaluated(site: AlertsSite) -> None:
    """Within seconds, with the reason; enabled again it begins anew."""
    site.cpu("web-01", *[85] * 4)
    site.run(20)
    disabled_ms = site.clock.ms
    site.registry.disable("web-01")
    site.run(5)
    (row,) = site.rows("alerts")
    assert (row["state"], row["reason"]) == ("resolved", "disabled")
    # when somebody disabled it, not when it last reported
    assert disabled_ms <= row["resolved_ms"] <= site.clock.ms
    assert {one["server_id"] for one in site.rows("alert_progress", "server_id")} <= {"", "web-02"}
    site.send("web-01", [disk("/", 99.0)])
    site.run(2)
    assert len(site.alerts()) == 1
    site.registry.enable("web-01")
    site.send("web-01", [disk("/", 99.0)], time_ms=site.clock.ms + 1)
    site.drain()
    assert site.alerts()[1:] == [("web-01", "disk_usage", "firing", "warning")]


def test_a_removed_server_ends_its_alerts_even_while_no_engine_runs(site: AlertsSite) -> None:
    """The next engine finds it gone."""
    site.cpu("web-01", *[85] * 4)
    site.run(2)
    site.registry.remove("web-01")
    site.restart()
    site.run(3)
    (row,) = site.rows("alerts")
    assert (row["state"], row["reason"]) == ("resolved", "server_removed")


def test_a_server_added_a_moment_ago_is_evaluated_from_its_first_sample(site: AlertsSite) -> None:
    """The registry is asked about a server that is not known."""
    site.drain()
    site.registry.add({"id": "new", "labels": {"env": "test"}})
    site.send("new", [disk("/", 99.0)])
    site.drain()
    assert site.alerts() == [("new", "disk_usage", "firing", "warning")]
