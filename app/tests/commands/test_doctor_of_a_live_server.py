"""``doctor`` against a real api, journal, shipper and store."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from hostpulse_server import config as server_config
from hostpulse_server import state
from hostpulse_server.api.app import create_app
from hostpulse_server.api.services import EXTENSION
from hostpulse_server.cli import root
from hostpulse_server.journal import open_journal
from hostpulse_server.registry import Registry
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.services.alert_engine import alert
from hostpulse_server.services.shipper import ship

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostpulse_server.config import ServerConfig


def sample() -> dict[str, Any]:
    """Return a request of one sample, taken now."""
    point = {"measurement": "swap", "tags": {}, "fields": {"used_percent": 1.0}}
    taken = {"seq": 1, "time": SYSTEM.now_ms(), "interval_ms": 10_000, "points": [point]}
    agent = {"version": "0.1.0", "stream": "6f2c8f0e-1111-4222-8333-123456789abc"}
    return {"schema": 1, "server_id": "web-01", "agent": agent, "samples": [taken]}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ServerConfig]:
    """Return the configuration of a server that serves, with one sample in its journal."""
    engine = state.open_engine(f"sqlite:///{tmp_path}/state.db")
    state.upgrade(engine)
    registry = Registry(engine)
    path = tmp_path / "server.toml"
    path.write_text(
        f'data_dir = "{tmp_path}"\n'
        "[shipper]\nbatch_seconds = 0.01\n"
        '[journal]\nmin_free_bytes = "0B"\n'
    )
    app = create_app(server_config.load(path, {}), registry=registry)
    web = make_server("127.0.0.1", 0, app)
    path.write_text(f'{path.read_text()}[api]\nbind = "127.0.0.1:{web.server_port}"\n')
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    key = registry.add({"id": "web-01"}).key
    assert key is not None
    headers = {"X-API-Key": key.text}
    sent = app.test_client().post("/api/v1/metrics", json=sample(), headers=headers)
    assert sent.status_code == 200, sent.text
    yield server_config.load(path, {})
    web.shutdown()
    thread.join()
    web.server_close()
    app.extensions[EXTENSION].journal.close()
    app.extensions[EXTENSION].store.close()
    engine.dispose()


def examine(config: ServerConfig) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run doctor; return its exit status and its parts by name."""
    result = CliRunner().invoke(root, ["doctor", "--json", "--config", str(config.source)])
    return result.exit_code, {part["part"]: part for part in json.loads(result.stdout)}


def test_doctor_is_content_once_the_sample_is_shipped_and_notices_what_breaks(
    site: ServerConfig,
) -> None:
    """Every part is ok; then a full journal, an old entry and a broken database are each named."""
    _, parts = examine(site)
    assert parts["store"] == {
        "part": "store",
        "ok": True,
        "level": "ok",
        "text": "embedded, nothing was shipped yet",
    }
    assert [name for name, part in parts.items() if not part["ok"]] == ["alerts"]
    stop = threading.Event()
    services = [threading.Thread(target=one, args=(site, stop)) for one in (ship, alert)]
    for service in services:
        service.start()
    try:
        deadline = time.monotonic() + 30
        code, parts = examine(site)
        while (code or "last write" not in parts["store"]["text"]) and time.monotonic() < deadline:
            code, parts = examine(site)
    finally:
        stop.set()
        for service in services:
            service.join()
    assert code == 0, parts
    assert "last write" in parts["store"]["text"]
    assert all(part["ok"] for part in parts.values())

    with closing(sqlite3.connect(site.paths.shipper)) as shipper_state:
        shipper_state.execute("UPDATE condition SET store_error = 'disk I/O error'")
        shipper_state.commit()
    with closing(open_journal(site, SYSTEM)) as journal:
        journal.append(b"{}", "samples", SYSTEM.now_ms() - 3_600_000)
    for path in site.data_dir.glob("state.db*"):
        path.unlink()
    assert site.source is not None
    text = site.source.read_text()
    site.source.write_text(text.replace("[journal]", '[journal]\nmax_bytes = "1B"'))
    code, parts = examine(site)
    assert code == 1
    faulty = {name: part["text"] for name, part in parts.items() if not part["ok"]}
    assert faulty.keys() >= {"journal", "state schema", "store", "shipper lag"}
    assert "samples are refused" in faulty["journal"]
    assert "hostpulse-server db upgrade" in faulty["state schema"]
    assert "disk I/O error" in faulty["store"]
    assert "behind the journal" in faulty["shipper lag"]


def test_doctor_names_a_missing_data_directory(site: ServerConfig, tmp_path: Path) -> None:
    """The services' directory is the first thing that has to be there."""
    absent = tmp_path / "absent"
    assert site.source is not None
    site.source.write_text(f'data_dir = "{absent}"\n[api]\nbind = "127.0.0.1:1"\n')
    shutil.rmtree(absent, ignore_errors=True)
    code, parts = examine(site)
    assert code == 1
    assert f"{absent} is no directory" in parts["data dir"]["text"]
