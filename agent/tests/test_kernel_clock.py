"""Whether the kernel says that the host's clock is synchronised."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

import pytest
from agent.tests.collectors.test_failed_units import HELLO, bus, message
from agent.tests.conftest import ManualClock

from hostpulse_agent.clock import Clock
from hostpulse_agent.kernel_clock import KernelClock, read_unsynchronised

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bus"]


def forbidden() -> bool | None:
    """Answer as in a sandbox that forbids adjtimex."""
    return None


def truth(value: int) -> bytes:
    """Return a variant that holds a boolean."""
    return b"\x01b\0\0" + struct.pack("<I", value)


def test_two_interfaces_of_the_kernel_agree() -> None:
    """State 5 of ntp_gettime, TIME_ERROR, is a clock that is not synchronised."""
    answer = read_unsynchronised()
    if answer is not None:
        state = ctypes.CDLL(None).ntp_gettime(ctypes.create_string_buffer(256))
        assert answer == (state == 5)
        assert Clock().is_synchronised() is not answer


@pytest.mark.parametrize("value", [0, 1])
def test_in_a_sandbox_systemd_is_asked(
    bus: Callable[..., tuple[str, list[bytes]]],
    value: int,
) -> None:
    """Once a minute: timedated reads the kernel's word, and is started for it."""
    clock = ManualClock()
    run, requests = bus(HELLO + message(2, 2, truth(value)))
    kernel = KernelClock(clock.boot_ms, run, forbidden)
    assert kernel.get() is bool(value)
    assert b"NTPSynchronized\0" in requests[1]
    assert b"l\x01\0\x01" in requests[1]
    clock.advance(59)
    assert kernel.get() is bool(value)
    clock.advance(1)
    assert kernel.get() is None  # this bus answers once


def test_where_nobody_knows_the_answer_is_none(
    bus: Callable[..., tuple[str, list[bytes]]],
    tmp_path: object,
) -> None:
    """No systemd, or an answer beyond reason."""
    clock = ManualClock()
    assert KernelClock(clock.boot_ms, f"{tmp_path}/none", forbidden).get() is None
    run, _ = bus(b"l\x02\0\x01" + struct.pack("<III", 1 << 30, 1, 8))
    assert KernelClock(clock.boot_ms, run, forbidden).get() is None
