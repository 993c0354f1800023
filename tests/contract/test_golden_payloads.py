"""Every payload an agent of schema 1 ever sent is answered as it always was."""

from __future__ import annotations

import copy
import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hostpulse_server.api.app import create_app
from hostpulse_server.config import load
from hostpulse_server.journal import SamplesRecord, open_journal
from hostpulse_server.registry import Registry
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.state import open_engine, upgrade

FIXTURES = sorted((Path(__file__).parent / "fixtures" / "v1").glob("*.json"))
# append only: a line is added with its file, and never changed
RELEASED = {
    "backlog.json": "a26287aafb2c0577",
    "complete.json": "2781baf48bbde82c",
    "minimal.json": "9c695e30fe9a011b",
    "names.json": "8600a4a84f442d1d",
    "one_bad_point.json": "86bb0cff73651b7f",
    "one_bad_sample.json": "f53192f4f0ec43dd",
    "stopping_without_samples.json": "45bf59a281fce0fd",
}


def fill_in(request: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """Set the times that are 0."""
    filled = copy.deepcopy(request)
    if filled.get("sent_at") == 0:
        filled["sent_at"] = now_ms
    for sample in filled["samples"]:
        sample["time"] = sample["time"] or now_ms
    return filled


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_the_answer_is_as_recorded(path: Path, tmp_path: Path) -> None:
    """Posted to the real application, and read back from the real journal."""
    recorded = json.loads(path.read_text())
    config = load(
        None, {"HOSTPULSE_DATA_DIR": str(tmp_path), "HOSTPULSE_JOURNAL_MIN_FREE_BYTES": "1KiB"}
    )
    engine = open_engine(config.state.url)
    upgrade(engine)
    registry = Registry(engine)
    added = registry.add({"id": "web-01"})
    assert added.key is not None
    request = fill_in(recorded["request"], SYSTEM.now_ms())
    with closing(open_journal(config, SYSTEM)) as journal:
        client = create_app(config, registry=registry, journal=journal).test_client()
        response = client.post(
            "/api/v1/metrics", json=request, headers={"X-API-Key": added.key.text}
        )
        assert response.status_code == 200, response.get_data()
        answer = json.loads(response.get_data())
        assert answer.pop("server_time") > 0
        assert answer == recorded["answer"]
        (entry,) = journal.read(0, 10, 10**6)
        record = SamplesRecord.decode(entry)
        assert record.facts == request.get("facts")
        assert record.ext == request.get("ext")
        assert len(record.samples) == answer["accepted"]
    engine.dispose()


def test_released_payloads_are_never_changed_or_removed() -> None:
    """Add files; leave those that are there alone."""
    present = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in FIXTURES}
    assert present == RELEASED
