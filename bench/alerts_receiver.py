"""What alerts are delivered to: an HTTP server that notes when each text first named a host."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.http_server import QuietHandler, serving, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = re.compile(rb"bench-\d+")


class AlertsReceiver:
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
def receiving() -> Iterator[tuple[AlertsReceiver, str]]:
    """Yield a receiver and its address."""
    receiver = AlertsReceiver()

    class Handler(QuietHandler):
        """Answers every post as Slack does."""

        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            receiver.note(self.body())
            self.reply(200, b"ok")

    with serving(Handler) as server:
        yield receiver, f"{url_of(server)}/"
