"""Probes an address: whether a host answers, without privileges and without another program.

Any answer counts: an echo reply, an open port, and also a refusal, since only a host that is up
can refuse.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

PORTS: Final = (22, 443, 9)  # ssh, https, and one that next to nobody listens on
SECONDS: Final = 2.0
_MOST_ADDRESSES: Final = 4
# echo request and reply; RFC 792 and RFC 4443
_ECHO: Final = {
    socket.AF_INET: (socket.IPPROTO_ICMP, 8, 0),
    socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128, 129),
}
_ANSWERS: Final = {0, errno.ECONNREFUSED, errno.ECONNRESET}
# errors of this machine itself, so that nothing is known of the other
_OUR_FAULT: Final = {
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
    errno.EAFNOSUPPORT,
    errno.EINVAL,
}

_Address = tuple[int, Any]  # family, and what connect takes


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether an address answers, ``None`` where that is unknown, and what was seen."""

    is_answering: bool | None
    lines: tuple[str, ...]


def reach(
    host: str, *, seconds: float = SECONDS, ports: tuple[int, ...] = PORTS, echo: bool = True
) -> Reachability:
    """Ask all addresses of ``host`` at once; takes ``seconds`` at most, and what resolving takes.

    Where the kernel allows no unprivileged echo (``net.ipv4.ping_group_range``) TCP has to do.
    """
    try:
        addresses = _resolve(host)
    except (OSError, UnicodeError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Reachability(None, (f"{host} does not resolve: {said}",))
    with ExitStack() as stack:
        asking = _Asking(host, stack)
        for family, address in addresses:
            if echo:
                asking.echo(family, address)
            for port in ports:
                asking.connect(family, address, port)
        return asking.wait(seconds)


def _resolve(host: str) -> list[_Address]:
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    addresses: list[_Address] = [(family, address) for family, _, _, _, address in found]
    return list(dict.fromkeys(addresses))[:_MOST_ADDRESSES]


@dataclass(slots=True)
class _Try:
    """One question to one address; ``port`` is ``None`` for an echo."""

    address: str
    port: int | None
    began: float
    reply: int = 0


@dataclass
class _Asking:
    """All questions under way, and what has come of them."""

    host: str
    stack: ExitStack
    answer: str = ""
    failures: defaultdict[str, dict[int, list[str]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def __post_init__(self) -> None:
        self._selector = self.stack.enter_context(selectors.DefaultSelector())

    def echo(self, family: int, address: Any) -> None:
        """Send an echo request; where that is not allowed, or fails, TCP has to do."""
        protocol, request, reply = _ECHO[socket.AddressFamily(family)]
        try:
            link = self._socket(family, socket.SOCK_DGRAM, protocol)
        except OSError:
            return
        one = _Try(address[0], None, time.monotonic(), reply)
        try:
            link.connect(address)
            # the kernel fills in identifier and checksum
            link.send(struct.pack("!BBHHH", request, 0, 0, 0, 1) + os.urandom(16))
        except OSError as error:
            self._fail(one, error.errno or 0)
            return
        self._selector.register(link, selectors.EVENT_READ, one)

    def connect(self, family: int, address: Any, port: int) -> None:
        """Begin to connect."""
        one = _Try(address[0], port, time.monotonic())
        try:
            link = self._socket(family, socket.SOCK_STREAM, 0)
        except OSError as error:
            self._fail(one, error.errno or 0)
            return
        code = link.connect_ex((address[0], port, *address[2:]))
        if code in _ANSWERS:
            self._succeed(one, code)
        elif code == errno.EINPROGRESS:
            self._selector.register(link, selectors.EVENT_WRITE, one)
        else:
            self._fail(one, code)

    def wait(self, seconds: float) -> Reachability:
        """Wait for the first answer."""
        deadline = time.monotonic() + seconds
        while not self.answer and self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for key, _ in self._selector.select(left):
                self._hear(key.fileobj, key.data)  # type: ignore[arg-type] # only sockets are there
        if self.answer:
            return Reachability(is_answering=True, lines=(self.answer,))
        for key in self._selector.get_map().values():
            self._fail(key.data, errno.ETIMEDOUT)
        return self._silence(seconds)

    def _hear(self, link: socket.socket, one: _Try) -> None:
        if one.port is None:
            try:
                packet = link.recv(256)
            except OSError as error:
                self._selector.unregister(link)
                self._fail(one, error.errno or 0)
                return
            if packet[:1] == bytes([one.reply]):
                self._succeed(one, 0)
            return
        self._selector.unregister(link)
        code = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code in _ANSWERS:
            self._succeed(one, code)
        else:
            self._fail(one, code)

    def _succeed(self, one: _Try, code: int) -> None:
        took = f"in {(time.monotonic() - one.began) * 1000:.1f} ms"
        shown = self._shown(one.address)
        if one.port is None:
            self.answer = f"{shown} answers ping {took}"
        elif code:
            self.answer = f"{shown} answers: it refuses TCP {one.port} {took}"
        else:
            self.answer = f"{shown} answers on TCP {one.port} {took}"

    def _fail(self, one: _Try, code: int) -> None:
        name = "ping" if one.port is None else str(one.port)
        self.failures[one.address].setdefault(code, []).append(name)

    def _silence(self, seconds: float) -> Reachability:
        lines = []
        is_reported_by_others = False
        for address, codes in self.failures.items():
            is_ours = set(codes) <= _OUR_FAULT
            is_reported_by_others |= not is_ours
            shown, tried = self._shown(address), _tried(codes, seconds)
            lines.append(
                f"{shown} cannot be asked: {tried}"
                if is_ours
                else f"no answer from {shown}: {tried}"
            )
        return Reachability(False if is_reported_by_others else None, tuple(lines))

    def _shown(self, address: str) -> str:
        return address if address == self.host else f"{self.host} ({address})"

    def _socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        link = self.stack.enter_context(socket.socket(family, kind, protocol))
        link.settimeout(0)
        return link


def _tried(codes: dict[int, list[str]], seconds: float) -> str:
    """Return ``ping 2 s, TCP 22 443 9 timed out``."""
    parts = []
    for code, names in codes.items():
        ports = " ".join(name for name in names if name != "ping")
        said = "timed out" if code == errno.ETIMEDOUT else os.strerror(code).lower()
        if "ping" in names:
            parts.append(f"ping {seconds:g} s" if code == errno.ETIMEDOUT else f"ping: {said}")
        if ports:
            parts.append(
                f"TCP {ports} {said}" if code == errno.ETIMEDOUT else f"TCP {ports}: {said}"
            )
    return ", ".join(parts)
