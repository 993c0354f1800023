"""Notifies systemd (sd_notify(3)) without its library; does nothing outside a unit."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Notifier:
    """Sends states to ``$NOTIFY_SOCKET``; ``watchdog_seconds`` is 0 when none is set."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self.watchdog_seconds = int(environ.get("WATCHDOG_USEC", "0")) / 1e6

    def ready(self) -> None:
        """Report that the service is ready."""
        self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog; call it at least twice per ``watchdog_seconds``."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that a stop has begun."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(state.encode(), self._address)
            except OSError:
                return  # systemd restarting itself is no reason to stop working
