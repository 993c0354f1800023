"""The real application on a real registry and journal, with a clock that tests move."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.clock import ManualClock

from hostpulse_server import state
from hostpulse_server.api.app import create_app
from hostpulse_server.config import load
from hostpulse_server.journal import open_journal
from hostpulse_server.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask import Flask
    from werkzeug.test import TestResponse

    from hostpulse_server.journal import Journal

STREAM = "12345678-1234-1234-1234-123456789abc"


@dataclass
class Api:
    """An application with one server ``web-01`` and keys of every role."""

    app: Flask
    registry: Registry
    journal: Journal
    clock: ManualClock
    keys: dict[str, str] = field(default_factory=dict)

    def envelope(self, **changes: Any) -> dict[str, Any]:
        """Return a good request body with changes."""
        sample = {
            "seq": 1,
            "time": self.clock.ms,
            "interval_ms": 10_000,
            "points": [{"measurement": "cpu", "tags": {"core": "0"}, "fields": {"usage": 1.5}}],
        }
        agent = {"version": "0.1.0", "stream": STREAM}
        return {
            "schema": 1,
            "server_id": "web-01",
            "agent": agent,
            "samples": [sample],
            **changes,
        }

    def post(self, body: Any = None, key: str | None = "agent", **options: Any) -> TestResponse:
        """Send ``body`` (bytes as they are, anything else as JSON) with the key of a role."""
        data = body if isinstance(body, bytes) else json.dumps(body or self.envelope()).encode()
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers.setdefault("Authorization", f"Bearer {self.keys.get(key, key)}")
        options.setdefault("content_type", "application/json")
        return self.app.test_client().post("/api/v1/metrics", data=data, headers=headers, **options)

    def get(self, path: str, key: str | None = None, **options: Any) -> TestResponse:
        """Get ``path`` with the key of a role."""
        headers = {} if key is None else {"X-API-Key": self.keys.get(key, key)}
        return self.app.test_client().get(path, headers=headers, **options)

    def bodies(self) -> list[dict[str, Any]]:
        """Return what the journal holds of agents' samples."""
        entries = self.journal.read(0, 10_000, 10**8)
        return [json.loads(entry.body) for entry in entries if entry.kind == "samples"]


@pytest.fixture
def make_api(tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Make applications with a given ``[api]`` section and byte bound of the journal."""
    opened: list[Any] = []

    def make(api: str = "", journal: str = 'min_free_bytes = "1KiB"') -> Api:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        path = folder / "server.toml"
        path.write_text(f'data_dir = "{folder}"\n[api]\n{api}\n[journal]\n{journal}\n')
        config = load(path, {})
        clock = ManualClock()
        engine = state.open_engine(config.state.url)
        state.upgrade(engine)
        registry = Registry(engine, clock)
        kept = open_journal(config, clock)
        opened.extend([kept.close, engine.dispose])
        app = create_app(config, registry=registry, journal=kept, clock=clock)
        keys = {}
        for server_id in ("web-01", "web-02"):
            added = registry.add({"id": server_id})
            assert added.key is not None
            keys["agent" if server_id == "web-01" else server_id] = added.key.text
        for role in ("reader", "operator", "admin"):
            keys[role] = registry.create_key(role).text
        clock.move(5)  # the snapshot of keys is older than that allows
        return Api(app, registry, kept, clock, keys)

    yield make
    for close in reversed(opened):
        close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """Make an application with the default configuration."""
    return make_api()
