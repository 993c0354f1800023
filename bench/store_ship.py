"""Points a second from a full journal into influxd, beside bare loops over influxdb-client.

The shipper runs as its service does. The loops get the same points, already decoded, and write
batches of 5,000 in the client's synchronous mode, in a process of their own as well:

``points``       Point objects, made from the decoded data inside the timed loop
``points+gzip``  the same with the client's compression, which it leaves off by default
``lines``        ready line protocol: the least that any program can spend on this client
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ingest_sample
from bench.report import Row
from testbed.influxdb.local import Influxd
from tests.e2e import influx
from tests.e2e.services import Site
from tests.support.polling import wait_until

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.values.points import StorePoint

HOSTS = 100
INTERVAL_MS = 10_000
BATCH = 5000
BAR = 0.7
SHIPPER = "shipper"
PEERS = ("points", "points+gzip", "lines")
PATIENCE_SECONDS = 300.0


def measure(folder: Path, samples: int, rounds: int) -> list[Row]:
    """Ship ``samples`` samples and let each loop write them, in turns; return the figures."""
    points = samples * len(ingest_sample.POINTS)
    rates: dict[str, list[float]] = {name: [] for name in (SHIPPER, *PEERS)}
    full = folder / "full"
    full.mkdir()
    fill(Site.make(full).config, samples)
    for number in range(rounds):
        for name, rate in rates.items():
            home = folder / f"{name}-{number}"
            with Influxd.start(home / "influxd") as influxd:
                site = Site.make(home, influx.prepare(influxd, home))
                shutil.copy(full / "journal.db", home)
                seconds = ship(site) if name == SHIPPER else run_peer(name, site)
                check(influxd, samples)
            shutil.rmtree(home)
            rate.append(points / seconds)
    return rows(rates)


def rows(rates: dict[str, list[float]]) -> list[Row]:
    """Return medians, and the shipper's share of each loop in the same round."""

    def share(peer: str) -> float:
        return statistics.median(
            ours / theirs for ours, theirs in zip(rates[SHIPPER], rates[peer], strict=True)
        )

    return [
        *(Row(f"{name}, points/s", statistics.median(rate), "") for name, rate in rates.items()),
        *(
            Row(f"shipper / {peer}", share(peer), "x", None if peer == "lines" else BAR, floor=True)
            for peer in PEERS
        ),
    ]


def fill(config: ServerConfig, samples: int) -> None:
    """Fill the journal as the api does: one sample an entry, as it was sent, of hosts in turn."""
    from hostpulse_server.journal import open_journal  # noqa: PLC0415  # also run as a peer
    from hostpulse_server.journal.records import SAMPLES  # noqa: PLC0415  # as above
    from hostpulse_server.runtime.clock import SYSTEM  # noqa: PLC0415  # as above

    rng = random.Random(11)  # noqa: S311  # made-up figures
    streams = [str(uuid.uuid4()) for _ in range(HOSTS)]
    now_ms = SYSTEM.now_ms()
    begin_ms = now_ms - samples // HOSTS * INTERVAL_MS

    def entry(number: int) -> bytes:
        seq, host = divmod(number, HOSTS)
        sample = ingest_sample.sample(seq + 1, begin_ms + seq * INTERVAL_MS, rng)
        document = ingest_sample.envelope(f"bench-{host}", streams[host], [sample])
        return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6)

    with closing(open_journal(config, SYSTEM)) as journal, ThreadPoolExecutor(16) as appending:
        for body in map(entry, range(samples)):
            appending.submit(journal.append, body, SAMPLES, now_ms, packed=True)


def ship(site: Site) -> float:
    """Return the seconds from the shipper's start of work until all is stored and in its books."""
    newest = site.newest_entry()
    address = str(site.config.data_dir / "notify")
    with ExitStack() as stack:
        # closed as soon as it has said its word: a shipper that nobody listens to would stop
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.bind(address)
            ear.settimeout(PATIENCE_SECONDS)
            stack.enter_context(site.running("ship", NOTIFY_SOCKET=address))
            while ear.recv(256) != b"READY=1":
                continue
            began = time.perf_counter()
        wait_until(lambda: site.shipped_to() >= newest, "everything is shipped", PATIENCE_SECONDS)
        return time.perf_counter() - began


def run_peer(name: str, site: Site) -> float:
    """Return the seconds that a loop in a process of its own takes."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.store_ship", name, str(site.path)],
        check=True,
        stdout=subprocess.PIPE,
    )
    return float(done.stdout)


def check(influxd: Influxd, samples: int) -> None:
    """Raise RuntimeError unless InfluxDB has every sample."""
    chosen = 'r._measurement == "system" and r._field == "load1"'
    counts = influx.rows(influxd, f"filter(fn: (r) => {chosen}) |> count()")
    stored = sum(int(row["_value"]) for row in counts)
    if stored != samples:
        raise RuntimeError(f"{stored} of {samples} samples are stored")


def main() -> None:
    """Be a peer: decode, then write in a timed loop and print its seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("config", type=Path)
    options = parser.parse_args()
    from hostpulse_server.config import load  # noqa: PLC0415  # after the arguments

    print(peer_seconds(options.peer, load(options.config, {})))


def peer_seconds(name: str, config: ServerConfig) -> float:
    """Write all points of the journal as ``PEERS`` says; return how long writing took."""
    from influxdb_client import InfluxDBClient, WritePrecision  # noqa: PLC0415  # as above
    from influxdb_client.client.write_api import SYNCHRONOUS  # noqa: PLC0415  # as above

    points = decoded(config)
    target = config.store.influxdb
    token = Path(target.write_token_file).read_text()
    batches: list[Any] = [points[at : at + BATCH] for at in range(0, len(points), BATCH)]
    if name == "lines":
        batches = [
            "\n".join(as_client_point(point).to_line_protocol() for point in batch)
            for batch in batches
        ]
    client = InfluxDBClient(
        target.url, token, org=target.org, enable_gzip=name.endswith("gzip"), timeout=60_000
    )
    with client, client.write_api(write_options=SYNCHRONOUS) as api:
        began = time.perf_counter()
        for batch in batches:
            made = batch if name == "lines" else [as_client_point(point) for point in batch]
            api.write(target.bucket_raw, record=made, write_precision=WritePrecision.MS)
        return time.perf_counter() - began


def decoded(config: ServerConfig) -> list[StorePoint]:
    """Return every point of the journal."""
    from hostpulse_server.journal import open_journal  # noqa: PLC0415  # as above
    from hostpulse_server.runtime.clock import SYSTEM  # noqa: PLC0415  # as above
    from hostpulse_server.shipper.deliveries import decode  # noqa: PLC0415  # as above

    with closing(open_journal(config, SYSTEM)) as journal:
        entries = journal.read(0, sys.maxsize, sys.maxsize)
    return [point for entry in entries for point in decode(entry).points]


def as_client_point(point: StorePoint) -> Any:
    """Return the client's object for a point."""
    from influxdb_client import Point, WritePrecision  # noqa: PLC0415  # as above

    made = Point(point.measurement).tag("server_id", point.server_id)
    for name, tag in point.tags:
        made.tag(name, tag)
    for field, value in point.fields.items():
        made.field(field, float(value))
    return made.time(point.time_ms, WritePrecision.MS)


if __name__ == "__main__":
    main()
