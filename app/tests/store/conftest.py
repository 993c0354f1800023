"""The stores that the contract runs against, one factory each."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hostpulse_server.store.base import Store


def embedded(directory: Path) -> Store:
    """Make an empty embedded store."""
    return EmbeddedStore(directory / "store.db")


STORES: dict[str, Callable[[Path], Store]] = {"embedded": embedded}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an empty store of each kind."""
    with closing(STORES[request.param](tmp_path)) as made:
        made.write([])
        yield made
