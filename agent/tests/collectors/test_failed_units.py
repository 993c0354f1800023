"""The number of failed units, asked over a real socket of a bus that speaks the specification."""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from hostpulse_agent.collectors.failed_units import count_failed_units, failed_unit_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def message(kind: int, reply_to: int | None, body: bytes, order: str = "<") -> bytes:
    """Return a message with a destination, perhaps a reply serial, a signature and a body."""
    fields = bytes([6, 1]) + b"s\0" + struct.pack(order + "I", 4) + b":1.7\0"
    fields += bytes(-len(fields) % 8) + bytes([8, 1]) + b"g\0" + b"\x01v\0"
    if reply_to is not None:
        fields += bytes(-len(fields) % 8) + bytes([5, 1]) + b"u\0"
        fields += struct.pack(order + "I", reply_to)
    mark = b"l" if order == "<" else b"B"
    head = mark + bytes([kind, 1, 1]) + struct.pack(order + "III", len(body), 9, len(fields))
    return head + fields + bytes(-len(fields) % 8) + body


def unsigned(number: int, order: str = "<") -> bytes:
    """Return a variant that holds an unsigned integer."""
    return b"\x01u\0\0" + struct.pack(order + "I", number)


NAME_ACQUIRED = message(4, None, b"\x05\0\0\0:1.7\0\0\0")
HELLO = message(2, 1, b"\x04\0\0\0:1.7\0")


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[bytes]]]]:
    """Give a function that starts a bus answering with some bytes; it returns /run and requests."""
    threads: list[threading.Thread] = []

    def start(answer: bytes, greeting: bytes = b"OK 1234deadbeef\r\n") -> tuple[str, list[bytes]]:
        (tmp_path / "systemd/system").mkdir(parents=True)
        (tmp_path / "dbus").mkdir()
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(tmp_path / "dbus/system_bus_socket"))
        server.listen()
        requests: list[bytes] = []

        def serve() -> None:
            # A client may close the connection early.
            with suppress(OSError), server, server.accept()[0] as client:
                requests.append(client.recv(4096))
                client.sendall(greeting)
                requests.append(client.recv(4096))
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        threads.append(thread)
        return str(tmp_path), requests

    yield start
    for thread in threads:
        thread.join(5)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_number_is_the_answer_to_the_second_call(
    bus: Callable[..., tuple[str, list[bytes]]], order: str
) -> None:
    """Signals and the answer to the greeting in between are passed over, in any byte order."""
    answer = HELLO + NAME_ACQUIRED + message(2, 2, unsigned(3, order), order)
    run, requests = bus(answer)
    assert count_failed_units(run) == 3
    assert requests[0] == b"\0AUTH EXTERNAL %s\r\n" % str(os.geteuid()).encode().hex().encode()
    assert requests[1].startswith(b"BEGIN\r\nl\x01\x02\x01")
    assert b"org.freedesktop.systemd1.Manager\0" in requests[1]
    assert b"NFailedUnits\0" in requests[1]


@pytest.mark.parametrize(
    ("answer", "greeting"),
    [
        (b"", b"REJECTED EXTERNAL\r\n"),
        (b"", b""),
        (b"", b"OK 1\r\n"),
        (HELLO + message(3, 2, b"\x04\0\0\0nope\0"), b"OK 1\r\n"),
        (HELLO + message(2, 2, b"\x01s\0\0\x01\0\0\0x\0"), b"OK 1\r\n"),
    ],
    ids=["refused", "silent", "closed", "error", "another type"],
)
def test_without_an_answer_the_number_is_not_known(
    bus: Callable[..., tuple[str, list[bytes]]], answer: bytes, greeting: bytes
) -> None:
    """A bus that does not help is no failure of the host."""
    run, _ = bus(answer, greeting)
    assert count_failed_units(run) is None


def test_an_answer_beyond_reason_is_an_error(
    bus: Callable[..., tuple[str, list[bytes]]],
) -> None:
    """The length in a header is not trusted, so that no memory is allocated for it."""
    run, _ = bus(b"l\x02\0\x01" + struct.pack("<III", 1 << 30, 1, 8))
    with pytest.raises(ValueError, match="too large"):
        count_failed_units(run)


def test_a_host_without_systemd_has_no_such_number(tmp_path: Path) -> None:
    """Nothing is connected to where systemd does not run."""
    assert count_failed_units(str(tmp_path)) is None


def units(*names: str) -> bytes:
    """Return the body of systemd's answer to ListUnitsFiltered."""
    body = b""
    for name in names:
        body += bytes(-len(body) % 8)
        for text in (name, "what it does", "loaded", "failed", "failed", "", "/unit/path"):
            body += bytes(-len(body) % 4) + struct.pack("<I", len(text)) + text.encode() + b"\0"
        body += bytes(-len(body) % 4) + struct.pack("<I", 0)
        for text in ("", "/"):
            body += bytes(-len(body) % 4) + struct.pack("<I", len(text)) + text.encode() + b"\0"
    return struct.pack("<I", len(body)) + bytes(4) + body


def listed(body: bytes) -> bytes:
    """Return the message around it."""
    kind = b"a(ssssssouso)"
    fields = bytes([5, 1]) + b"u\0" + struct.pack("<I", 2)
    fields += bytes([8, 1]) + b"g\0" + bytes([len(kind)]) + kind + b"\0"
    head = b"l\x02\x01\x01" + struct.pack("<III", len(body), 9, len(fields))
    return head + fields + bytes(-len(fields) % 8) + body


def test_failed_units_are_named(bus: Callable[..., tuple[str, list[bytes]]]) -> None:
    """Names are the first text of each structure, whatever the padding between."""
    run, requests = bus(HELLO + listed(units("postgresql.service", "a.mount", "nginx.service")))
    assert failed_unit_names(run) == ["a.mount", "nginx.service", "postgresql.service"]
    assert b"ListUnitsFiltered\0" in requests[1]
    assert requests[1].endswith(b"\x0b\0\0\0\x06\0\0\0failed\0")


@pytest.mark.parametrize(
    "answer", [listed(units("a.service")[:-9]), message(2, 2, unsigned(3)), b""]
)
def test_without_a_sound_answer_no_unit_is_named(
    bus: Callable[..., tuple[str, list[bytes]]], answer: bytes
) -> None:
    """The number alone is what an alert rests on."""
    run, _ = bus(HELLO + answer)
    assert failed_unit_names(run) == []
