"""From the configuration to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.errors import ConfigError
from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.store.base import Store


def open_store(config: ServerConfig, *, read_only: bool = False) -> Store:
    """Return the store that ``[store] kind`` names; connects only when it is used.

    The shipper writes; every other process opens ``read_only``. Raises ConfigError for a kind that
    this release does not have.
    """
    if config.store.kind != "embedded":
        raise ConfigError(f'store.kind = "{config.store.kind}" is not in this release')
    return EmbeddedStore(config.paths.store, read_only=read_only)
