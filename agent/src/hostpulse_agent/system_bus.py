"""Reads one property of a service over D-Bus.

``systemctl`` would cost a process and ten times the CPU; a D-Bus library would cost the agent
memory. The wire format is that of the D-Bus Specification, "Message Protocol".
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

_TIMEOUT_S = 1.0
_CALL, _RETURN, _ERROR = 1, 2, 3
_NO_AUTO_START = 2
_PATH, _INTERFACE, _MEMBER, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 5, 6, 8
_HELLO, _GET = 1, 2
_LARGEST = 65536


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


def read(wanted: Property, run: str = "/run") -> int | None:
    """Return a property, or None where systemd, its bus or the service is not there.

    Takes at most a few seconds. Raises ``ValueError`` for a malformed reply.
    """
    path = f"{run}/dbus/system_bus_socket"
    if not (os.path.isdir(f"{run}/systemd/system") and os.path.exists(path)):
        return None
    try:
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(_TIMEOUT_S)
            bus.connect(path)
            return _ask(bus, wanted)
    except OSError:
        return None


def _ask(bus: socket.socket, wanted: Property) -> int:
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
    body = _string(wanted.interface)
    body += bytes(-len(body) % 4) + _string(wanted.name)
    target = (wanted.path, f"{name}.Properties", "Get", wanted.service)
    flags = 0 if wanted.is_started else _NO_AUTO_START
    bus.sendall(b"BEGIN\r\n" + hello + _call(_GET, target, body, "ss", flags))
    return _reply(bus, wanted.kind)


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


def _reply(bus: socket.socket, kind: str) -> int:
    """Read messages until the answer to ``_GET``: a variant holding a number of ``kind``."""
    variant = bytes([1]) + kind.encode() + bytes(1)
    while True:
        head = _exactly(bus, 16)
        order = "<" if head[:1] == b"l" else ">"
        size, _, length = struct.unpack(order + "III", head[4:])
        if size + length > _LARGEST:
            raise ValueError("the answer is too large")
        fields = _exactly(bus, length + -length % 8)[:length]
        body = _exactly(bus, size)
        if head[1] in (_RETURN, _ERROR) and _serial(fields, order) == _GET:
            if head[1] == _ERROR or body[:3] != variant:
                raise ConnectionError("the service did not answer the question")
            return int(struct.unpack(order + "I", body[4:8])[0])


def _serial(fields: bytes, order: str) -> int | None:
    """Return the serial that a message replies to, from its header's fields."""
    at = 0
    while at + 4 <= len(fields):
        at += -at % 8
        code, kind = fields[at], fields[at + 2 : at + 3]
        at += 4
        if kind == b"g":
            at += fields[at] + 2
            continue
        number = int(struct.unpack(order + "I", fields[at : at + 4])[0])
        if code == _REPLY_SERIAL:
            return number
        at += 4 if kind == b"u" else 4 + number + 1
    return None


def _exactly(bus: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = bus.recv(size - len(data))
        if not part:
            raise ConnectionError("the bus closed the connection")
        data += part
    return data
