"""Reading while InfluxDB is down: a reason and when to come again; samples are taken meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from app.tests.queries.conftest import NOW, T0, QuerySite, settings_of
from app.tests.store.conftest import listening
from testbed.influxdb.local import Influxd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.integration
def test_queries_are_503_while_influxdb_is_down_and_ingest_goes_on(tmp_path: Path) -> None:
    """Both are back to normal by themselves when it runs again."""
    with Influxd.start(tmp_path / "engine") as influxd, ExitStack() as stack:
        site = QuerySite(tmp_path, stack, settings_of(influxd, tmp_path))
        site.registry.add({"id": "web-01"})
        site.put("web-01", range(T0, T0 + 10_000, 10_000))
        total = {"measurement": "cpu", "field": "usage_percent", "tag.core": "total"}
        assert site.points(**total) == [[T0, 0.0]]

        influxd.stop()
        response = site.get(**total)
        assert response.status_code == 503
        assert influxd.url in response.json["detail"]  # type: ignore[index] # JSON
        assert int(response.headers["Retry-After"]) >= 1
        sample = {
            "seq": 7,
            "time": NOW,
            "interval_ms": 10_000,
            "points": [{"measurement": "cpu", "fields": {"usage_percent": 1.0}}],
        }
        answer = site.client.post(
            "/api/v1/metrics",
            json={
                "schema": 1,
                "server_id": "web-01",
                "agent": {"version": "1", "stream": str(UUID(int=1))},
                "samples": [sample],
            },
            headers={"Authorization": f"Bearer {site.key('agent', 'web-01')}"},
        )
        assert (answer.status_code, answer.json["accepted"]) == (200, 1)  # type: ignore[index] # JSON

        influxd.resume()
        assert site.points(**total) == [[T0, 0.0]]


@pytest.mark.parametrize(
    ("header", "wanted"), [(b"Retry-After: 7\r\n", "7"), (b"Retry-After: 0\r\n", "1"), (b"", "10")]
)
def test_a_store_that_says_when_to_come_again_is_quoted(
    tmp_path: Path, influxd: Influxd, header: bytes, wanted: str
) -> None:
    """Its Retry-After is ours, at least a second; without one there is one all the same."""
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n" + header + b"\r\n"
    with listening(busy) as port, ExitStack() as stack:
        settings = settings_of(influxd, tmp_path) | {"INFLUXDB_URL": f"http://127.0.0.1:{port}"}
        response = QuerySite(tmp_path, stack, settings).get(measurement="cpu")
    assert response.status_code == 503
    assert "is not ready" in response.json["detail"]  # type: ignore[index] # JSON
    assert response.headers["Retry-After"] == wanted
