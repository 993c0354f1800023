"""The server's configuration: ``load`` reads ``server.toml`` and the environment."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostpulse_server.config import checks, overrides
from hostpulse_server.config.model import (
    AlertsConfig,
    ApiConfig,
    Channel,
    EmailChannel,
    InfluxdbConfig,
    JournalConfig,
    Paths,
    RetentionConfig,
    RouteConfig,
    ServerConfig,
    ShipperConfig,
    SiteConfig,
    SlackChannel,
    StateConfig,
    StoreConfig,
    WebhookChannel,
)
from hostpulse_server.config.reader import ConfigReader
from hostpulse_server.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AlertsConfig",
    "ApiConfig",
    "Channel",
    "EmailChannel",
    "InfluxdbConfig",
    "JournalConfig",
    "Paths",
    "RetentionConfig",
    "RouteConfig",
    "ServerConfig",
    "ShipperConfig",
    "SiteConfig",
    "SlackChannel",
    "StateConfig",
    "StoreConfig",
    "WebhookChannel",
    "load",
]

DEFAULT_DATA_DIR = "/var/lib/hostpulse"
_TABLES = {"site", "api", "state", "journal", "store", "shipper", "retention", "alerts"}


def load(path: Path | None, environ: Mapping[str, str]) -> ServerConfig:
    """Read ``path`` (``None``: defaults only) and ``HOSTPULSE_*`` variables.

    Raises ConfigError that lists every fault, one a line, with file and key.
    """
    document = _document(path)
    reader = ConfigReader()
    overrides.apply(document, environ, reader)
    config = _build(document, reader, path, environ)
    checks.apply(config, reader)
    if reader.faults:
        name = str(path) if path is not None else "configuration"
        raise ConfigError("\n".join(f"{name}: {fault}" for fault in reader.faults))
    return config


def _document(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name another file with --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def _build(
    document: Mapping[str, Any], reader: ConfigReader, path: Path | None, environ: Mapping[str, str]
) -> ServerConfig:
    reader.unknown(document, _TABLES | {"data_dir", "channels", "routes"}, "")
    tables = {name: reader.table(document, name, name) for name in _TABLES}
    data_dir = document.get("data_dir", DEFAULT_DATA_DIR)
    if not isinstance(data_dir, str) or not Path(data_dir).is_absolute():
        reader.fault("data_dir", "must be an absolute path in quotes")
        data_dir = DEFAULT_DATA_DIR
    influxdb = reader.section(
        InfluxdbConfig,
        reader.table(tables["store"], "influxdb", "store.influxdb"),
        "store.influxdb",
    )
    store = reader.section(StoreConfig, tables["store"], "store", {"influxdb": influxdb})
    state = reader.section(StateConfig, tables["state"], "state")
    if state.url == "":
        state = dataclasses.replace(state, url=f"sqlite:///{Path(data_dir) / 'state.db'}")
    channels = reader.channels(reader.table(document, "channels", "channels"))
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    return ServerConfig(
        data_dir=Path(data_dir),
        site=reader.section(SiteConfig, tables["site"], "site"),
        api=reader.section(ApiConfig, tables["api"], "api"),
        state=state,
        journal=reader.section(JournalConfig, tables["journal"], "journal"),
        store=store,
        shipper=reader.section(ShipperConfig, tables["shipper"], "shipper"),
        retention=reader.section(RetentionConfig, tables["retention"], "retention"),
        alerts=reader.section(AlertsConfig, tables["alerts"], "alerts"),
        channels=channels,
        routes=reader.routes(document.get("routes", []), channels),
        source=path,
        credentials_dir=Path(credentials) if credentials else None,
    )
