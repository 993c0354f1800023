"""Whatever was done to the stack before: every sample that was taken is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from reader import Reader

    Until = Callable[[Callable[[], object], float], None]


@pytest.mark.parametrize("name", ["monitor", "db-01"])
def test_no_sequence_has_a_gap_and_completeness_is_100(
    name: str, reader: Reader, until: Until
) -> None:
    """The newest sample comes first and the backlog behind it, until nothing is missing."""
    begin = time.time() * 1000
    server: dict[str, Any] = {}

    def caught_up() -> bool:
        server.update(reader.get(f"servers/{name}"))
        fresh = server["status"] == "up" and (server["last_seen"] or 0) > begin
        return bool(fresh and all(stream["missing"] == 0 for stream in server["ledger"]))

    until(caught_up, 90)  # the agent's backoff after an outage is up to a minute
    assert server["completeness"] == 100.0
    # One spool from the first installation on: an upgrade does not begin a new one.
    assert len(server["ledger"]) == 1
    ((lowest, *_),) = server["ledger"][0]["ranges"]
    assert lowest == 1


@pytest.mark.parametrize("name", ["monitor", "db-01"])
def test_an_agent_says_that_it_dropped_nothing(name: str, reader: Reader, until: Until) -> None:
    """What the agent counts agrees with what the server finds, once it delivers again."""
    said: dict[str, float] = {}

    def heard() -> bool:
        said.update(reader.last("agent", "dropped_samples", server_id=name, start="-1m"))
        return name in said

    until(heard, 90)  # the agent's backoff after an outage is up to a minute
    assert said[name] == 0
