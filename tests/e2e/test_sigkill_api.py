"""SIGKILL at any moment loses no acknowledged sample: the real services, under load."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

from tests.e2e.services import LONG, Site
from tests.e2e.traffic import Load

from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.store.base import Query
from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 25 if LONG else 8


def test_kills_under_load_lose_no_acknowledged_sample(tmp_path: Path) -> None:
    """Master and worker are killed at a random moment; every 200 is in the store afterwards."""
    site = Site.make(tmp_path, "[shipper]\nbatch_seconds = 1\n")
    load = Load(site, "web-01", site.register(["web-01"])["web-01"])
    moments = random.Random(5)  # noqa: S311  # moments to kill at
    with load.sending():
        for _ in range(KILLS):
            with site.running("api"):
                load.await_acknowledged(6)
                load.stop.wait(moments.uniform(0, 0.15))
    assert len(load.acknowledged) > KILLS * 5
    with site.running("ship"):
        site.await_shipped()
    with closing(EmbeddedStore(site.config.paths.store, read_only=True)) as store:
        window = (load.begin_ms, SYSTEM.now_ms(), 1)
        (series,) = store.query(Query(None, "cpu", (), (), *window, "last"))
    stored = {time_ms - load.begin_ms: value for time_ms, value in series.points}
    assert load.acknowledged - stored.keys() == set()
    assert all(value == seq for seq, value in stored.items())
