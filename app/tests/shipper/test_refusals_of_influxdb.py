"""What a real InfluxDB refuses costs itself only; what an operator has to mend holds the data."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest
from app.tests.shipper.conftest import Bench, FlakyStore

from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.shipper.quarantine import Quarantine
from hostpulse_server.store.base import Query
from hostpulse_server.store.influxdb import ClientSettings, InfluxdbStore

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000
FLUSH_SECONDS = 5


class Production(Bench):
    """A bench on InfluxDB with a bucket of its own."""

    def use(self, influxd: Influxd, retention_seconds: int = 0) -> None:
        """Ship into a new bucket; ``token`` may be changed as an operator changes its file."""
        self.influxd = influxd
        self.bucket = self.directory.name
        made = influxd.bucket(self.bucket, retention_seconds)
        self.token = influxd.token(read=[made], write=[made])
        store = InfluxdbStore(
            ClientSettings(influxd.url, "hostpulse", self.bucket, self.bucket, lambda: self.token)
        )
        self.open.callback(store.close)
        self.store = FlakyStore(store)

    def values(self, start_ms: int, count: int, server: str = "web-01") -> int:
        """Return how many values of ``usage_percent`` there are, 10 s apart."""
        query = Query(
            (server,), "cpu", ("usage_percent",), (), start_ms, start_ms + 10_000 * count, 10_000
        )
        return sum(len(one.points) for one in self.store.query(query))


@pytest.fixture
def production(tmp_path_factory: pytest.TempPathFactory, influxd: Influxd) -> Production:
    """Give such a bench."""
    made = Production(tmp_path_factory.mktemp("production"))
    made.use(influxd)
    return made


@pytest.fixture(autouse=True)
def _closed(production: Production) -> object:
    """Close what the bench opened."""
    with production.open:
        yield


def test_one_bad_point_in_ten_thousand_costs_one_point_and_no_flush_interval(
    production: Production,
) -> None:
    """A field that somebody made a text behind the shipper's back takes no number any more."""
    odd_ms = T0 + 10_000 * 10_001
    production.influxd.write(production.bucket, f'cpu,server_id=x odd="text" {odd_ms}')
    for first in range(1, 10_001, 100):
        production.send(*range(first, first + 100))
    production.send(10_001, fields={"odd": 1.0})
    production.clock.ms += 1000
    shipper = production.shipper()
    started = time.monotonic()
    while production.journal.stats().entries:
        shipper.turn()
        production.clock.ms += 5000
    assert time.monotonic() - started < FLUSH_SECONDS
    assert production.values(T0, 10_002) == 10_000
    (row,) = Quarantine(production.directory / "shipper.db").rows()
    assert row.reason == "refused by the store"
    assert "field type conflict" in row.detail
    assert row.point is not None
    assert (row.point["fields"], row.point["time"]) == ({"odd": 1.0}, odd_ms)


def test_a_point_outside_retention_costs_itself(
    production: Production, influxd: Influxd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It waited in a spool for too long; the others of its batch arrive."""
    production.directory = tmp_path_factory.mktemp("retention")
    production.use(influxd, retention_seconds=3600)
    now = SYSTEM.now_ms() - SYSTEM.now_ms() % 10_000
    production.clock.ms = now
    first = (now - T0) // 10_000 - 100
    production.send(*range(first, first + 100))
    production.send(first - 720)
    production.flush(production.shipper())
    assert production.values(now - 1_000_000, 100) == 100
    (row,) = Quarantine(production.directory / "shipper.db").rows()
    assert "retention policy" in row.detail


def test_a_token_that_is_not_known_holds_the_data_and_says_so_once(
    production: Production, caplog: pytest.LogCaptureFixture
) -> None:
    """It is shown as the store's fault until a live one is there; then all arrives."""
    good, production.token = production.token, "no-such-token"
    production.send(*range(1, 201))
    shipper = production.shipper()
    with caplog.at_level(logging.ERROR):
        for _ in range(10):
            shipper.turn()
            production.clock.ms += 11_000
    assert [record.message.count("put a live one there") for record in caplog.records] == [1]
    status = production.seen.status()
    assert status is not None
    assert "put a live one there" in status.store_error
    assert "no-such-token" not in status.store_error + caplog.text
    assert status.quarantine_points == 0
    production.token = good
    production.clock.ms += 11_000
    shipper.turn()
    assert production.values(T0, 202) == 200
    status = production.seen.status()
    assert status is not None
    assert status.store_error == ""


def test_a_bucket_that_is_gone_holds_the_data(production: Production) -> None:
    """Until somebody makes it again."""
    bucket = production.influxd.call("GET", f"/api/v2/buckets?name={production.bucket}")
    production.influxd.call("DELETE", f"/api/v2/buckets/{bucket['buckets'][0]['id']}")
    production.send(*range(1, 201))
    shipper = production.shipper()
    for _ in range(5):
        shipper.turn()
        production.clock.ms += 11_000
    status = production.seen.status()
    assert status is not None
    assert production.bucket in status.store_error
    made = production.influxd.bucket(production.bucket)
    production.token = production.influxd.token(read=[made], write=[made])
    production.clock.ms += 11_000
    shipper.turn()
    assert production.values(T0, 202) == 200
    assert Quarantine(production.directory / "shipper.db").rows() == []
