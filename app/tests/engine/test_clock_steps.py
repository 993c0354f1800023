"""The server's clock is set: nothing waits for a time that was wrong, and people are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tests.engine.conftest import STEP, cpu

if TYPE_CHECKING:
    from app.tests.engine.conftest import AlertsSite

HOUR = 3600


def sample(site: AlertsSite, value: float) -> None:
    """Have a host report, on whose own clock ten seconds have passed."""
    site.clock.move(STEP)
    site.send("web-01", [cpu(value)], mono_ms=int(site.clock.monotonic() * 1000))
    site.drain()


def notices(site: AlertsSite) -> list[str]:
    """Return what people were told about hostpulse itself."""
    return [row["document"] for row in site.rows("outbox") if row["kind"] == "notice"]


def test_what_begins_after_a_clock_was_an_hour_ahead_fires_in_time(site: AlertsSite) -> None:
    """The host took the wrong time over for two samples, and the right one after."""
    sample(site, 10)
    site.clock.set(HOUR)
    for _ in range(2):
        sample(site, 10)
    site.clock.set(-HOUR)
    for _ in range(4):
        sample(site, 99)
    assert site.alerts() == [("web-01", "cpu_usage", "firing", "critical")]


def test_what_runs_while_a_clock_is_set_counts_as_it_was_seen(site: AlertsSite) -> None:
    """Beyond the threshold before, during and after: for 30 s in all, no hour more or less."""
    sample(site, 99)
    site.clock.set(HOUR)
    for _ in range(2):
        sample(site, 99)
        assert [row[2] for row in site.alerts()] == ["pending"]
    site.clock.set(-HOUR)
    sample(site, 99)
    assert [row[2] for row in site.alerts()] == ["firing"]


def test_a_message_of_a_wrong_hour_goes_out_at_once(site: AlertsSite) -> None:
    """So do its group's next ones: neither waits until it is that late."""
    site.clock.set(HOUR)
    site.run(2)
    for _ in range(4):
        sample(site, 99)
    (message,) = [row for row in site.rows("outbox") if row["kind"] == "firing"]
    site.clock.set(-HOUR)
    site.run(2)
    messages = [row for row in site.rows("outbox") if row["id"] == message["id"]]
    assert [row["next_ms"] <= site.clock.ms for row in messages] == [True]
    assert [row["told_ms"] <= site.clock.ms for row in site.rows("alert_groups")] == [True]
    assert [row["told_ms"] <= site.clock.ms for row in site.rows("alert_tellings", "alert_id")] == [
        True
    ]


def test_what_a_clock_left_wrong_is_mended_at_the_start(site: AlertsSite) -> None:
    """It was set back while no engine ran."""
    site.clock.set(HOUR)
    site.run(2)
    for _ in range(4):
        sample(site, 99)
    site.clock.set(-HOUR)
    site.restart()
    site.run(2)
    waiting = [row["next_ms"] for row in site.rows("outbox") if row["state"] == "waiting"]
    assert waiting
    assert max(waiting) <= site.clock.ms
    assert site.cursor()["alive_ms"] <= site.clock.ms


def test_a_step_is_counted_and_said_once(site: AlertsSite) -> None:
    """Of one by some seconds nobody is notified."""
    site.run(2)
    assert "clock_steps" not in site.cursor()
    site.clock.set(20)
    site.run(2)
    assert site.cursor()["clock_steps"] == 1
    assert notices(site) == []
    site.clock.set(-HOUR)
    site.run(5)
    assert site.cursor()["clock_steps"] == 2
    (notice,) = notices(site)
    assert "was set back by 1 h" in notice
