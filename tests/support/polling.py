"""Polling: how tests and benches wait for something, with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = 60.0
Value = TypeVar("Value")


def wait_until(
    condition: Callable[[], Value | None],
    what: str,
    seconds: float = DEADLINE,
    *,
    pause: float = 0.02,
) -> Value:
    """Poll until ``condition`` is true and return its value; fail with ``what`` was waited for."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(pause)
    return value
