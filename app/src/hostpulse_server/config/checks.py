"""What no key can know alone: values that are right by themselves and wrong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config.model import ServerConfig
    from hostpulse_server.config.reader import ConfigReader


class _Check(NamedTuple):
    """A fault of the first of ``keys`` when ``is_wrong``; all that it looks at are named."""

    keys: tuple[str, ...]
    is_wrong: Callable[[ServerConfig], bool]
    text: str


def _is_no_time_zone(config: ServerConfig) -> bool:
    try:
        ZoneInfo(config.site.timezone)
    except (ValueError, OSError, KeyError):
        return True
    return False


_CHECKS = (
    _Check(
        ("store.influxdb.ca_file", "store.influxdb.url"),
        lambda config: (
            bool(config.store.influxdb.ca_file)
            and not config.store.influxdb.url.startswith("https://")
        ),
        "has no use with an http:// url",
    ),
    _Check(
        ("store.influxdb.bucket_rollup", "store.influxdb.bucket_raw"),
        lambda config: config.store.influxdb.bucket_raw == config.store.influxdb.bucket_rollup,
        "must be another bucket than bucket_raw",
    ),
    _Check(
        ("api.limiter_url", "api.workers"),
        lambda config: config.api.workers > 1 and config.api.limiter_url.startswith("memory://"),
        '"memory://" counts in each worker alone and would admit more than rate_limit; use a '
        "redis:// address or workers = 1",
    ),
    _Check(
        ("api.bind",),
        lambda config: not 0 < config.api.port < 65536,  # noqa: PLR2004  # the range of TCP ports
        "the port must be from 1 to 65535",
    ),
    _Check(
        ("shipper.max_batch_points", "shipper.batch_points"),
        lambda config: config.shipper.max_batch_points < config.shipper.batch_points,
        "must not be less than batch_points",
    ),
    _Check(
        ("retention.rollup", "retention.raw"),
        lambda config: config.retention.rollup < config.retention.raw,
        "must not be shorter than raw",
    ),
    _Check(
        ("retention.rollup_window", "retention.raw"),
        lambda config: config.retention.rollup_window > config.retention.raw,
        "must not be longer than raw",
    ),
    _Check(
        ("api.cors_origins",),
        lambda config: "*" in config.api.cors_origins,
        'list the origins; "*" would let every page read',
    ),
    _Check(
        ("alerts.fallback",),
        lambda config: not set(config.alerts.fallback) <= set(config.channels),
        "names a channel that is none of the [channels.NAME] of this file",
    ),
    _Check(
        ("site.timezone",),
        _is_no_time_zone,
        'must be a time zone such as "UTC" or "Europe/Berlin"',
    ),
)


def apply(config: ServerConfig, reader: ConfigReader) -> None:
    """Note every fault, leaving out what looks at a value that could not be read."""
    for check in _CHECKS:
        if reader.is_read(*check.keys) and check.is_wrong(config):
            reader.fault(check.keys[0], check.text)
