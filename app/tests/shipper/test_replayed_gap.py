"""A host that was cut off for a day replays it: the rollups show no trace of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from app.tests.shipper.conftest import Bench, FlakyStore

from hostpulse_server.store.base import Aggregate, Query
from hostpulse_server.store.influxdb import ClientSettings, InfluxdbStore

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

    from hostpulse_server.shipper.loop import Shipper

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000
WINDOW = 300_000
HOUR = 3_600_000
DAY_SAMPLES = 8640
HOUR_SAMPLES = 360
RESTART_AT = DAY_SAMPLES - 4300


def value(seq: int) -> float:
    """Return a value whose sums and means do not come out even."""
    return (seq * 7919 % 1009) / 7


def send(bench: Bench, server: str, seqs: range) -> None:
    """Send samples 10 s apart in one request."""
    bench.send(
        *seqs,
        server=server,
        fields_of=lambda seq: {"usage_percent": value(seq), "idle_percent": -value(seq)},
    )


def roll_up(bench: Bench, shipper: Shipper) -> None:
    """Ship and roll up all there is."""
    bench.flush(shipper)
    while bench.seen.raw_from_ms() is not None or bench.journal.stats().entries:
        bench.clock.ms += 1000
        shipper.turn()


def rolled(bench: Bench, aggregate: Aggregate) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Return (server, field) → values of the rollups alone."""
    query = Query(None, "cpu", (), (), T0, T0 + 25 * HOUR, WINDOW, aggregate, T0 + 26 * HOUR)
    return {(one.server_id, one.field): list(one.points) for one in bench.store.query(query)}


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.integration)])
def gap(request: pytest.FixtureRequest, bench: Bench) -> Bench:
    """Give a bench on each store."""
    if request.param == "influxdb":
        influxd: Influxd = request.getfixturevalue("influxd")
        name = bench.directory.name
        ids = [influxd.bucket(f"{name}_raw"), influxd.bucket(f"{name}_rollup")]
        token = influxd.token(read=ids, write=ids)
        store = InfluxdbStore(
            ClientSettings(influxd.url, "hostpulse", f"{name}_raw", f"{name}_rollup", lambda: token)
        )
        bench.open.callback(store.close)
        bench.store = FlakyStore(store)
    return bench


def test_a_replayed_day_rolls_up_like_a_run_that_was_never_offline(gap: Bench) -> None:
    """One server live hour by hour, one newest first after 24 h: the same, value for value."""
    shipper = gap.shipper()
    for first in range(0, DAY_SAMPLES, HOUR_SAMPLES):
        send(gap, "live", range(first, first + HOUR_SAMPLES))
        gap.clock.ms = T0 + 10_000 * (first + HOUR_SAMPLES)
        shipper.turn()
    gap.clock.ms += HOUR
    roll_up(gap, shipper)
    send(gap, "late", range(DAY_SAMPLES - 1, DAY_SAMPLES))
    roll_up(gap, shipper)
    for first in range(DAY_SAMPLES - 100, -100, -100):
        send(gap, "late", range(max(first, 0), min(first + 100, DAY_SAMPLES - 1)))
        if first == RESTART_AT:
            shipper.turn()
            shipper = gap.shipper()  # a restart in the middle
    roll_up(gap, shipper)
    for aggregate in get_args(Aggregate):
        found = rolled(gap, aggregate)
        assert found["live", "usage_percent"] == found["late", "usage_percent"]
        assert found["live", "idle_percent"] == found["late", "idle_percent"]
        assert len(found["live", "usage_percent"]) == 288
    first_window = [value(seq) for seq in range(30)]
    means = rolled(gap, "mean")["late", "usage_percent"]
    assert means[0][1] == pytest.approx(sum(first_window) / 30)
    assert gap.seen.ledger("late")[0].missing == 0
