"""Texts that somebody else wrote under our names stop neither rollups nor queries."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, get_args

import pytest
from app.tests.store.conftest import settings_of

from hostpulse_server.store.base import Aggregate, Query, RollupWindow
from hostpulse_server.store.influxdb import InfluxdbStore
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.influxdb.local import Influxd

T0 = 1_795_387_200_000
WINDOW = 300_000
SERVERS = ("a", "b", "")
VALUES = {"mean": 2.0, "min": 1.0, "max": 3.0, "last": 3.0}
FOREIGN = (
    f'cpu,server_id=a used="text" {T0}',
    f'cpu,server_id=a seven="7" {T0}',
    f"cpu,server_id=b odd=true {T0}",
)


@pytest.fixture
def store(influxd: Influxd) -> Iterator[InfluxdbStore]:
    """Give a store whose raw bucket held foreign values before ours, in the same shard."""
    settings = settings_of(influxd)
    for line in FOREIGN:
        influxd.write(settings.bucket_raw, line)
    with closing(InfluxdbStore(settings)) as made:
        made.write(
            [
                StorePoint(server, "cpu", (), T0 + index, {"idle": value})
                for server in SERVERS
                for index, value in enumerate((1.0, 3.0))
            ]
        )
        yield made


@pytest.mark.parametrize("aggregate", get_args(Aggregate))
@pytest.mark.parametrize("server_ids", [None, SERVERS, ("",)])
def test_numbers_are_answered_without_the_texts_beside_them(
    store: InfluxdbStore, aggregate: Aggregate, server_ids: tuple[str, ...] | None
) -> None:
    """A text that reads as a number is none; all servers of the measurement answer."""
    query = Query(server_ids, "cpu", (), (), T0, T0 + WINDOW, WINDOW, aggregate)
    found = [(one.server_id, one.field, list(one.points)) for one in store.query(query)]
    wanted = sorted(SERVERS if server_ids is None else server_ids)
    assert found == [(server, "idle", [(T0, VALUES[aggregate])]) for server in wanted]


def test_rollups_of_all_servers_are_made_past_a_text(store: InfluxdbStore) -> None:
    """The server with the text, its neighbours, and what is of no server."""
    store.rollup([RollupWindow(server, T0) for server in SERVERS], WINDOW)
    for aggregate in get_args(Aggregate):
        query = Query(None, "cpu", (), (), T0, T0 + WINDOW, WINDOW, aggregate, 2 * T0)
        found = [(one.server_id, one.field, list(one.points)) for one in store.query(query)]
        point = (T0, VALUES[aggregate])
        assert found == [(server, "idle", [point]) for server in sorted(SERVERS)]


def test_a_text_among_the_rollups_stops_no_query(influxd: Influxd) -> None:
    """It lies in a field of its own there, too."""
    settings = settings_of(influxd)
    influxd.write(settings.bucket_rollup, f'cpu,server_id=a odd_max="text" {T0}')
    with closing(InfluxdbStore(settings)) as store:
        store.write([StorePoint("a", "cpu", (), T0, {"idle": 5.0})])
        store.rollup([RollupWindow("a", T0)], WINDOW)
        query = Query(None, "cpu", (), (), T0, T0 + WINDOW, WINDOW, "max", 2 * T0)
        assert [list(one.points) for one in store.query(query)] == [[(T0, 5.0)]]
