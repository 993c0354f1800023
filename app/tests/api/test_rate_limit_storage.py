"""The counters behind the rates."""

from __future__ import annotations

import time

from hostpulse_server.api import rate_limit_storage


def test_a_window_counts_up_and_tells_its_end() -> None:
    """Every hit adds to the window that is open; its end does not move."""
    storage = rate_limit_storage.CounterStorage()
    assert [storage.incr("key", 60), storage.incr("key", 60, 2)] == [1, 3]
    assert storage.get("key") == 3
    assert 0 < storage.get_expiry("key") - time.time() <= 60


def test_a_window_that_ended_counts_from_zero() -> None:
    """What was counted in a window that is over is not held against the next."""
    storage = rate_limit_storage.CounterStorage()
    storage.incr("key", 0)
    assert storage.get("key") == 0
    assert storage.incr("key", 60) == 1


def test_windows_that_ended_take_no_memory_for_ever() -> None:
    """The sweep drops what is over and keeps what is not."""
    storage = rate_limit_storage.CounterStorage()
    storage.incr("open", 60)
    for number in range(10):
        storage.incr(f"over-{number}", 0)
    storage.sweep()
    assert storage.get("open") == 1
    assert storage.reset() == 1


def test_forgetting_is_for_one_key_or_all() -> None:
    """``clear`` drops one window, ``reset`` all."""
    storage = rate_limit_storage.CounterStorage()
    for name in ("one", "two"):
        storage.incr(name, 60)
    storage.clear("one")
    assert (storage.get("one"), storage.get("two")) == (0, 1)
    assert storage.reset() == 1
    assert storage.get("two") == 0
