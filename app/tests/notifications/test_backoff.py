"""How long a message waits after it was not taken."""

from __future__ import annotations

import random

import pytest

from hostpulse_server.backoff import channel_wait_seconds


@pytest.mark.parametrize(
    ("failures", "bound"), [(0, 1), (1, 2), (2, 4), (8, 256), (9, 300), (16, 300), (10_000, 300)]
)
def test_the_bound_doubles_up_to_five_minutes(failures: int, bound: float) -> None:
    """And any time up to it may come out: full jitter."""
    assert channel_wait_seconds(failures, lambda _low, high: high) == bound
    assert channel_wait_seconds(failures, lambda low, _high: low) == 0
    seed = random.Random(7)  # noqa: S311 - the same numbers each time
    waits = [channel_wait_seconds(failures, seed.uniform) for _ in range(200)]
    assert 0 <= min(waits) < bound / 10
    assert bound * 0.9 < max(waits) <= bound
