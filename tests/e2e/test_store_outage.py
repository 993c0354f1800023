"""The store is away while 50 agents report: nothing is lost, and what is new comes on time."""

from __future__ import annotations

import gzip
import json
import logging
import math
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from bench import ingest_sample
from testbed.influxdb.local import Influxd
from tests.e2e import influx
from tests.e2e.agents import Agents
from tests.e2e.services import LONG, Site
from tests.support.polling import DEADLINE, wait_until

from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.shipper.last_seen import LastSeenReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AGENTS = 50
INTERVAL_MS = 10_000
OUTAGE_SECONDS = 600 if LONG else 15
DRAIN_SECONDS = 60
RSS_MIB = 96
# Hosts that come back during the outage, each with a full spool: 50 agents alone leave so little
# behind that draining would be over before anything new comes.
RETURNING = 20 if LONG else 10
SPOOLED = 1000
BATCH = 20  # samples a request; with 100 the shipper, which is to be small with 50 agents, grows
# Whoever waits up to 10 s for the store to be tried again cannot tell that from a late delivery.
SHIPPER = '[shipper]\nmax_backoff = "1s"\n'

Newest = dict[str, int]

log = logging.getLogger(__name__)


def test_an_outage_of_the_store_loses_nothing_and_delays_nothing_new(tmp_path: Path) -> None:
    """All samples are in InfluxDB a minute after its return, new ones at most an interval late."""
    with ExitStack() as stack:
        influxd = stack.enter_context(Influxd.start(tmp_path / "influxd"))
        site = Site.make(tmp_path, SHIPPER + influx.prepare(influxd, tmp_path))
        keys = site.register(f"host-{number:02}" for number in range(AGENTS))
        returning = site.register(f"returning-{number:02}" for number in range(RETURNING))
        reader = site.reader_key()
        stack.enter_context(site.running("api"))
        site.await_api()
        shipper = stack.enter_context(site.running("ship"))
        agents = Agents(tmp_path, site.url, keys, INTERVAL_MS // 1000)
        with agents.running():
            wait_until(lambda: newest(influxd).keys() >= keys.keys(), "every agent is stored once")
            influxd.stop()
            live_through_outage(site, reader, returning)
            influxd.resume()
            returned_ms = SYSTEM.now_ms()
            polls = watch_drain(site, influxd, returned_ms)
        site.await_shipped()
        peak = peak_mib(shipper.pid)
        servers = site.get("/api/v1/servers?limit=500", reader)[1]["servers"]
        systems, owns = times(influxd, "system", "load1"), times(influxd, "agent", "rss_bytes")
    expected = dict.fromkeys(returning, SPOOLED)
    for server_id, account in agents.accounts().items():
        assert (account.waiting, account.dropped) == (0, 0), server_id
        expected[server_id] = account.acknowledged
    shipper_state = LastSeenReader(site.config.paths.shipper)
    for server_id, count in expected.items():
        (stream,) = shipper_state.ledger(server_id)
        assert [(run.lo, run.hi) for run in stream.ranges] == [(1, count)], server_id
    assert {one["id"]: one["completeness"] for one in servers} == dict.fromkeys(expected, 100.0)
    for stored in (systems, owns):
        assert {server_id: len(moments) for server_id, moments in stored.items()} == expected
    live = {server_id: systems[server_id] for server_id in keys}
    late_ms = max(delays(polls, live, returned_ms))
    log.info("new samples at most %.1f s late, shipper %.0f MiB", late_ms / 1000, peak)
    assert late_ms <= INTERVAL_MS
    assert peak <= RSS_MIB


def live_through_outage(site: Site, reader: str, returning: Mapping[str, str]) -> None:
    """Let the outage pass: samples are taken in meanwhile, queries say why they fail."""
    ends = time.monotonic() + OUTAGE_SECONDS
    with ThreadPoolExecutor(2) as senders:
        for done in [senders.submit(send_spool, site, *one) for one in returning.items()]:
            done.result()
    status, problem = site.get("/api/v1/metrics?measurement=cpu", reader)
    assert status == 503
    assert problem["detail"]
    assert site.get("/readyz")[0] == 200
    assert time.monotonic() < ends
    time.sleep(max(0.0, ends - time.monotonic()))


def send_spool(site: Site, server_id: str, key: str) -> None:
    """Send what a host kept while it was away."""
    made = ingest_sample.sample(0, 0, random.Random(server_id))  # noqa: S311  # made-up figures
    begin_ms = SYSTEM.now_ms() - SPOOLED * INTERVAL_MS
    stream = str(uuid.uuid4())
    for first in range(0, SPOOLED, BATCH):
        samples = [
            {**made, "seq": seq + 1, "time": begin_ms + seq * INTERVAL_MS}
            for seq in range(first, first + BATCH)
        ]
        envelope = ingest_sample.envelope(server_id, stream, samples)
        answer = requests.post(
            f"{site.url}/api/v1/metrics",
            gzip.compress(json.dumps(envelope).encode(), 1),
            headers={
                "X-API-Key": key,
                "Content-Encoding": "gzip",
                "Content-Type": "application/json",
            },
            timeout=DEADLINE,
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["accepted"] == BATCH


def watch_drain(site: Site, influxd: Influxd, returned_ms: int) -> list[tuple[int, Newest]]:
    """Return (time, newest stored) of many moments until all that waited is stored."""
    waited = site.newest_entry()
    polls: list[tuple[int, Newest]] = []
    drained_ms = 0
    while not drained_ms or polls[-1][0] < returned_ms + 3 * INTERVAL_MS:
        now_ms = SYSTEM.now_ms()
        polls.append((now_ms, newest(influxd)))
        if not drained_ms and site.shipped_to() >= waited:
            drained_ms = now_ms
            log.info("drained up to %d in %.1f s", waited, (drained_ms - returned_ms) / 1000)
        assert drained_ms or now_ms < returned_ms + DRAIN_SECONDS * 1000, "still not drained"
        time.sleep(0.2)
    return polls


def delays(
    polls: list[tuple[int, Newest]], taken: Mapping[str, list[int]], since_ms: int
) -> Iterator[float]:
    """Yield how long after it was taken each sample since then was seen in the store, in ms."""
    until_ms = polls[-1][0] - INTERVAL_MS
    for server_id, moments in taken.items():
        for moment in moments:
            if since_ms <= moment <= until_ms:
                seen = (at for at, stored in polls if stored.get(server_id, 0) >= moment)
                yield next(seen, math.inf) - moment


def newest(influxd: Influxd) -> Newest:
    """Return server id → time of the newest stored sample in ms."""
    return {server_id: max(moments) for server_id, moments in times(influxd, last=True).items()}


def times(
    influxd: Influxd, measurement: str = "system", field: str = "load1", *, last: bool = False
) -> dict[str, list[int]]:
    """Return server id → times of all values, or the last, of a field that every sample has."""
    chosen = f'r._measurement == "{measurement}" and r._field == "{field}"'
    found: dict[str, list[int]] = {}
    for row in influx.rows(influxd, f"filter(fn: (r) => {chosen}){' |> last()' if last else ''}"):
        found.setdefault(row["server_id"], []).append(influx.time_ms(row))
    return found


def peak_mib(pid: int) -> float:
    """Return the most that a process had resident."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024
