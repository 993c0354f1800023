"""Minimal HTTP/1.1 client (RFC 9112) for posting samples, on a connected socket.

``http.client`` does the same, but brings the ``email`` package along: 1.3 MiB resident on every
host. Here also a deadline holds for a whole exchange, not for each read.
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

MAX_HEAD = 64 << 10
MAX_BODY = 1 << 20
_CHUNK = 64 << 10
_NO_BODY = (204, 304)


class ProtocolError(Exception):
    """The response is not HTTP, or too large."""


class Answer(NamedTuple):
    """An answer; header names in lower case. ``keep``: the connection can be used again."""

    status: int
    headers: dict[str, str]
    body: bytes
    keep: bool


class Connection:
    """One connection. Methods raise ``OSError`` or ``ProtocolError``; then it must be closed.

    ``ConnectionResetError`` also when the peer closes before answering.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray()
        self._deadline = 0.0

    def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Answer:
        """Send a request and return its answer, all within ``timeout`` seconds."""
        self._refuse_surplus()
        self._deadline = time.monotonic() + timeout
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        if method != "CONNECT":
            lines.append(f"Content-Length: {len(body)}")
        self.socket.settimeout(timeout)
        # One piece: head and body leave in one segment, one TLS record.
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        status, version, found = self._head()
        while 100 <= status < 200:  # noqa: PLR2004 -- interim answers
            status, version, found = self._head()
        if method == "CONNECT" and status == 200:  # noqa: PLR2004 -- success: a tunnel, no body
            return Answer(status, found, b"", keep=True)
        content, ended = self._content(status, found)
        closing = "close" in found.get("connection", "").lower()
        return Answer(status, found, content, keep=ended and version == "HTTP/1.1" and not closing)

    def _refuse_surplus(self) -> None:
        """Raise ``ConnectionResetError`` where something came that nobody asked for.

        It would be taken for the answer to the next request, and samples for acknowledged that the
        server never saw.
        """
        self.socket.settimeout(0.0)
        try:
            # of TLS, what was read may hold no data yet: tickets of a session
            surplus = self._buffer or self.socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        raise ConnectionResetError("more than an answer" if surplus else "closed while idle")

    def _more(self) -> bool:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self.socket.settimeout(left)
        data = self.socket.recv(_CHUNK)
        self._buffer += data
        return bool(data)

    def _until(self, end: bytes, limit: int) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            if len(self._buffer) > limit:
                raise ProtocolError("the answer's head is too large")
            if not self._more():
                raise ConnectionResetError("closed before the answer")
        return self._take(at + len(end))[:at]

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._more():
                raise ConnectionResetError("closed within the answer")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _head(self) -> tuple[int, str, dict[str, str]]:
        lines = self._until(b"\r\n\r\n", MAX_HEAD).decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ProtocolError("the answer is no HTTP")
        fields = (line.partition(":") for line in lines[1:])
        return int(rest[:3]), version, {k.strip().lower(): v.strip() for k, _, v in fields}

    def _content(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """Return the body, and whether its end was marked by something else than closing."""
        if status in _NO_BODY:
            return b"", True
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks(), True
        if "content-length" in headers:
            return self._take(_length(headers["content-length"], 10)), True
        while self._more():
            _length(str(len(self._buffer)), 10)
        return self._take(len(self._buffer)), False

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := _length(self._until(b"\r\n", MAX_HEAD).decode("latin-1").split(";")[0], 16):
            body += self._take(size)
            _length(str(len(body)), 10)
            self._take(2)
        while self._until(b"\r\n", MAX_HEAD):  # trailers end with an empty line
            pass
        return bytes(body)


def _length(text: str, base: int) -> int:
    try:
        length = int(text.strip(), base)
    except ValueError:
        raise ProtocolError("the answer's length is no number") from None
    if not 0 <= length <= MAX_BODY:
        raise ProtocolError("the answer is too large")
    return length
