"""Compares databases and InfluxDB with the manifest of a backup."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hostpulse_backup import databases
from hostpulse_backup.components import STORE

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_backup.influxdb import Client
    from hostpulse_backup.manifest import Manifest

# Retention takes whole shards of a day: what is younger than that is certainly still there.
SHARD = timedelta(days=1)


def copied_databases(folder: Path, made: Manifest, kind: str) -> list[str]:
    """Return problems of the copied databases of a kind, after an integrity check of each."""
    problems = []
    for name, counts in made.kinds[kind]["counts"].items():
        path = folder / kind / name
        databases.check(path)
        found = databases.counts(path)
        if found != counts:
            problems.append(f"{kind}/{name} has {found}, the manifest says {counts}")
        if name == STORE:
            problems += embedded_store(path, made)
    return problems


def embedded_store(store: Path, made: Manifest) -> list[str]:
    """Return the sample values that an embedded store lacks."""
    return [
        f"{sample['key']} is {found}, was {sample['value']}"
        for sample in made.kinds["state"].get("samples", [])
        for found in [databases.store_value(store, sample)]
        if found != sample["value"]
    ]


def influxdb(client: Client, made: Manifest, *, live: bool) -> tuple[list[str], int]:
    """Return what an InfluxDB lacks, and how many values were compared.

    The files are of a moment between two counts, so a copy has a number between theirs. A live one
    may have more, and less of what retention took since.
    """
    kind = made.kinds["influxdb"]
    problems = []
    compared = 0
    for name, bucket in kind["buckets"].items():
        samples = [
            sample
            for sample in bucket["samples"]
            if not live or _retained(sample, bucket["retention_seconds"])
        ]
        for sample in samples:
            found = client.value(name, sample)
            compared += 1
            if found != sample["value"]:
                where = f"{sample['measurement']}.{sample['field']} {sample['tags']}"
                problems.append(
                    f"{name}: {where} at {sample['time']} is {found}, was {sample['value']}"
                )
        if not live:
            count = client.count(name, kind["until"])
            if not min(bucket["counts"]) <= count <= max(bucket["counts"]):
                problems.append(f"{name} has {count} values, it had {bucket['counts']}")
    return problems, compared


def _retained(sample: dict[str, Any], retention_seconds: int) -> bool:
    if not retention_seconds:
        return True
    at = datetime.fromisoformat(sample["time"][:19]).replace(tzinfo=timezone.utc)
    return datetime.now(timezone.utc) - at < timedelta(seconds=retention_seconds) - SHARD
