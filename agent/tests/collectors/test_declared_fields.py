"""No field is emitted that its catalogue does not declare, and none outside its range."""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING

import pytest

from hostpulse_agent.collectors import CATALOGUES, build
from hostpulse_agent.config import CollectorsConfig, CpuConfig, DiskConfig, PlainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host

    from hostpulse_agent.collectors.base import Collector, Point
    from hostpulse_agent.collectors.statvfs_client import StatvfsClient

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
BY_NAME = {catalogue.measurement: catalogue for catalogue in CATALOGUES}
CONFIG = CollectorsConfig(cpu=CpuConfig(per_core="all"))


def check(collector: Collector, points: list[Point]) -> set[tuple[str, str]]:
    """Hold points against their catalogue; return the (measurement, field) pairs seen."""
    seen = set()
    rows = set()
    for point in points:
        catalogue = BY_NAME[point.measurement]
        assert catalogue is collector.catalogue
        assert set(point.tags) == set(catalogue.tags)
        assert all(1 <= len(v) <= 255 and v.isprintable() for v in point.tags.values())
        row = (point.measurement, *sorted(point.tags.items()))
        assert row not in rows
        rows.add(row)
        assert 1 <= len(point.fields) <= 64
        for name, value in point.fields.items():
            declared = catalogue.fields[name]
            assert math.isfinite(value)
            assert declared.low <= value <= declared.high, (point.measurement, name, value)
            seen.add((point.measurement, name))
    return seen


@pytest.mark.parametrize("name", ["lvm-host", "raid-host", "container"])
def test_recorded_hosts_emit_only_what_is_declared(
    host: Callable[[str], Host], statvfs_client: StatvfsClient, name: str
) -> None:
    """Hosts with LVM, with RAID and ZFS, and a container."""
    recorded = host(name)
    collectors = build(CONFIG, statvfs_client, tree=recorded.tree)
    for _ in range(2):
        for collector in collectors:
            check(collector, collector.collect(recorded.now))
        recorded.pass_time()


def test_this_machine_emits_only_what_is_declared(statvfs_client: StatvfsClient) -> None:
    """The real kernel, in three readings as fast as they come."""
    for _ in range(3):
        for collector in build(CONFIG, statvfs_client):
            check(collector, collector.collect(time.monotonic()))
            check(collector, collector.collect(time.monotonic()))


def test_a_host_that_has_everything_emits_all_that_is_declared(
    host: Callable[[str], Host], statvfs_client: StatvfsClient
) -> None:
    """A field that is declared but never emitted would make the document wrong."""
    recorded = host("lvm-host")
    (recorded.root / "run/systemd/system").mkdir(parents=True)
    collectors = build(CONFIG, statvfs_client, tree=recorded.tree)
    seen: set[tuple[str, str]] = set()
    for _ in range(2):
        for collector in collectors:
            seen |= check(collector, collector.collect(recorded.now))
        recorded.pass_time()
    declared = {
        (catalogue.measurement, name)
        for catalogue in CATALOGUES
        for name in catalogue.fields
        if catalogue.measurement != "agent"
    }
    # The bus of systemd has its own test.
    assert declared - seen == {("system", "units_failed")}


def test_catalogues_are_what_the_wire_allows() -> None:
    """Names of the schema, nothing reserved, every field with unit, meaning and a real range."""
    assert len(BY_NAME) == len(CATALOGUES)
    for catalogue in CATALOGUES:
        assert catalogue.summary
        for name in (catalogue.measurement, *catalogue.tags, *catalogue.fields):
            assert NAME.fullmatch(name)
            assert name not in {"server_id", "time"}
        for name, field in catalogue.fields.items():
            assert field.unit
            assert field.meaning
            assert field.low < field.high
            assert name.endswith("_percent") == (field.unit == "percent")
            assert name.endswith("_bytes") == (field.unit == "bytes")


def test_intervals_and_exclusions_come_from_the_configuration(
    host: Callable[[str], Host], statvfs_client: StatvfsClient
) -> None:
    """A slower collector says so; without one it is called at every tick."""
    recorded = host("lvm-host")
    config = CollectorsConfig(
        memory=PlainConfig(interval=60.0), disk=DiskConfig(exclude_fstypes=("ext4", "xfs"))
    )
    built = {c.catalogue.measurement: c for c in build(config, statvfs_client, tree=recorded.tree)}
    assert set(built) == set(BY_NAME) - {"agent"}
    assert built["memory"].interval_s == 60.0
    assert built["cpu"].interval_s is None
    mounts = {point.tags["mount"] for point in built["disk"].collect(0.0)}
    assert "/" not in mounts
