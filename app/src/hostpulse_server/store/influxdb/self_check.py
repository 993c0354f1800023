"""Checks that InfluxDB is as configured: reachable, tokens, buckets and their retention."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from hostpulse_server.errors import StoreMisconfiguredError
from hostpulse_server.store.influxdb.client import Client

if TYPE_CHECKING:
    from hostpulse_server.store.influxdb.client import ClientSettings


def examine(
    writer: ClientSettings, reader: ClientSettings, raw_seconds: float, rollup_seconds: float
) -> str:
    """Try what shipper and api need and keep nothing; return what was found, in words.

    Raises like a write or a query; StoreMisconfiguredError also for another retention.
    """
    raw, rollup = writer.bucket_raw, writer.bucket_rollup
    with closing(Client(writer)) as client:
        for bucket in (raw, rollup):
            client.write(bucket, b"")  # refused without the right to write, else nothing
        _require_sight(client, writer, raw)
    with closing(Client(reader)) as client:
        for bucket, wanted in ((raw, raw_seconds), (rollup, rollup_seconds)):
            kept = _require_sight(client, reader, bucket)
            if kept != int(wanted):
                raise StoreMisconfiguredError(
                    f"bucket {bucket} keeps values {_days(kept)}, [retention] says "
                    f"{_days(wanted)}; run playbooks/site.yml or correct [retention]"
                )
    return f"{reader.url}, {raw} {_days(raw_seconds)}, {rollup} {_days(rollup_seconds)}"


def _require_sight(client: Client, settings: ClientSettings, bucket: str) -> int:
    kept = client.retention(bucket)
    if kept is None:
        raise StoreMisconfiguredError(
            f"the token in {settings.token_file} may not read bucket {bucket}; put one there that "
            "may"
        )
    return kept


def _days(seconds: float) -> str:
    return f"{seconds / 86400:g} d" if seconds else "for ever"
