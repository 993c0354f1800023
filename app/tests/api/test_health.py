"""What surrounds the views: health, own figures, documents, headers, errors, logs."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import io
import json
import logging
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.exceptions import HTTPException

from hostpulse_server.api import health
from hostpulse_server.api.app import create_app
from hostpulse_server.api.services import EXTENSION
from hostpulse_server.runtime import logs
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.store.base import RollupWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.tests.api.conftest import Api

FAR = {"REMOTE_ADDR": "192.0.2.9"}


@pytest.fixture
def access_log() -> Iterator[io.StringIO]:
    """Collect the lines about requests."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Formatter())
    log = logging.getLogger("hostpulse_server")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield stream
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


def test_health_and_readiness(api: Api) -> None:
    """Alive is not ready: without a journal the process lives on."""
    assert api.get("/healthz").json == {"status": "ok", "version": "0.1.0"}
    assert api.get("/readyz").status_code == 200
    api.journal.close()
    assert api.get("/healthz").status_code == 200
    response = api.get("/readyz")
    assert response.status_code == 503
    assert set(json.loads(response.data)["errors"]) == {"/journal"}


def test_own_figures_are_for_this_machine_or_a_reader(api: Api) -> None:
    """A proxy on this machine that is not trusted does not open them to everybody."""
    api.post()
    text = api.get("/metrics").text
    assert "hostpulse_samples_total 1.0" in text
    assert 'status="200"' in text
    assert "hostpulse_journal_entries 1.0" in text
    assert api.get("/metrics", environ_base=FAR).status_code == 401
    assert api.get("/metrics", key="agent", environ_base=FAR).status_code == 403
    assert api.get("/metrics", key="reader", environ_base=FAR).status_code == 200
    forwarded = {"X-Forwarded-For": "192.0.2.9"}
    assert api.app.test_client().get("/metrics", headers=forwarded).status_code == 401


def test_own_figures_are_those_of_all_workers(api: Api) -> None:
    """Whichever answers: another worker's, and those of one that is gone."""
    api.post()
    config = api.app.extensions[EXTENSION].config
    other = create_app(config, registry=api.registry, journal=api.journal, clock=api.clock)
    beside = dataclasses.replace(api, app=other)
    for _ in range(2):
        beside.post()
        beside.get("/healthz")
    for one in (api, beside):
        text = one.get("/metrics").text
        assert "hostpulse_samples_total 3.0" in text
        line = 'endpoint="plumbing.healthz",method="GET",status="200"} 2.0'
        assert f"hostpulse_requests_total{{{line}" in text
    assert 'hostpulse_request_seconds_count{endpoint="ingest.post_metrics"} 3.0' in text
    assert 'hostpulse_request_seconds_bucket{endpoint="plumbing.healthz",le="+Inf"} 2.0' in text
    other.extensions[EXTENSION].store.close()
    del beside, other, one
    gc.collect()
    assert "hostpulse_samples_total 3.0" in api.get("/metrics").text


def test_own_figures_say_how_the_shipper_gets_on(api: Api) -> None:
    """Nothing before it begins; then store, lag, quarantine and rollups."""
    assert "hostpulse_store_up" not in api.get("/metrics").text
    config = api.app.extensions[EXTENSION].config
    with closing(ShipperState(config.paths.shipper, 300_000)) as shipper_state:
        shipper_state.clean([RollupWindow("web-01", 0)], "too late")
        shipper_state.store_down("no route to host")
        api.post()
        api.clock.move(7)
        text = api.get("/metrics").text
    for line in (
        "hostpulse_store_up 0.0",
        "hostpulse_store_lag_seconds 7.0",
        "hostpulse_quarantine_points 0.0",
        "hostpulse_rollup_dirty_windows 0.0",
        'hostpulse_set_aside_total{reason="too late"} 1.0',
    ):
        assert line in text.splitlines()
    config.paths.shipper.write_bytes(b"damaged" * 1000)
    text = api.get("/metrics").text
    assert "hostpulse_store_up" not in text
    assert "hostpulse_journal_bytes" in text


def test_the_document_describes_ingest_and_its_rules(api: Api) -> None:
    """Made from the schemas that check: names, limits, and how to authenticate."""
    document: dict[str, Any] = json.loads(api.get("/openapi.json").data)
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]["/api/v1/metrics"]) >= {"get", "post"}
    schemas = document["components"]["schemas"]
    envelope = schemas["Envelope"]
    assert set(envelope["required"]) == {"schema", "server_id", "agent", "samples"}
    assert envelope["properties"]["samples"]["maxItems"] == 100
    assert "Problem" in schemas
    assert "\\\\Z" not in json.dumps(document)  # Python's own; other languages refuse it
    assert set(document["components"]["securitySchemes"]) == {"key", "apiKey"}


def test_the_documents_page_needs_no_other_host_and_no_inline_script(api: Api) -> None:
    """Every script is a file of ours, which the policy holds."""
    with api.get("/docs") as response:
        policy, page = response.headers["Content-Security-Policy"], response.get_data().decode()
    assert "script-src" not in policy
    assert policy.startswith("default-src 'self'")
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) == 4
    assert not re.findall(r"<script(?![^>]*src)", page)
    for source in sources:
        with api.get(f"/{source}") as file:
            assert file.status_code == 200, source


def test_the_vendored_files_are_what_their_note_says() -> None:
    """Version, licence and sums are written down and true."""
    folder = health.STATIC / "swagger-ui"
    note = (folder / "ORIGIN.md").read_text()
    listed = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", note, re.MULTILINE))
    sums = {name: sum_ for sum_, name in listed.items()}
    files = {path.name for path in folder.iterdir()} - {"ORIGIN.md"}
    assert set(sums) == files
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected


def test_every_answer_has_an_id_and_headers_that_close_doors(api: Api) -> None:
    """Good or bad, found or not."""
    for path in ("/healthz", "/nowhere", "/docs", "/api/v1/servers"):
        with api.get(path) as response:
            assert re.fullmatch(r"[0-9a-f]{16}", response.headers["X-Request-ID"])
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    given = {"X-Request-ID": "from-the-proxy-1"}
    client = api.app.test_client()
    assert client.get("/healthz", headers=given).headers["X-Request-ID"] == "from-the-proxy-1"
    given = {"X-Request-ID": "bad id <script>"}
    assert "<" not in client.get("/healthz", headers=given).headers["X-Request-ID"]


def test_unknown_paths_methods_and_crashes_are_problems(api: Api) -> None:
    """404, 405 with Allow, and 500 without a word about the inside."""

    def crash() -> str:
        raise RuntimeError("the password is swordfish")

    api.app.add_url_rule("/crash", view_func=crash)
    client = api.app.test_client()
    for response, status in (
        (client.get("/nowhere"), 404),
        (client.put("/api/v1/metrics"), 405),
        (client.get("/crash"), 500),
    ):
        assert response.status_code == status
        assert response.content_type == "application/problem+json"
        assert "swordfish" not in response.text
    assert "POST" in client.put("/api/v1/metrics").headers["Allow"]


def test_failed_requests_are_logged_with_id_and_key_id_but_no_secret(
    api: Api, access_log: io.StringIO
) -> None:
    """2xx are counted only; a refused key is not written down, a known one by its id."""
    api.post()
    assert access_log.getvalue() == ""
    response = api.post(b"{")
    entry = json.loads(access_log.getvalue().splitlines()[-1])
    assert entry["request_id"] == response.headers["X-Request-ID"]
    assert (entry["status"], entry["key_id"]) == (400, api.keys["agent"][3:15])
    api.get(f"/nowhere?api_key={api.keys['reader']}&password=swordfish1")
    assert "swordfish1" not in access_log.getvalue()
    for key in api.keys.values():
        assert key[16:] not in access_log.getvalue()


def test_all_requests_are_logged_when_asked_for(
    make_api: Callable[..., Api], access_log: io.StringIO
) -> None:
    """``access_log = "all"``."""
    make_api('access_log = "all"').post()
    assert json.loads(access_log.getvalue())["status"] == 200


def test_pages_of_listed_origins_may_read_and_no_others(make_api: Callable[..., Api]) -> None:
    """Without a list nobody may; with one, a preflight is answered without a key."""
    asked = {
        "Origin": "https://ops.example.org",
        "Access-Control-Request-Method": "GET",
    }
    silent = make_api().app.test_client().options("/api/v1/metrics", headers=asked)
    assert "Access-Control-Allow-Origin" not in silent.headers
    client = make_api('cors_origins = ["https://ops.example.org"]').app.test_client()
    response = client.options("/api/v1/metrics", headers=asked)
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "https://ops.example.org"
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    stranger = client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers
    assert "Origin" in stranger.headers["Vary"]


def test_http_errors_keep_their_headers(api: Api) -> None:
    """A plain HTTP exception becomes a problem, too."""

    class Teapot(HTTPException):
        code = 418
        description = "short and stout"

    def brew() -> str:
        raise Teapot

    api.app.add_url_rule("/brew", view_func=brew)
    response = api.app.test_client().get("/brew")
    assert (response.status_code, json.loads(response.data)["detail"]) == (418, "short and stout")
