"""What the kernel knows about the host's clock: whether something keeps it synchronised."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hostpulse_agent import system_bus

if TYPE_CHECKING:
    from collections.abc import Callable

ASK_AGAIN_MS = 60_000.0
_STA_UNSYNC = 0x0040  # linux/timex.h; the kernel sets it when the clock is set, or after ~9 h alone
_TIMEX = "@Illlli"  # modes, offset, freq, maxerror, esterror, status
_TIMEX_BYTES = 512  # struct timex and room to spare
_NTP_SYNCHRONIZED = system_bus.Property(
    service="org.freedesktop.timedate1",
    path="/org/freedesktop/timedate1",
    interface="org.freedesktop.timedate1",
    name="NTPSynchronized",
    kind="b",
    is_started=True,
)


class KernelClock:
    """Asks the kernel, or systemd where the unit's sandbox forbids that (``ProtectClock=``).

    ``get`` costs an import of ctypes, and perhaps a call to another process a minute: ask only
    when it matters.
    """

    def __init__(
        self,
        boot_ms: Callable[[], float],
        run: str = "/run",
        unsynchronised: Callable[[], bool | None] | None = None,
    ) -> None:
        self._boot_ms = boot_ms
        self._run = run
        self._unsynchronised = unsynchronised or read_unsynchronised
        self._said: bool | None = None
        self._ask_from = 0.0

    def get(self) -> bool | None:
        """Return whether NTP, PTP or the like keeps the clock; ``None`` if that is not known."""
        unsynchronised = self._unsynchronised()
        if unsynchronised is not None:
            return not unsynchronised
        if self._boot_ms() >= self._ask_from:
            self._ask_from = self._boot_ms() + ASK_AGAIN_MS
            try:
                said = system_bus.read(_NTP_SYNCHRONIZED, self._run)
            except ValueError:
                said = None
            self._said = None if said is None else bool(said)
        return self._said


def read_unsynchronised() -> bool | None:
    """Return STA_UNSYNC of adjtimex(2), or None where it cannot be called."""
    try:
        import ctypes  # noqa: PLC0415 -- costs memory on every host, and few ask

        timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: changes nothing
        if ctypes.CDLL(None).adjtimex(timex) < 0:
            return None
    # MemoryError: an old libffi where the unit forbids memory that is writable and executable
    except (ImportError, OSError, AttributeError, MemoryError):
        return None
    return bool(struct.unpack_from(_TIMEX, timex)[5] & _STA_UNSYNC)
