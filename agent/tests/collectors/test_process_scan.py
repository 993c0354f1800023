"""The scan of processes: who uses most, at what cost."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
from tests.support.polling import wait_until

from hostpulse_agent.collectors.processes import ProcessScan

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host


def test_the_greatest_users_of_cpu_come_first(host: Callable[[str], Host]) -> None:
    """500 ticks of a hundredth second in ten seconds are half a core."""
    recorded = host("lvm-host")
    scan = ProcessScan(recorded.tree, interval_s=10.0)
    scan.refresh(recorded.now)
    recorded.pass_time()
    scan.refresh(recorded.now)
    page = os.sysconf("SC_PAGE_SIZE")
    assert scan.top(5) == [
        {"name": "post) gres (x", "pid": 77, "cpu_percent": 50.0, "rss_bytes": 50000 * page},
        {"name": "systemd", "pid": 1, "cpu_percent": 0.0, "rss_bytes": 3000 * page},
    ]
    assert len(scan.top(1)) == 1
    assert scan.top(0) == []


def test_another_process_under_an_old_number_starts_anew(host: Callable[[str], Host]) -> None:
    """Number and start time together are one process."""
    recorded = host("lvm-host")
    scan = ProcessScan(recorded.tree, interval_s=10.0)
    scan.refresh(recorded.now)
    recorded.pass_time()
    path = recorded.root / "proc/77/stat"
    path.write_text(path.read_text().replace(" 900 ", " 901 "))
    scan.refresh(recorded.now)
    assert [row["cpu_percent"] for row in scan.top(5)] == [0.0, 0.0]


def test_processes_are_looked_at_no_more_often_than_asked(host: Callable[[str], Host]) -> None:
    """In between the counts of the last look stand."""
    recorded = host("lvm-host")
    scan = ProcessScan(recorded.tree, interval_s=30.0)
    scan.refresh(0.0)
    recorded.write("proc/99/stat", "torn")
    scan.refresh(29.0)
    assert scan.zombie == 1
    scan.refresh(30.0)
    assert scan.zombie == 0


def test_a_zombie_of_this_machine_is_counted() -> None:
    """It stays one until its parent asks for its exit status."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    try:
        wait_until(
            lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE,
            "the child is a zombie",
        )
        scan = ProcessScan()
        scan.refresh(0.0)
        assert scan.zombie >= 1
    finally:
        child.wait()


def test_own_memory_and_name_are_what_psutil_says() -> None:
    """An independent reader of the same numbers agrees."""
    scan = ProcessScan()
    scan.refresh(0.0)
    rows = {row["pid"]: row for row in scan.top(100000)}
    me = psutil.Process()
    resident = rows[me.pid]["rss_bytes"]
    assert isinstance(resident, int)
    assert abs(resident - me.memory_info().rss) < 8 << 20
    assert rows[me.pid]["name"] == me.name()[:15]
