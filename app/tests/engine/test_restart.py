"""An engine that is restarted, anywhere, does what one that was not would have done."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.engine.conftest import AlertsSite, cpu, disk
from hypothesis import given, settings
from hypothesis import strategies as st

from hostpulse_server.engine.loop import REFRESH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

_OUTCOME = ("server_id", "rule", "tags", "state", "severity", "value", "started_ms", "fired_ms")


def outcome(site: AlertsSite) -> list[Any]:
    """Return what alerts there were and what befell them.

    Evidence is left out: the trend of a series that nothing was wrong with begins anew.
    """
    names = (*_OUTCOME, "resolved_ms", "reason", "summary")
    alerts = [tuple(row[name] for name in names) for row in site.rows("alerts")]
    events = [(row["kind"], row["at_ms"], row["document"]) for row in site.rows("alert_events")]
    reported = [(row["kind"], row["channel"]) for row in site.rows("outbox")]
    return [alerts, events, reported]


def live(values: Sequence[tuple[float, float]], restarts: set[int]) -> list[Any]:
    """Have two hosts report these, ten seconds apart; restart before some of them."""
    with tempfile.TemporaryDirectory() as folder, closing(AlertsSite(Path(folder))) as site:
        for server_id in ("web-01", "web-02"):
            site.registry.add({"id": server_id})
        for number, (one, other) in enumerate(values):
            if number in restarts:
                site.restart()
            site.clock.move(10)
            site.send("web-01", [cpu(one), disk("/", other)])
            site.send("web-02", [cpu(other)])
            site.drain()
        site.clock.move(REFRESH_SECONDS)  # what fires has its value of now by then
        site.drain()
        return outcome(site)


_LEVELS = st.sampled_from([70.0, 78.0, 85.0, 92.0, 97.0])


@settings(max_examples=8, deadline=None)
@given(
    values=st.lists(st.tuples(_LEVELS, _LEVELS), min_size=8, max_size=16),
    restarts=st.sets(st.integers(0, 15), min_size=1, max_size=4),
)
def test_restarts_change_nothing(values: list[tuple[float, float]], restarts: set[int]) -> None:
    """The same alerts, events and messages, to the millisecond."""
    assert live(values, restarts) == live(values, set())


def test_a_restart_in_steady_state_writes_and_sends_nothing(site: AlertsSite) -> None:
    """All tables are as before, but for the time at which the engine last worked."""
    site.cpu("web-01", *[85] * 5)
    site.cpu("web-02", *[10] * 2)
    site.run(3)
    before, woken = site.everything(), site.woken
    site.restart()
    site.run(3)
    assert site.everything() == before
    assert site.woken == woken


@pytest.mark.parametrize("seconds", [30, 3000])
def test_an_engine_that_was_away_goes_on_with_what_came_meanwhile(
    site: AlertsSite, seconds: int
) -> None:
    """A condition that began before holds on, with its own clock."""
    site.cpu("web-01", 85)
    began = site.clock.ms
    for _ in range(seconds // 10):
        site.clock.move(10)
        site.send("web-01", [cpu(85)])
    site.restart()
    site.drain()
    (row,) = site.rows("alerts")
    assert (row["state"], row["started_ms"], row["fired_ms"]) == (
        "firing",
        began,
        began + 30_000,
    )
