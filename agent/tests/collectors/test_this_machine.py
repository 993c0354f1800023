"""The collectors against independent readers of the same machine: df, free, psutil."""

from __future__ import annotations

import ctypes
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from hostpulse_agent.collectors import build
from hostpulse_agent.collectors.connections import ConnectionsCollector
from hostpulse_agent.collectors.disk import DiskCollector
from hostpulse_agent.collectors.memory import MemoryCollector
from hostpulse_agent.collectors.procfs import Tree
from hostpulse_agent.collectors.system import SystemCollector
from hostpulse_agent.config import CollectorsConfig, DiskConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_agent.collectors.base import Point
    from hostpulse_agent.collectors.processes import ProcessScan
    from hostpulse_agent.collectors.statvfs_client import StatvfsClient

DEFAULTS = DiskConfig()


def between_equal(
    reader: Callable[[], object], collect: Callable[[], Point]
) -> tuple[Point, object]:
    """Collect between two equal answers of another reader, so that both saw one state."""
    end = time.monotonic() + 20
    while True:
        before = reader()
        point = collect()
        if reader() == before:
            return point, before
        assert time.monotonic() < end, "the machine does not come to rest"


@pytest.mark.integration
def test_disk_equals_df(statvfs_client: StatvfsClient) -> None:
    """Bytes to the byte, percent as df rounds it."""

    def df() -> list[str]:
        columns = "--output=size,used,avail,pcent,itotal"
        run = subprocess.run(
            ["df", "-B1", columns, "/"], capture_output=True, text=True, check=True
        )
        return run.stdout.splitlines()[1].split()

    def collect() -> Point:
        collector = DiskCollector(
            Tree(), statvfs_client, DEFAULTS.exclude_fstypes, DEFAULTS.exclude_mounts
        )
        return next(p for p in collector.collect(0.0) if p.tags["mount"] == "/")

    point, answer = between_equal(df, collect)
    assert isinstance(answer, list)
    names = ("total_bytes", "used_bytes", "available_bytes")
    assert [point.fields[name] for name in names] == [int(text) for text in answer[:3]]
    assert 0 <= int(answer[3].rstrip("%")) - point.fields["used_percent"] < 1
    assert point.fields["inodes_total"] == int(answer[4])


def test_memory_equals_what_psutil_reads() -> None:
    """Total and cached exactly; the rest moves and is close."""
    fields = MemoryCollector(Tree()).collect(0.0)[0].fields
    memory = psutil.virtual_memory()
    assert fields["total_bytes"] == memory.total
    assert abs(fields["available_bytes"] - memory.available) < 256 << 20
    assert fields["used_bytes"] == fields["total_bytes"] - fields["available_bytes"]


def test_system_equals_what_psutil_reads(process_scan: ProcessScan) -> None:
    """Cores and uptime."""
    fields = SystemCollector(Tree(), process_scan).collect(0.0)[0].fields
    assert fields["cores"] == psutil.cpu_count()
    assert abs(fields["uptime_seconds"] - time.clock_gettime(time.CLOCK_BOOTTIME)) < 2


def test_a_new_connection_is_counted() -> None:
    """Two ends on the loopback are two established sockets more, or the machine moves about."""
    collector = ConnectionsCollector(Tree())

    def established(tick: float) -> float:
        return collector.collect(tick)[0].fields["tcp_established"]

    tick = 0.0
    end = time.monotonic() + 10
    while True:
        tick += 2
        before = established(tick)
        with socket.create_server(("127.0.0.1", 0)) as server:
            pairs = [socket.create_connection(server.getsockname()) for _ in range(5)]
            ends = [server.accept()[0] for _ in pairs]
            during = established(tick + 1)
            for one in pairs + ends:
                one.close()
        if during == before + 10:
            return
        assert time.monotonic() < end


def test_a_cycle_costs_little_and_no_more_with_many_sockets(statvfs_client: StatvfsClient) -> None:
    """CPU time of agent and helper over 40 cycles; the bars leave room for a busy machine."""
    collectors = build(CollectorsConfig(), statvfs_client)

    def cycles(start: int) -> float:
        (pid,) = statvfs_client.pids()
        before = time.process_time() + used(pid)
        for tick in range(start, start + 40):
            for collector in collectors:
                collector.collect(tick * 10.0)
        return (time.process_time() + used(pid) - before) / 40

    for collector in collectors:
        collector.collect(0.0)
    few = cycles(1)
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(400)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    many = cycles(41)
    for one in sockets:
        one.close()
    assert few < 0.02
    assert many < 2 * few + 0.001


def used(pid: int) -> float:
    """Return the CPU seconds of a process, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@pytest.mark.root
def test_collectors_need_no_rights() -> None:
    """The agent runs as a user of its own: nothing may fail for want of rights.

    A thread takes on a nobody's rights to files; the helper that ``disk`` would start is left
    out, because that user may not run this interpreter.
    """
    libc = ctypes.CDLL(None)
    failures: list[BaseException] = []
    seen: set[str] = set()

    def work() -> None:
        libc.setfsgid(65534)
        libc.setfsuid(65534)
        try:
            for collector in build(CollectorsConfig()):
                if not isinstance(collector, DiskCollector):
                    seen.update(point.measurement for point in collector.collect(0.0))
        except BaseException as error:  # noqa: BLE001 -- handed to the test below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []
    assert {"system", "memory", "swap", "connections", "kernel"} <= seen
