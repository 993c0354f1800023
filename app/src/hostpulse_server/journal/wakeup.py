"""Datagrams that notify consumers in any process that the journal has grown.

A consumer binds a socket in ``<journal>.wake/``; a writer sends one byte to each. Addresses go
through ``/proc/self/fd`` because a path in a socket address may have 107 bytes only.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class _Directory:
    """A folder of sockets, open."""

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + ".wake")
        path.mkdir(mode=0o700, exist_ok=True)
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def address(self, name: str) -> str:
        return f"/proc/self/fd/{self.fd}/{name}"

    def close(self) -> None:
        os.close(self.fd)


class WakeupSender:
    """Rings for every consumer; used by one thread."""

    def __init__(self, journal: Path) -> None:
        self._directory = _Directory(journal)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)

    def ring(self) -> None:
        """Wake all consumers; one that is gone is removed, one that is behind is awake anyway."""
        for name in os.listdir(self._directory.fd):  # noqa: PTH208  # an open folder, not a path
            try:
                self._socket.sendto(b"1", self._directory.address(name))
            except ConnectionRefusedError:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._directory.fd)
            except OSError:
                continue

    def close(self) -> None:
        """Close the socket and the folder."""
        self._socket.close()
        self._directory.close()


class WakeupReceiver:
    """One consumer's socket; used by one thread at a time."""

    def __init__(self, journal: Path) -> None:
        self._directory = _Directory(journal)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._socket.bind(self._directory.address(self._name))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def listen(self, timeout: float) -> None:
        """Return at the next ring, or after ``timeout`` seconds; forgets all rings so far."""
        self._poll.poll(max(0.0, timeout) * 1000)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass

    def close(self) -> None:
        """Close and remove the socket."""
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._name, dir_fd=self._directory.fd)
        self._directory.close()
