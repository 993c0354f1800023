"""Reads one property of a service over D-Bus, or calls one of its methods.

``systemctl`` would cost a process and ten times the CPU; a D-Bus library would cost the agent
memory. The wire format is that of the D-Bus Specification, "Message Protocol".
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_TIMEOUT_S = 1.0
_CALL, _RETURN, _ERROR = 1, 2, 3
_NO_AUTO_START = 2
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8
_HELLO, _CALLED = 1, 2
_LARGEST = 65536


class Reply(NamedTuple):
    """The body of an answer: its byte order (of ``struct``), its types and its bytes."""

    order: str
    signature: str
    body: bytes

    def text(self, at: int) -> tuple[str, int]:
        """Return the string at or behind a place, and the place behind it."""
        at += -at % 4
        (size,) = struct.unpack_from(self.order + "I", self.body, at)
        at += 4
        if at + size >= len(self.body):
            raise ValueError("a text of the answer is longer than the answer")
        return self.body[at : at + size].decode("utf-8", "replace"), at + size + 1


class Property(NamedTuple):
    """A property of a service on the bus; ``kind`` is its D-Bus type, ``u`` or ``b``.

    ``is_started``: the bus starts the service if it does not run.
    """

    service: str
    path: str
    interface: str
    name: str
    kind: str
    is_started: bool = False


class Method(NamedTuple):
    """A method of a service; ``arguments`` are of the D-Bus types ``signature``, as sent."""

    service: str
    path: str
    interface: str
    name: str
    signature: str
    arguments: bytes
    reply: str
    largest: int = _LARGEST


def read(wanted: Property, run: str = "/run") -> int | None:
    """Return a property, or None where systemd, its bus or the service is not there.

    Takes at most a few seconds. Raises ``ValueError`` for a malformed reply.
    """
    properties = "org.freedesktop.DBus.Properties"
    body = _string(wanted.interface)
    body += bytes(-len(body) % 4) + _string(wanted.name)
    target = (wanted.path, properties, "Get", wanted.service)
    flags = 0 if wanted.is_started else _NO_AUTO_START
    found = _converse(run, _call(_CALLED, target, body, "ss", flags), _LARGEST)
    variant = bytes([1]) + wanted.kind.encode() + bytes(1)
    if found is None or found.body[:3] != variant:
        return None
    return int(struct.unpack(found.order + "I", found.body[4:8])[0])


def call(method: Method, run: str = "/run") -> Reply | None:
    """Return the answer of a method, or None as ``read``."""
    target = (method.path, method.interface, method.name, method.service)
    request = _call(_CALLED, target, method.arguments, method.signature)
    found = _converse(run, request, method.largest)
    return found if found is not None and found.signature == method.reply else None


def strings(texts: Iterable[str]) -> bytes:
    """Return an array of strings as sent."""
    body = b""
    for text in texts:
        body += bytes(-len(body) % 4) + _string(text)
    return struct.pack("<I", len(body)) + body


def _converse(run: str, request: bytes, largest: int) -> Reply | None:
    path = f"{run}/dbus/system_bus_socket"
    if not (os.path.isdir(f"{run}/systemd/system") and os.path.exists(path)):
        return None
    try:
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(_TIMEOUT_S)
            bus.connect(path)
            return _ask(bus, request, largest)
    except OSError:
        return None


def _ask(bus: socket.socket, request: bytes, largest: int) -> Reply:
    user = str(os.geteuid()).encode().hex()
    bus.sendall(f"\0AUTH EXTERNAL {user}\r\n".encode())
    greeting = b""
    while not greeting.endswith(b"\r\n"):
        data = bus.recv(512)
        if not data or len(greeting) > _LARGEST:
            raise ConnectionError("the bus closed the connection")
        greeting += data
    if not greeting.startswith(b"OK "):
        raise ConnectionError("the bus refused the agent's user")
    name = "org.freedesktop.DBus"
    hello = _call(_HELLO, ("/org/freedesktop/DBus", name, "Hello", name), b"", "")
    bus.sendall(b"BEGIN\r\n" + hello + request)
    return _reply(bus, largest)


def _call(
    serial: int,
    target: tuple[str, str, str, str],
    body: bytes,
    signature: str,
    flags: int = _NO_AUTO_START,
) -> bytes:
    """Return a method call; ``target`` is path, interface, member, destination."""
    codes = (_PATH, _INTERFACE, _MEMBER, _DESTINATION)
    fields = b""
    for code, text in zip(codes, target):
        kind = b"o" if code == _PATH else b"s"
        fields += bytes(-len(fields) % 8) + bytes([code, 1]) + kind + b"\0" + _string(text)
    if signature:
        fields += bytes(-len(fields) % 8) + bytes([_SIGNATURE, 1]) + b"g\0"
        fields += bytes([len(signature)]) + signature.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", _CALL, flags, 1, len(body), serial, len(fields))
    return head + fields + bytes(-len(fields) % 8) + body


def _string(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def _reply(bus: socket.socket, largest: int) -> Reply:
    """Read messages until the answer to ``_CALLED``."""
    while True:
        head = _exactly(bus, 16)
        order = "<" if head[:1] == b"l" else ">"
        size, _, length = struct.unpack(order + "III", head[4:])
        if size + length > largest:
            raise ValueError("the answer is too large")
        fields = _exactly(bus, length + -length % 8)[:length]
        body = _exactly(bus, size)
        serial, signature = _header(fields, order)
        if head[1] in (_RETURN, _ERROR) and serial == _CALLED:
            if head[1] == _ERROR:
                raise ConnectionError("the service did not answer the question")
            return Reply(order, signature, body)


def _header(fields: bytes, order: str) -> tuple[int | None, str]:
    """Return the serial that a message replies to, and the types of its body."""
    at, serial, signature = 0, None, ""
    while at + 4 <= len(fields):
        at += -at % 8
        code, kind = fields[at], fields[at + 2 : at + 3]
        at += 4
        if kind == b"g":
            if code == _SIGNATURE:
                signature = fields[at + 1 : at + 1 + fields[at]].decode("ascii", "replace")
            at += fields[at] + 2
            continue
        number = int(struct.unpack(order + "I", fields[at : at + 4])[0])
        if code == _REPLY_SERIAL:
            serial = number
        at += 4 if kind == b"u" else 4 + number + 1
    return serial, signature


def _exactly(bus: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = bus.recv(size - len(data))
        if not part:
            raise ConnectionError("the bus closed the connection")
        data += part
    return data
