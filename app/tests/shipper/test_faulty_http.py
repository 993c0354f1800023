"""A store that answers badly: busy, slow, breaking off. Each ends in delivery, nothing is lost."""

from __future__ import annotations

import gzip
import threading
import time
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from app.tests.shipper.conftest import FlakyStore
from tests.support.http_server import QuietHandler
from tests.support.polling import wait_until

from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.shipper.loop import Shipper
from hostpulse_server.shipper.maintenance import Maintenance
from hostpulse_server.store.influxdb import ClientSettings, InfluxdbStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.tests.shipper.conftest import Bench

    Fault = Callable[["Handler", set[bytes]], object]

ANSWER_SECONDS = 0.5
MAX_BACKOFF = 1.0
ROUNDS = 3


class Fake(ThreadingHTTPServer):
    """Keeps lines; ``fault`` deals with the first requests instead."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.left = ROUNDS
        self.kept: set[bytes] = set()
        self.asked: list[float] = []
        self.released = threading.Event()


class Handler(QuietHandler):
    """One request."""

    server: Fake
    protocol_version = "HTTP/1.1"

    def respond(self) -> None:
        """Take lines."""
        lines = set(gzip.decompress(self.body()).split(b"\n"))
        self.server.asked.append(time.monotonic())
        if self.server.left:
            self.server.left -= 1
            self.server.fault(self, lines)
            return
        self.server.kept |= lines
        self.answer(204)

    def answer(self, status: int, *, retry_after: str = "", body: bytes = b"") -> None:
        """Answer."""
        self.reply(status, body, {"Retry-After": retry_after} if retry_after else {})

    def break_off(self, words: bytes) -> None:
        """Say this and hang up."""
        self.wfile.write(words)
        self.close_connection = True


def _kept_but_half_closed(request: Handler, lines: set[bytes]) -> None:
    request.server.kept |= lines
    request.break_off(b"HTTP/1.1 204 No Con")


FAULTS: dict[str, Fault] = {
    "429": lambda request, _: request.answer(429, body=b"{}"),
    "429 with Retry-After": lambda request, _: request.answer(429, retry_after="1"),
    "503 with Retry-After": lambda request, _: request.answer(503, retry_after="300"),
    "500 always alike": lambda request, _: request.answer(500, body=b'{"code":"internal error"}'),
    "502 of a proxy": lambda request, _: request.answer(502, body=b"<html>"),
    "slow": lambda request, _: request.server.released.wait(10),
    "hangs up at once": lambda request, _: request.break_off(b""),
    "hangs up within the answer": lambda request, _: request.break_off(b"HTTP/1.1 20"),
    "keeps the points and hangs up": _kept_but_half_closed,
}


@contextmanager
def shipping(bench: Bench, fake: Fake) -> Iterator[None]:
    """Run fake and shipper on the real clock."""
    bench.config = type(bench.config)(
        batch_points=50, batch_seconds=0.1, max_backoff=MAX_BACKOFF, max_batch_points=200
    )
    store = InfluxdbStore(
        ClientSettings(
            f"http://127.0.0.1:{fake.server_port}",
            "o",
            "raw",
            "rollup",
            lambda: "t",
            seconds=ANSWER_SECONDS,
        )
    )
    bench.store = FlakyStore(store)
    bench.clock.ms = SYSTEM.now_ms()
    shipper_state = bench.shipper_state()
    shipper = Shipper(
        bench.config,
        journal=bench.journal,
        store=bench.store,
        shipper_state=shipper_state,
        upkeep=Maintenance(
            bench.retention, store=bench.store, shipper_state=shipper_state, clock=bench.clock
        ),
        clock=SYSTEM,
        stop=bench.stop,
        idle_seconds=0.1,
    )
    threads = [threading.Thread(target=fake.serve_forever, args=(0.01,))]
    threads.append(threading.Thread(target=shipper.run))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        bench.stop.set()
        fake.released.set()
        threads[1].join()
        store.close()
        fake.shutdown()
        fake.server_close()
        threads[0].join()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_ends_in_delivery(bench: Bench, fault: str) -> None:
    """All points are there in the end, none is in the quarantine, no wait was over its bound."""
    fake = Fake(FAULTS[fault])
    with shipping(bench, fake):
        for first in range(1, 1001, 100):
            bench.send(*range(first, first + 100))
        wait_until(lambda: len(fake.kept) >= 1000, "all points are kept")
    status = bench.seen.status()
    assert status is not None
    assert status.quarantine_points == 0
    waits = [later - sooner for sooner, later in zip(fake.asked, fake.asked[1:], strict=False)]
    assert max(waits) < MAX_BACKOFF + ANSWER_SECONDS + 2


def test_retry_after_is_honoured(bench: Bench) -> None:
    """A store that asks for a second is left alone for a second."""
    fake = Fake(lambda request, _: request.answer(503, retry_after="1"))
    with shipping(bench, fake):
        bench.send(*range(1, 101))
        wait_until(lambda: len(fake.kept) >= 100, "all points are kept")
    waits = [later - sooner for sooner, later in zip(fake.asked, fake.asked[1:], strict=False)]
    assert min(waits[:ROUNDS]) >= 0.95
