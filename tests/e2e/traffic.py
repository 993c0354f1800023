"""Senders that go on through every failure, and what was acknowledged to them."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.polling import DEADLINE, wait_until

from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.services import Site

SENDERS = 4
STREAM = "12345678-1234-1234-1234-123456789abc"


@dataclass
class Load:
    """Samples of one server; each has a number, which is its value, and a time of its own."""

    site: Site
    server_id: str
    key: str
    pause: float = 0.0
    begin_ms: int = field(default_factory=lambda: SYSTEM.now_ms() - 3_600_000)
    acknowledged: set[int] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send meanwhile."""
        senders = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        try:
            yield
        finally:
            self.stop.set()
            for sender in senders:
                sender.join(DEADLINE)

    def await_acknowledged(self, count: int) -> None:
        """Return once ``count`` more samples were acknowledged."""
        goal = len(self.acknowledged) + count
        wait_until(lambda: len(self.acknowledged) >= goal, "the service acknowledges samples")

    def _send(self) -> None:
        """Send one number after the other, once each, whatever becomes of it."""
        api = self.site.config.api
        connection = http.client.HTTPConnection(api.host, api.port, timeout=5)
        with closing(connection):
            while not self.stop.wait(self.pause):
                seq = next(self._numbers)
                try:
                    headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
                    connection.request("POST", "/api/v1/metrics", self._body(seq), headers)
                    response = connection.getresponse()
                    response.read()
                    if response.status == http.HTTPStatus.OK:
                        self.acknowledged.add(seq)
                except (OSError, http.client.HTTPException):
                    connection.close()
                    self.stop.wait(0.005)  # the service is down: do not spin

    def _body(self, seq: int) -> bytes:
        """Return a request with one sample."""
        point = {"measurement": "cpu", "fields": {"usage_percent": seq}}
        sample = {
            "seq": seq,
            "time": self.begin_ms + seq,
            "interval_ms": 10_000,
            "points": [point],
        }
        agent = {"version": "0.1.0", "stream": STREAM}
        return json.dumps(
            {"schema": 1, "server_id": self.server_id, "agent": agent, "samples": [sample]}
        ).encode()
