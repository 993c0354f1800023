"""Opens the store of a configuration."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hostpulse_server.store.embedded import EmbeddedStore
from hostpulse_server.store.influxdb import ClientSettings, InfluxdbStore

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.store.base import Store


def open_store(config: ServerConfig, *, read_only: bool = False) -> Store:
    """Return the store that ``[store] kind`` names; connects only when it is used.

    The shipper writes; every other process opens ``read_only``.
    """
    if config.store.kind == "embedded":
        return EmbeddedStore(config.paths.store, read_only=read_only)
    return InfluxdbStore(influxdb_settings(config, read_only=read_only), read_only=read_only)


def influxdb_settings(config: ServerConfig, *, read_only: bool) -> ClientSettings:
    """Return where InfluxDB is, with the token for reading or the one for writing."""
    influxdb = config.store.influxdb
    token_file = influxdb.query_token_file if read_only else influxdb.write_token_file
    return ClientSettings(
        url=influxdb.url,
        org=influxdb.org,
        bucket_raw=influxdb.bucket_raw,
        bucket_rollup=influxdb.bucket_rollup,
        token=partial(config.secret, token_file),
        token_file=token_file,
        ca_file=influxdb.ca_file,
    )
