"""Our two buckets in a real influxd, and what is in them: asked of the engine, not of our store."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbed.influxdb.local import Influxd

RAW, ROLLUP = "hostpulse_raw", "hostpulse_rollup"


def prepare(influxd: Influxd, folder: Path) -> str:
    """Make buckets and tokens; return the configuration's section that names them."""
    raw, rollup = influxd.bucket(RAW, 7 * 86_400), influxd.bucket(ROLLUP, 30 * 86_400)
    tokens = {
        "write": influxd.token(read=[raw], write=[raw, rollup]),
        "query": influxd.token(read=[raw, rollup]),
    }
    section = f'[store]\nkind = "influxdb"\n[store.influxdb]\nurl = "{influxd.url}"\n'
    for purpose, token in tokens.items():
        path = folder / f"influxdb_{purpose}_token"
        path.touch(0o600)
        path.write_text(token)
        section += f'{purpose}_token_file = "{path}"\n'
    return section


def rows(influxd: Influxd, flux: str) -> list[dict[str, str]]:
    """Return the rows that ``flux`` gives for the raw bucket, column → text."""
    source = f'from(bucket: "{RAW}") |> range(start: -7d) |> {flux}'
    tables = influxd.query(source).replace("\r\n", "\n").strip().split("\n\n")
    return [row for table in tables for row in csv.DictReader(io.StringIO(table))]


def time_ms(row: Mapping[str, str]) -> int:
    """Return a row's time in epoch ms."""
    return round(datetime.fromisoformat(row["_time"]).timestamp() * 1000)
