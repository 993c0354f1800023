"""Asks silent hosts whether their address answers, a few at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostpulse_server.alerts.liveness.model import Probe
    from hostpulse_server.clock import Clock


class HostProber:
    """A Prober that asks by ICMP echo, where the kernel lets it, and by TCP."""

    def __init__(self, clock: Clock) -> None:
        raise NotImplementedError

    def ask(self, server_id: str, address: str) -> None:
        """Have a host asked, unless that is under way or was done a moment ago."""
        raise NotImplementedError

    def answer(self, server_id: str) -> Probe | None:
        """Return the newest answer, ``None`` before the first."""
        raise NotImplementedError

    def forget(self, server_id: str) -> None:
        """Drop what is known of a host: it reports again."""
        raise NotImplementedError
