"""The retry policy, without a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent import retry_policy
from hostpulse_agent.retry_policy import (
    Backoff,
    BatchSize,
    Endpoints,
    classify,
    parse_retry_after,
)


@given(st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=1, max_size=40))
def test_backoff_stays_between_nothing_and_a_growing_ceiling(draws: list[float]) -> None:
    """Full jitter: the n-th wait is anywhere below min(60 s, 2^n s)."""
    source = iter(draws)
    backoff = Backoff(lambda: next(source))
    for n, draw in enumerate(draws):
        assert backoff.failed() == pytest.approx(draw * min(60.0, 2.0**n))


@given(st.floats(0.0, 600.0), st.floats(0.0, 1.0, exclude_max=True))
def test_retry_after_is_a_floor(asked: float, draw: float) -> None:
    """The server's wish is never undercut, and hosts are spread behind it."""
    assert asked <= Backoff(lambda: draw).failed(asked) <= 2 * asked + 1.0


def test_a_slow_retry_waits_at_least_half_a_minute() -> None:
    """What a human must repair is not asked for every second."""
    assert Backoff(lambda: 0.0).failed(slow=True) == 30.0


def test_a_success_begins_the_backoff_anew() -> None:
    """The first wait after a success is within a second again."""
    backoff = Backoff(lambda: 0.999)
    for _ in range(9):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() < 1.0


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (200, retry_policy.DONE),
        (204, retry_policy.DONE),
        (301, retry_policy.HOLD),
        (400, retry_policy.BAD),
        (401, retry_policy.HOLD),
        (403, retry_policy.HOLD),
        (404, retry_policy.HOLD),
        (408, retry_policy.RETRY),
        (409, retry_policy.HOLD),
        (413, retry_policy.SMALLER),
        (415, retry_policy.HOLD),
        (422, retry_policy.BAD),
        (429, retry_policy.RETRY),
        (500, retry_policy.RETRY),
        (503, retry_policy.RETRY),
    ],
)
def test_every_status_has_a_consequence(status: int, action: str) -> None:
    """Only a 2xx is a receipt; only 400, 413 and 422 blame the request."""
    outcome = classify(status, 7.0)
    assert outcome.action == action
    assert outcome.advice or action not in (retry_policy.HOLD, retry_policy.RETRY)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("99999999999999999999", 600.0),
        ("Mon, 23 Nov 2026 00:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2020 00:01:00 GMT", 0.0),
        ("Mon, 23 Nov 2099 00:01:00 GMT", 600.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(text: str | None, seconds: float | None) -> None:
    """Both forms of RFC 9110, capped; nonsense is as if nothing was asked."""
    assert parse_retry_after(text, 1_795_392_000.0) == seconds


@given(st.integers(1, 100).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_bisection_drops_exactly_the_bad_samples(case: tuple[int, set[int]]) -> None:
    """With any set of bad samples, the rest is delivered in few requests, and each is dropped."""
    count, bad = case
    waiting, size = list(range(count)), BatchSize()
    delivered: list[int] = []
    dropped: list[int] = []
    requests = 0
    while waiting:
        requests += 1
        batch = waiting[: size.limit]
        if not bad.intersection(batch):
            delivered += batch
            size.succeeded(len(batch))
        elif len(batch) > 1:
            size.refused(len(batch))
            continue
        else:
            dropped += batch
            size.refused(1)
        waiting = waiting[len(batch) :]
    assert delivered == [n for n in range(count) if n not in bad]
    assert dropped == sorted(bad)
    assert requests <= 2 + 9 * len(bad)


def test_too_large_batches_are_halved_and_grow_slowly() -> None:
    """A 413 halves the batch; the size comes back by one sample a success."""
    size = BatchSize()
    size.too_large(100)
    assert size.limit == 50
    size.succeeded(50)
    assert size.limit == 51
    size.too_large(1)
    assert size.limit == 1


def test_urls_are_tried_in_order_and_the_first_is_returned_to() -> None:
    """A round tries each once; a working one is kept; after five minutes the first has a turn."""
    endpoints = Endpoints(("a", "b"))
    assert endpoints.current(0.0) == "a"
    assert endpoints.failed(0.0)
    assert endpoints.current(1.0) == "b"
    endpoints.succeeded()
    assert endpoints.current(299.0) == "b"
    assert endpoints.current(301.0) == "a"
    assert endpoints.failed(301.0)
    assert endpoints.current(302.0) == "b"
    assert not endpoints.failed(302.0)
    assert endpoints.current(303.0) == "a"


def test_random_numbers_are_in_the_unit_interval_and_differ() -> None:
    """The jitter comes from the system's random source."""
    draws = {retry_policy.random_unit() for _ in range(100)}
    assert len(draws) == 100
    assert all(0.0 <= draw < 1.0 for draw in draws)
