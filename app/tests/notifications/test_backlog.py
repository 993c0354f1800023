"""What waited while a channel was away is merged to the present before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from app.tests.notifications.delivery import DeliveryHarness, refuse

from hostpulse_server import state
from hostpulse_server.state.alert_models import AlertRow, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR = 3600


@pytest.fixture
def pager(tmp_path: Path) -> Iterator[DeliveryHarness]:
    """Give a harness with nothing but a pager."""
    with DeliveryHarness(tmp_path / "delivery", ("pager",)) as made:
        yield made


def away(delivery: DeliveryHarness, answer: str = "503") -> None:
    """Let the pager take nothing, and ask for few tries: each costs a test some time."""
    refuse(delivery.pager, answer, times=999, Retry_After="1200")


def wait(delivery: DeliveryHarness, seconds: int) -> None:
    """Let the planner and the channels work for so long."""
    for _ in range(seconds // 300):
        delivery.planning.turn()
        delivery.deliver(300)


def back(delivery: DeliveryHarness) -> list[dict[str, Any]]:
    """Let the pager take all again; return what it took."""
    delivery.pager.answers.clear()
    before = len(delivery.pager.posts)
    wait(delivery, 1800)
    return [post.payload for post in delivery.pager.posts[before:]]


def test_what_still_fires_is_sent_once_with_its_value_of_now_and_its_age(
    pager: DeliveryHarness,
) -> None:
    """No repeat, no update after it: the incident as it is."""
    away(pager)
    number = pager.fire("web-01")
    wait(pager, HOUR)
    pager.planning.rise(number)
    wait(pager, 5 * HOUR)  # with a repeat
    with state.writing(pager.planning.database) as session:
        session.get_one(AlertRow, number).summary = "CPU 94.5 % on web-01"
    (taken,) = back(pager)
    assert (taken["kind"], taken["severity"]) == ("firing", "critical")
    assert taken["alerts"][0]["summary"] == "CPU 94.5 % on web-01"
    assert taken["note"].startswith("Fired 6 h ")
    assert (
        "this channel did not answer from 2027-01-15 08:00:00 UTC to 2027-01-15 14:"
        in (taken["note"])
    )
    assert pager.notified()[0][0] == number
    assert not pager.rows(state="waiting")


def test_what_is_over_and_was_never_sent_is_a_line_of_one_message(pager: DeliveryHarness) -> None:
    """The pager hears of no resolve of what it never heard firing."""
    away(pager)
    ended = [pager.fire(f"web-{one}") for one in range(3)]
    wait(pager, 1200)
    for number in ended:
        pager.end(number)
    wait(pager, 2 * HOUR)
    (taken,) = back(pager)
    assert taken["kind"] == "notice"
    assert taken["note"].startswith(
        "While this channel was away: 3 alerts fired and were over. It did not answer from 2027-"
    )
    for one in range(3):
        assert f"warning cpu_usage on web-{one}: fired " in taken["note"]
    assert taken["note"].count("over after 20 min") == 3
    assert sorted(number for number, *_ in pager.notified()) == ended


def test_a_resolve_follows_what_the_pager_heard_firing(pager: DeliveryHarness) -> None:
    """One message with the same key; what came between is not sent."""
    number = pager.fire("web-01")
    pager.deliver()
    away(pager)
    pager.planning.rise(number)
    wait(pager, HOUR)
    pager.end(number)
    wait(pager, HOUR)
    (taken,) = back(pager)
    assert (taken["status"], taken["dedup_key"]) == (
        "resolved",
        pager.pager.posts[0].payload["dedup_key"],
    )


@pytest.mark.parametrize("is_over", [False, True])
def test_a_message_that_may_have_arrived_keeps_its_id_or_is_resolved(
    pager: DeliveryHarness, *, is_over: bool
) -> None:
    """The pager answered 500: it may have taken it all the same."""
    away(pager, "500")
    number = pager.fire("web-01")
    wait(pager, HOUR)
    if is_over:
        pager.end(number)
    wait(pager, HOUR)
    first = pager.pager.posts[0]
    (taken,) = back(pager)
    last = pager.pager.posts[-1].headers["idempotency-key"]
    assert (last == first.headers["idempotency-key"]) is not is_over
    assert taken["status"] == ("resolved" if is_over else "firing")
    assert taken["dedup_key"] == first.payload["dedup_key"]


def test_nothing_that_is_silenced_now_is_sent(pager: DeliveryHarness) -> None:
    """What still fires at the end of the silence is sent then."""
    away(pager)
    pager.fire("web-01")
    pager.end(pager.fire("web-02"))
    wait(pager, HOUR)
    pager.planning.silence(2 * HOUR, server_id="web-*")
    assert not back(pager)
    wait(pager, 2 * HOUR)
    (taken,) = [post.payload for post in pager.pager.posts if post.answered == 200]
    assert (taken["kind"], taken["alerts"][0]["server_id"]) == ("firing", "web-01")


def test_a_part_that_is_over_leaves_what_still_fires(pager: DeliveryHarness) -> None:
    """One incident of two: the other is a line."""
    with pager.planning.together():
        pager.planning.fire("web-01", "cpu_usage")
        ended = pager.planning.fire("web-01", "memory_usage")
    away(pager)
    pager.planning.turn()
    wait(pager, HOUR)
    pager.end(ended)
    wait(pager, HOUR)
    first, second = back(pager)
    assert {first["kind"], second["kind"]} == {"firing", "notice"}
    firing = first if first["kind"] == "firing" else second
    assert [one["rule"] for one in firing["alerts"]] == ["cpu_usage"]
    assert firing["counts"] == {"firing": 1, "resolved": 0, "servers": 1}


def test_a_message_that_cannot_be_read_leaves_the_others_merged(pager: DeliveryHarness) -> None:
    """It is sent, or refused, as it was written."""
    away(pager)
    pager.fire("web-01")
    ended = pager.fire("web-02")
    (first, _) = pager.rows(state="waiting")
    with state.writing(pager.planning.database) as session:
        session.get_one(OutboxRow, first.id).document = {"kind": 1}
    wait(pager, 1200)
    pager.end(ended)
    wait(pager, 1200)
    assert back(pager)[0]["kind"] == "notice"
