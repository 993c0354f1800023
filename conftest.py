"""What every test may use, such as one real influxd a process in which each makes its buckets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from testbed.influxdb.local import Influxd

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.integration_marker", "tests.real_grafana"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those that wait for minutes; the order is random otherwise."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """Give a running InfluxDB that tests share: they neither stop it nor touch what others made."""
    with Influxd.start(tmp_path_factory.mktemp("influxd")) as server:
        yield server


@pytest.fixture
def untraced() -> Iterator[None]:
    """Switch coverage off meanwhile, which doubles the time of code that runs a million times."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)
