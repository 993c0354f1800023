"""Whatever was done to the stack before: every sample that was taken is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from reader import Reader
    from testinfra.host import Host

    Until = Callable[[Callable[[], object], float], None]

# Asks InfluxDB on its own host, past our server; the token is in no argument.
QUERY = """
import json, pathlib, sys, urllib.request
token = pathlib.Path('/etc/hostpulse/influxdb_query_token').read_text().strip()
request = urllib.request.Request(
    'http://127.0.0.1:8086/api/v2/query?org=hostpulse',
    data=json.dumps({'type': 'flux', 'query': sys.argv[1]}).encode(),
    headers={'Authorization': 'Token ' + token, 'Content-Type': 'application/json'})
with urllib.request.urlopen(request, timeout=20) as answer:
    print(answer.read().decode())
"""


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
        # What waits in the journal is no gap in the ledger, but lacks in the completeness.
        whole = all(stream["missing"] == 0 for stream in server["ledger"])
        return bool(fresh and whole and server["completeness"] == 100.0)

    until(caught_up, 90)  # the agent's backoff after an outage is up to a minute
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


@pytest.mark.parametrize("name", ["monitor", "db-01"])
def test_influxdb_has_each_sample_that_the_books_call_stored(
    name: str, reader: Reader, host_of: Callable[[str], Host], until: Until
) -> None:
    """One point a sample in the engine itself, whatever our own books say."""

    def in_books() -> int:
        (stream,) = reader.get(f"servers/{name}")["ledger"]
        return int(stream["stored"])

    before = in_books()
    counted = host_of("monitor").check_output(
        "python3 -c %s %s",
        QUERY,
        'from(bucket: "hostpulse_raw") |> range(start: -1d)'
        f' |> filter(fn: (r) => r.server_id == "{name}" and r._measurement == "system"'
        ' and r._field == "load1") |> count() |> keep(columns: ["_value"])',
    )
    in_store = int(counted.split()[-1].rpartition(",")[2])
    assert in_store >= before
    # A batch is in the store a moment before it is in the books.
    until(lambda: in_books() >= in_store, 10)
