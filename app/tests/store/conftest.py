"""The stores that the contract runs against, one factory each."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.store.embedded import EmbeddedStore
from hostpulse_server.store.influxdb import InfluxdbStore, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engines.influxdb.local import Influxd

    from hostpulse_server.store.base import Store

_NUMBERS = count(1)


def embedded(request: pytest.FixtureRequest) -> Store:
    """Make an empty embedded store."""
    directory: Path = request.getfixturevalue("tmp_path")
    return EmbeddedStore(directory / "store.db")


def settings_of(influxd: Influxd) -> Settings:
    """Make two empty buckets and return how to reach them, as the shipper may."""
    name = f"store_{next(_NUMBERS)}"
    raw, rollup = influxd.bucket(f"{name}_raw"), influxd.bucket(f"{name}_rollup")
    token = influxd.token(read=[raw, rollup], write=[raw, rollup])
    return Settings(
        url=influxd.url,
        org="hostpulse",
        bucket_raw=f"{name}_raw",
        bucket_rollup=f"{name}_rollup",
        token=lambda: token,
    )


def influxdb(request: pytest.FixtureRequest) -> Store:
    """Make an empty store in a real InfluxDB."""
    return InfluxdbStore(settings_of(request.getfixturevalue("influxd")))


STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "embedded": embedded,
    "influxdb": influxdb,
}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Give an empty store of each kind."""
    with closing(STORES[request.param](request)) as made:
        made.write([])
        yield made
