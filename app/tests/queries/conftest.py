"""The api over a store with a day of samples, and a reader's key."""

from __future__ import annotations

import threading
import uuid
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.clock import ManualClock
from tests.support.installation import Installation

from hostpulse_server.api.app import create_app
from hostpulse_server.api.services import EXTENSION
from hostpulse_server.journal import SamplesRecord
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.shipper.loop import Shipper
from hostpulse_server.shipper.maintenance import Maintenance
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from flask.testing import FlaskClient
    from testbed.influxdb.local import Influxd
    from werkzeug.test import TestResponse

NOW = 1_795_387_200_000 + 123_456
T0 = NOW - NOW % 300_000
HOUR = 3_600_000


class QuerySite(Installation):
    """An installation in a folder, without sockets of its own; ``store`` are its settings."""

    def __init__(self, directory: Path, stack: ExitStack, store: Mapping[str, str]) -> None:
        self.clock: ManualClock
        environ = {
            "HOSTPULSE_API_RATE_LIMIT": "100000/second",
            "HOSTPULSE_JOURNAL_MIN_FREE_BYTES": "1MiB",
            **{f"HOSTPULSE_STORE_{name}": value for name, value in store.items()},
        }
        super().__init__(directory, environ=environ, clock=ManualClock(NOW))
        stack.callback(self.close)
        self.make_database()
        self.app = create_app(self.config, registry=self.registry, clock=self.clock)
        self.journal = self.app.extensions[EXTENSION].journal
        stack.callback(self.journal.close)
        stack.callback(self.app.extensions[EXTENSION].store.close)
        self.client: FlaskClient = self.app.test_client()
        self.keys: dict[str, str] = {}

    def key(self, role: str = "reader", server_id: str | None = None) -> str:
        """Return a key of this role, made once."""
        if role not in self.keys:
            self.keys[role] = self.registry.create_key(role, server_id).text  # type: ignore[arg-type] # from tests
        return self.keys[role]

    def get(self, *pairs: tuple[str, Any], role: str = "reader", **values: Any) -> TestResponse:
        """Ask with these parameters."""
        headers = {"Authorization": f"Bearer {self.key(role)}"}
        query = [*pairs, *values.items()]
        return self.client.get("/api/v1/metrics", query_string=query, headers=headers)

    def points(self, *pairs: tuple[str, Any], **values: Any) -> list[list[float]]:
        """Ask and return the points of the only series."""
        response = self.get(*pairs, **values)
        assert response.status_code == 200, response.text
        (series,) = response.json["series"]  # type: ignore[index] # a 200 is JSON
        points: list[list[float]] = series["points"]
        return points

    def put(self, server_id: str, times: range, measurement: str = "cpu") -> None:
        """Ship samples whose value is their number, with two fields and a tag."""
        samples = [
            {
                "seq": seq,
                "time": time_ms,
                "interval_ms": 10_000,
                "points": [
                    {
                        "measurement": measurement,
                        "tags": {"core": core},
                        "fields": {"usage_percent": seq, "idle_percent": 100 - seq},
                    }
                    for core in ("total", "0")
                ],
            }
            for seq, time_ms in enumerate(times)
        ]
        record = SamplesRecord(server_id, NOW, {"version": "1", "stream": "s"}, samples)
        self.journal.append(record.encode(), SAMPLES, NOW)
        store = open_store(self.config)
        with (
            closing(store),
            closing(ShipperState(self.config.paths.shipper, 300_000)) as shipper_state,
        ):
            upkeep = Maintenance(
                self.config.retention, store=store, shipper_state=shipper_state, clock=self.clock
            )
            shipper = Shipper(
                self.config.shipper,
                journal=self.journal,
                store=store,
                shipper_state=shipper_state,
                upkeep=upkeep,
                clock=self.clock,
                stop=threading.Event(),
                idle_seconds=0.0,
            )
            shipper.turn()
            self.clock.ms += 5000
            while self.journal.stats().entries:
                shipper.turn()
            while upkeep.turn(caught_up=True):
                pass
            self.clock.ms = NOW


def settings_of(influxd: Influxd, directory: Path) -> dict[str, str]:
    """Make two empty buckets and their tokens in files; return the settings that name them."""
    name = f"queries_{uuid.uuid4().hex}"
    buckets = [influxd.bucket(f"{name}_{kind}") for kind in ("raw", "rollup")]
    tokens = {
        "write": influxd.token(read=buckets[:1], write=buckets),
        "query": influxd.token(read=buckets),
    }
    for purpose, token in tokens.items():
        (directory / purpose).touch(0o600)
        (directory / purpose).write_text(token)
    return {
        "KIND": "influxdb",
        "INFLUXDB_URL": influxd.url,
        "INFLUXDB_BUCKET_RAW": f"{name}_raw",
        "INFLUXDB_BUCKET_ROLLUP": f"{name}_rollup",
        "INFLUXDB_WRITE_TOKEN_FILE": str(directory / "write"),
        "INFLUXDB_QUERY_TOKEN_FILE": str(directory / "query"),
    }


@pytest.fixture(params=["embedded", pytest.param("influxdb", marks=pytest.mark.integration)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QuerySite]:
    """Give an installation with nothing in it, on each kind of store."""
    store = {"KIND": "embedded"}
    if request.param == "influxdb":
        store = settings_of(request.getfixturevalue("influxd"), tmp_path)
    with ExitStack() as stack:
        yield QuerySite(tmp_path, stack, store)
