"""What the kernel knows about the host's clock: whether something keeps it synchronised."""

from __future__ import annotations

import struct

STA_UNSYNC = 0x0040  # linux/timex.h; the kernel sets it when the clock is set, or after ~9 h alone
_TIMEX = "@Illlli"  # modes, offset, freq, maxerror, esterror, status
_TIMEX_BYTES = 512  # struct timex and room to spare


def is_synchronised() -> bool | None:
    """Return whether NTP, PTP or the like keeps the clock; ``None`` if the kernel does not say.

    Reads only: ``modes`` is 0. Costs an import of ctypes, so ask only when it matters.
    """
    try:
        import ctypes  # noqa: PLC0415 -- costs memory on every host, and few ask

        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        if ctypes.CDLL(None).adjtimex(timex) < 0:
            return None
    # MemoryError: an old libffi where the unit forbids memory that is writable and executable
    except (ImportError, OSError, AttributeError, MemoryError):
        return None
    return not struct.unpack_from(_TIMEX, timex)[5] & STA_UNSYNC
