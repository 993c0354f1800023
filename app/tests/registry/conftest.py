"""A registry on a real SQLite file, and a clock that the test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.clock import ManualClock
from tests.support.installation import make_database

from hostpulse_server import state
from hostpulse_server.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return the engine of an empty registry in ``tmp_path/state.db``."""
    make_database(tmp_path / "state.db")
    engine = state.open_engine(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def registry(engine: Engine, clock: ManualClock) -> Registry:
    """Return an empty registry."""
    return Registry(engine, clock)
