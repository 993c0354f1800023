"""One tick over many collectors."""

from __future__ import annotations

import math

import pytest
from agent.tests.conftest import ManualClock, Stub
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent import wire
from hostpulse_agent.collectors.base import Point
from hostpulse_agent.sampler import AgentUsage, Sampler, resident_bytes


def good(value: float = 1.0) -> list[Point]:
    """Return a point that passes."""
    return [Point("stub", {}, {"value": value})]


def test_a_failing_collector_stops_no_other_and_is_logged_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is tried twice a tick, named with its reason once, and named again when it recovers."""
    bad = Stub(*[OSError("no such file")] * 5, good(), name="stub")
    fine = Stub(name="fine")
    sampler = Sampler([bad, fine], 10.0)
    assert sampler.collect() == fine.answers[0]
    assert (bad.calls, sampler.errors) == (2, 1)
    sampler.collect()
    assert sampler.collect() == good() + fine.collect(0.0)
    assert (bad.calls, sampler.errors) == (6, 0)
    logged = capsys.readouterr().err
    assert logged.count("no such file") == 1
    assert logged.count("is measured again") == 1


def test_a_second_try_within_the_tick_can_succeed() -> None:
    """One hiccup costs nothing."""
    sampler = Sampler([Stub(ValueError("hiccup"), good())], 10.0)
    assert sampler.collect() == good()
    assert sampler.errors == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5, 100.5])
def test_a_value_that_cannot_be_is_left_out(
    value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest of the point stays; the reason is logged once."""
    point = Point("stub", {}, {"value": value, "free": 5.0})
    sampler = Sampler([Stub([point])], 10.0)
    assert sampler.collect() == [Point("stub", {}, {"free": 5.0})]
    sampler.collect()
    assert capsys.readouterr().err.count("stub.value is left out") == 1


@pytest.mark.parametrize(
    "point",
    [
        Point("other", {}, {"value": 1.0}),
        Point("stub", {"unknown": "x"}, {"value": 1.0}),
        Point("stub", {"part": ""}, {"value": 1.0}),
        Point("stub", {"part": "x" * 256}, {"value": 1.0}),
        Point("stub", {"part": "a\nb"}, {"value": 1.0}),
        Point("stub", {"part": "a\\"}, {"value": 1.0}),
        Point("stub", {}, {"undeclared": 1.0}),
        Point("stub", {}, {}),
    ],
)
def test_a_point_that_the_server_would_refuse_is_not_kept(point: Point) -> None:
    """It costs itself, nothing else."""
    assert Sampler([Stub([point, *good()])], 10.0).collect() == good()


@given(st.floats(), st.floats())
def test_only_finite_values_in_range_pass(value: float, free: float) -> None:
    """With any values from a collector, what is kept can be stored."""
    points = Sampler([Stub([Point("stub", {}, {"value": value, "free": free})])], 10.0).collect()
    for point in points:
        assert all(math.isfinite(each) for each in point.fields.values())
        assert 0.0 <= point.fields.get("value", 0.0) <= 100.0


def test_each_collector_keeps_its_own_interval() -> None:
    """A slower one is skipped in between, though ticks are never exactly apart."""
    clock = ManualClock()
    slow, fast = Stub(good()), Stub(good())
    slow.interval_s = 30.0
    sampler = Sampler([slow, fast], 10.0, monotonic=clock.monotonic)
    sampler.prime()
    for jitter in (0.1, 0.0, 0.05, -0.05, 0.1, 0.0, 0.0):
        sampler.collect()
        clock.advance(10.0 + jitter)
    assert (slow.calls, fast.calls) == (1 + 3, 1 + 7)


def test_a_flood_of_points_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """2,000 points are the contract's most."""
    flood = [Point("stub", {"part": str(n)}, {"value": 1.0}) for n in range(2500)]
    assert len(Sampler([Stub(flood)], 10.0).collect()) == 2000
    assert "2000 points" in capsys.readouterr().err


def test_names_are_bounded_whatever_they_are() -> None:
    """In number, in length, and so that the server takes them: 16 KiB."""
    stub = Stub(good())
    stub.names = {kind: [f"{n}" + "\U0001f600" * 500 for n in range(100)] for kind in "abcd"}
    sampler = Sampler([stub], 10.0)
    names = sampler.names()
    assert len(wire.encode({"names": names})) < 16 << 10
    assert {len(name) for kind in names.values() for name in kind} == {120}
    stub.names = {"units": [f"{n}.service" for n in range(100)]}
    assert sampler.names() == {"units": [f"{n}.service" for n in range(20)]}


def test_the_agent_knows_what_it_costs() -> None:
    """CPU time per wall time, helpers included; nothing when a helper's time is gone."""
    clock, pids = ManualClock(), [1]
    usage = AgentUsage(lambda: pids, clock.monotonic)
    clock.advance(1.0)
    spent = usage.cpu_percent()
    assert spent is not None
    assert 0.0 <= spent < 10_000.0
    assert usage.cpu_percent() is None  # no time has passed
    assert 1 << 20 < resident_bytes() < 1 << 30
