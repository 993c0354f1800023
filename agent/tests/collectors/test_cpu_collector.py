"""CPU shares: from ticks between two readings, and only where they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.collectors.cpu import CpuCollector, shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host

    from hostpulse_agent.collectors.base import Point


def test_the_first_reading_gives_no_point(host: Callable[[str], Host]) -> None:
    """There is nothing yet to compare with."""
    assert CpuCollector(host("lvm-host").tree).collect(0.0) == []


def test_usage_is_what_is_neither_idle_nor_iowait(host: Callable[[str], Host]) -> None:
    """Of 4,000 ticks 2,200 were idle and 200 waited for a disk; the guest's are inside user."""
    recorded = host("lvm-host")
    total = recorded.twice(CpuCollector(recorded.tree))[0]
    assert total.tags == {"core": "total"}
    assert total.fields == pytest.approx(
        {
            "usage_percent": 40.0,
            "user_percent": 25.0,
            "nice_percent": 0.0,
            "system_percent": 10.0,
            "idle_percent": 55.0,
            "iowait_percent": 5.0,
            "irq_percent": 0.0,
            "softirq_percent": 2.5,
            "steal_percent": 2.5,
        }
    )


def test_cores_give_only_their_usage_unless_all_is_asked_for(host: Callable[[str], Host]) -> None:
    """`per_core` chooses between one field a core, all, and none."""
    recorded = host("lvm-host")
    usage, everything, off = (CpuCollector(recorded.tree, kind) for kind in ("usage", "all", "off"))
    for collector in (usage, everything, off):
        collector.collect(recorded.now)
    recorded.pass_time()
    assert [set(p.fields) for p in usage.collect(recorded.now)][1:] == [{"usage_percent"}] * 4
    assert all(len(p.fields) == 9 for p in everything.collect(recorded.now))
    assert [p.tags["core"] for p in off.collect(recorded.now)] == ["total"]


def test_a_core_whose_counter_went_back_is_left_out_alone(host: Callable[[str], Host]) -> None:
    """The total's iowait went backwards there; core 0 is well, core 1 did not tick."""
    recorded = host("raid-host")
    points = recorded.twice(CpuCollector(recorded.tree))
    assert [point.tags["core"] for point in points] == ["0"]


def test_a_core_that_was_away_starts_anew(host: Callable[[str], Host]) -> None:
    """Ticks from before a core went offline are no rate after it."""
    recorded = host("container")
    collector = CpuCollector(recorded.tree)
    whole = (recorded.root / "proc/stat").read_text()
    collector.collect(recorded.now)
    recorded.now += 10
    recorded.write("proc/stat", "cpu  1 2 3 4 5 6 7 8 0 0\nintr 1\n")
    collector.collect(recorded.now)
    recorded.now += 10
    recorded.write("proc/stat", whole.replace("cpu0 100", "cpu0 900"))
    assert "0" not in [point.tags["core"] for point in collector.collect(recorded.now)]


def test_a_host_with_256_cores_gives_257_points(host: Callable[[str], Host]) -> None:
    """Every core has its line, in a file of any size."""
    recorded = host("container")
    collector = CpuCollector(recorded.tree)

    def collect(busy: int, idle: int) -> list[Point]:
        lines = [f"cpu{n} {busy} 0 0 {idle} 0 0 0 0 0 0" for n in ["", *range(256)]]
        recorded.write("proc/stat", "\n".join(lines) + "\nintr 9" + " 0" * 60000 + "\nctxt 1\n")
        recorded.now += 10
        return collector.collect(recorded.now)

    collect(0, 1000)
    points = collect(250, 1750)
    assert len(points) == 257
    assert all(point.fields["usage_percent"] == 25.0 for point in points)


@given(st.lists(st.integers(0, 10**12), min_size=8, max_size=8))
def test_shares_of_any_ticks_sum_to_a_hundred(deltas: list[int]) -> None:
    """Kinds are parts of one whole; usage is the whole less idle and iowait."""
    fields = shares(tuple(deltas), everything=True)
    if not sum(deltas):
        assert fields == {}
        return
    usage = fields.pop("usage_percent")
    assert sum(fields.values()) == pytest.approx(100)
    assert usage == pytest.approx(100 - fields["idle_percent"] - fields["iowait_percent"], abs=1e-6)
    assert 0 <= usage <= 100
