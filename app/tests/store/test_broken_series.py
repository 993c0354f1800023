"""A series that the engine cannot read costs the rollups of its own measurement, no others."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from app.tests.store.conftest import settings_of
from testbed.influxdb.local import Influxd

from hostpulse_server.errors import StoreFailedError
from hostpulse_server.store.base import Query, RollupWindow
from hostpulse_server.store.influxdb import InfluxdbStore
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

T0 = 1_795_387_200_000
WINDOW = 300_000
SERVERS = ("a", "")


def _break(influxd: Influxd, store: InfluxdbStore, bucket: str) -> None:
    """Leave whole and floating values under one name: deleted, written again, loaded anew."""
    influxd.write(bucket, "\n".join(f"ill{tag} v=1i {T0}" for tag in (",server_id=a", "")))
    span = {"start": "2020-01-01T00:00:00Z", "stop": "2030-01-01T00:00:00Z"}
    influxd.call(
        "POST",
        f"/api/v2/delete?org=hostpulse&bucket={bucket}",
        {**span, "predicate": '_measurement="ill"'},
    )
    store.write(_points("ill", 1.5))
    influxd.stop()
    influxd.resume()
    store.write([*_points("before", 2.5), *_points("later", 2.5)])


def _points(name: str, value: float) -> list[StorePoint]:
    return [StorePoint(server, name, (), T0 + 1000, {"v": value}) for server in SERVERS]


def test_a_measurement_that_cannot_be_read_costs_no_other(tmp_path: Path) -> None:
    """The failure names it, of a host as of no host, and what is of the others is kept by then."""
    with Influxd.start(tmp_path) as influxd:
        settings = settings_of(influxd)
        with closing(InfluxdbStore(settings)) as store:
            _break(influxd, store, settings.bucket_raw)
            for server in SERVERS:
                with pytest.raises(StoreFailedError, match="measurement 'ill'"):
                    store.rollup([RollupWindow(server, T0)], WINDOW)
            for name in ("before", "later"):
                query = Query(None, name, (), (), T0, T0 + WINDOW, WINDOW, "max", 2 * T0)
                found = [(one.server_id, list(one.points)) for one in store.query(query)]
                assert found == [("", [(T0, 2.5)]), ("a", [(T0, 2.5)])]
