"""What becomes of a batch, by what the store says: waited for, divided, given up."""

from __future__ import annotations

import json
from itertools import cycle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.backoff import Backoff
from hostpulse_server.errors import (
    HostpulseError,
    StoreFailedError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreTooLargeError,
    StoreUnavailableError,
)
from hostpulse_server.journal import Entry
from hostpulse_server.shipper.sending import (
    FAILS_ALONE,
    REFUSED,
    REPEATS,
    TOO_LARGE,
    AttributedPoint,
    WriteBatch,
)
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENTRY = Entry(7, "samples", 1000, b"")


class Engine:
    """A store that keeps numbers, and answers with ``fault`` where that gives an error."""

    def __init__(self, fault: Callable[[list[int]], HostpulseError | None]) -> None:
        self.fault = fault
        self.kept: set[int] = set()
        self.writes = 0

    def write(self, points: Sequence[StorePoint]) -> None:
        """Keep all points or none."""
        self.writes += 1
        numbers = [point.time_ms for point in points]
        error = self.fault(numbers)
        if error is not None:
            raise error
        self.kept.update(numbers)


def batch_of(count: int, size: int = 5000) -> WriteBatch:
    """Return a batch of points whose times are 0, 1, 2 and so on."""
    points = [StorePoint("web-01", "cpu", (), number, {"a": 1.0}) for number in range(count)]
    return WriteBatch([AttributedPoint(point, ENTRY) for point in points], size)


def send(batch: WriteBatch, engine: Engine, tries: int = 50) -> bool:
    """Send again and again, as the loop does after each wait; return whether it came to an end."""
    for _ in range(tries):
        try:
            if batch.send(engine, lambda: False):  # type: ignore[arg-type] # only write is called
                return True
        except StoreUnavailableError:
            continue
    return False


def given_up(batch: WriteBatch) -> dict[int, str]:
    """Return time → reason of the points given up."""
    return {json.loads(item.body)["time"]: item.reason for item in batch.aside}


@given(bad=st.sets(st.integers(0, 199)), reason=st.sampled_from([REFUSED, TOO_LARGE]))
def test_exactly_the_points_at_fault_are_given_up(bad: set[int], reason: str) -> None:
    """None, one, neighbours or all: every other point is in the store."""
    kind = {REFUSED: StoreRejectedError, TOO_LARGE: StoreTooLargeError}[reason]
    engine = Engine(lambda numbers: kind("no") if bad & set(numbers) else None)
    batch = batch_of(200)
    assert send(batch, engine)
    assert given_up(batch) == dict.fromkeys(bad, reason)
    assert engine.kept == set(range(200)) - bad


def test_one_bad_point_of_ten_thousand_costs_few_writes() -> None:
    """Two writes a halving: what is found after 13 of them costs no flush interval."""
    engine = Engine(lambda numbers: StoreRejectedError("no") if 7777 in numbers else None)
    batch = batch_of(10_000)
    assert send(batch, engine)
    assert given_up(batch) == {7777: REFUSED}
    assert engine.writes <= 30


def test_a_request_that_is_too_large_goes_in_pieces() -> None:
    """Nothing is given up as long as fewer points fit."""
    engine = Engine(lambda numbers: StoreTooLargeError("413") if len(numbers) > 300 else None)
    batch = batch_of(5000)
    assert send(batch, engine)
    assert (batch.aside, len(engine.kept)) == ([], 5000)


@given(bad=st.sets(st.integers(0, 99), max_size=60))
def test_points_that_a_sound_store_stumbles_over_are_found(bad: set[int]) -> None:
    """A 5xx that comes back identically for some points is about those points."""
    engine = Engine(lambda numbers: StoreFailedError("500: panic") if bad & set(numbers) else None)
    batch = batch_of(100)
    assert send(batch, engine, tries=500)
    assert given_up(batch) == dict.fromkeys(bad, FAILS_ALONE)
    assert engine.kept == set(range(100)) - bad


@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize(
    "error",
    [
        StoreFailedError("500: engine is sick"),
        StoreUnavailableError("connection refused"),
        StoreMisconfiguredError("401: put a live token there"),
    ],
)
def test_a_store_that_takes_nothing_is_waited_for(error: HostpulseError, count: int) -> None:
    """However long, whatever it says: nothing is divided or given up, then all arrives at once."""
    fault: list[HostpulseError | None] = [error]
    engine = Engine(lambda _: fault[0])
    batch = batch_of(count)
    assert not send(batch, engine)
    fault[0] = None
    engine.writes = 0
    assert send(batch, engine)
    assert (batch.aside, engine.writes) == ([], 1)


def test_a_failure_is_believed_from_the_third_on() -> None:
    """Until then not a single point is tried by itself."""
    engine = Engine(lambda numbers: StoreFailedError("500") if 3 in numbers else None)
    batch = batch_of(10)
    for attempt in range(1, REPEATS):
        assert not send(batch, engine, tries=1)
        assert (engine.writes, engine.kept) == (attempt, set())
    assert send(batch, engine, tries=1)
    assert given_up(batch) == {3: FAILS_ALONE}


def test_failures_that_differ_are_no_repetition() -> None:
    """Each text begins the count anew."""
    words = cycle(["500: panic", "500: no room"])
    engine = Engine(lambda _: StoreFailedError(next(words)))
    assert not send(batch_of(10), engine, tries=100)
    assert engine.writes == 100


def test_failures_that_differ_in_a_number_only_are_one() -> None:
    """An address or a counter in the text of a panic keeps no batch waiting for ever."""
    count = iter(range(1000))

    def fault(numbers: list[int]) -> HostpulseError | None:
        return (
            StoreFailedError(f"500: panic {next(count)} at 0x{id(numbers):x}")
            if 3 in numbers
            else None
        )

    batch = batch_of(10)
    assert send(batch, Engine(fault), tries=100)
    assert given_up(batch) == {3: FAILS_ALONE}


@pytest.mark.parametrize("alone", [1, 2])
def test_an_outage_that_begins_while_a_point_is_suspected_saves_it(alone: int) -> None:
    """The store took others before, but not after: that the point fails now proves nothing."""
    tried = 0

    def fault(numbers: list[int]) -> HostpulseError | None:
        nonlocal tried
        tried += numbers == [3]
        return StoreFailedError("500") if tried >= alone or 3 in numbers else None

    engine = Engine(fault)
    batch = batch_of(10)
    assert not send(batch, engine, tries=30)
    assert tried > alone
    assert batch.aside == []
    engine.fault = lambda _: None
    assert send(batch, engine)
    assert (batch.aside, engine.kept) == ([], set(range(10)))


def test_what_was_taken_before_an_outage_does_not_divide_what_comes_after() -> None:
    """The first part went in, then the store fails for everything: the second stays whole."""
    engine = Engine(lambda numbers: StoreFailedError("500") if 0 not in numbers else None)
    batch = batch_of(200, size=100)
    assert not send(batch, engine)
    engine.fault = lambda _: None
    engine.writes = 0
    assert send(batch, engine)
    assert (engine.writes, len(engine.kept)) == (1, 200)


@given(answers=st.lists(st.booleans(), max_size=200))
def test_a_store_that_fails_at_random_loses_nothing(answers: list[bool]) -> None:
    """What is neither in the store nor given up is still to be sent."""
    script = iter(answers)
    engine = Engine(lambda _: None if next(script, True) else StoreUnavailableError("flaps"))
    batch = batch_of(50, size=20)
    assert send(batch, engine, tries=300)
    assert (batch.aside, engine.kept) == ([], set(range(50)))


def test_a_pause_keeps_what_was_found_so_far() -> None:
    """A batch with many bad points gives the other stream its turn in between."""
    engine = Engine(lambda numbers: StoreRejectedError("no") if len(numbers) > 1 else None)
    batch = batch_of(64)
    slices = 0
    while not batch.send(engine, lambda: True):  # type: ignore[arg-type] # only write is called
        slices += 1
    assert slices == 126
    assert engine.kept == set(range(64))


@given(failures=st.integers(1, 40), asked=st.none() | st.floats(0, 100))
def test_waits_stay_within_their_bound_and_honour_what_was_asked(
    failures: int, asked: float | None
) -> None:
    """No wait is over ten seconds; Retry-After is kept to up to there."""
    backoff = Backoff(10.0)
    for _ in range(failures):
        seconds = backoff.failed(100.0, asked)
        assert min(asked or 0.0, 10.0) <= seconds <= 10.0
        assert backoff.until == 100.0 + seconds
    assert backoff.failing
    backoff.worked()
    assert not backoff.failing
