"""What alerts are delivered to: an HTTP server that notes when each text first named a host."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = re.compile(rb"bench-\d+")


class Receiver:
    """``heard`` maps a server id to when, in ``time.monotonic`` seconds, a post first named it."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.posts = 0
        self._changed = threading.Condition()

    def note(self, body: bytes) -> None:
        """Take one post."""
        now = time.monotonic()
        with self._changed:
            self.posts += 1
            for name in HOST.findall(body):
                self.heard.setdefault(name.decode(), now)
            self._changed.notify_all()

    def wait(self, server_id: str, seconds: float) -> float | None:
        """Return when ``server_id`` was heard of, ``None`` if it was not in time."""
        with self._changed:
            self._changed.wait_for(lambda: server_id in self.heard, seconds)
            return self.heard.get(server_id)


@contextmanager
def receiving() -> Iterator[tuple[Receiver, str]]:
    """Yield a receiver and its address."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        """Answers every post as Slack does."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.note(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
