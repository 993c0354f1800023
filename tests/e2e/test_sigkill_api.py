"""SIGKILL at any moment loses no acknowledged sample: the real services, under load, 25 times."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostpulse_server.api.app import open_journal
from hostpulse_server.clock import SYSTEM
from hostpulse_server.config import load
from hostpulse_server.registry import Registry
from hostpulse_server.shipper.seen import SeenReader
from hostpulse_server.state import open_engine, upgrade
from hostpulse_server.store.base import Query
from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig

KILLS = 25
SENDERS = 4
DEADLINE = 60.0
STREAM = "12345678-1234-1234-1234-123456789abc"
COMMAND = Path(sys.executable).with_name("hostpulse-server")


@dataclass
class Load:
    """Senders that go on through every kill, and what was acknowledged to them."""

    port: int
    key: str
    begin_ms: int
    acknowledged: set[int] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)

    def send(self, first: int) -> None:
        """Send seq ``first``, ``first + SENDERS``, … once each, whatever becomes of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        seq = first
        with closing(connection):
            while not self.stop.is_set():
                try:
                    headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
                    connection.request("POST", "/api/v1/metrics", self.body(seq), headers)
                    response = connection.getresponse()
                    response.read()
                    if response.status == http.HTTPStatus.OK:
                        self.acknowledged.add(seq)
                    seq += SENDERS
                except (OSError, http.client.HTTPException):
                    connection.close()
                    seq += SENDERS
                    self.stop.wait(0.005)  # the service is down: do not spin

    def body(self, seq: int) -> bytes:
        """Return a request with one sample; its value is its number, its time is its own."""
        point = {"measurement": "cpu", "fields": {"usage_percent": seq}}
        sample = {
            "seq": seq,
            "time": self.begin_ms + seq,
            "interval_ms": 10_000,
            "points": [point],
        }
        agent = {"version": "0.1.0", "stream": STREAM}
        return json.dumps(
            {"schema": 1, "server_id": "web-01", "agent": agent, "samples": [sample]}
        ).encode()


def start(config: Path, service: str) -> subprocess.Popen[bytes]:
    """Start a service in a process group of its own."""
    return subprocess.Popen(
        [COMMAND, "--config", config, service], stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for(count: int, traffic: Load) -> None:
    """Return once ``count`` samples were acknowledged."""
    deadline = time.monotonic() + DEADLINE
    while len(traffic.acknowledged) < count:
        assert time.monotonic() < deadline, "the service acknowledges nothing"
        time.sleep(0.01)


def test_25_kills_under_load_lose_no_acknowledged_sample(tmp_path: Path) -> None:
    """Master and worker are killed at a random moment; every 200 is in the store afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "server.toml"
    path.write_text(
        f'data_dir = "{tmp_path}"\n[api]\nbind = "127.0.0.1:{port}"\n'
        'rate_limit = "1000000/second"\n[shipper]\nbatch_seconds = 1\n'
        '[journal]\nmin_free_bytes = "1MiB"\n'
    )
    config = load(path, {})
    engine = open_engine(config.state.url)
    upgrade(engine)
    added = Registry(engine).add({"id": "web-01"})
    engine.dispose()
    assert added.key is not None
    traffic = Load(port, added.key.text, SYSTEM.now_ms() - 3_600_000)
    senders = [threading.Thread(target=traffic.send, args=(n,)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    moments = random.Random(5)  # noqa: S311  # moments to kill at
    try:
        for _ in range(KILLS):
            with start(path, "api") as service:
                try:
                    wait_for(len(traffic.acknowledged) + 6, traffic)
                    traffic.stop.wait(moments.uniform(0, 0.15))
                finally:
                    os.killpg(service.pid, signal.SIGKILL)
    finally:
        traffic.stop.set()
        for sender in senders:
            sender.join(DEADLINE)
    assert len(traffic.acknowledged) > KILLS * 5
    with closing(open_journal(config, SYSTEM)) as journal:
        newest = journal.stats().newest_id
    with start(path, "ship") as shipper:
        try:
            stored = await_stored(config, newest, traffic)
        finally:
            os.killpg(shipper.pid, signal.SIGKILL)
    assert traffic.acknowledged - stored.keys() == set()
    assert all(value == seq for seq, value in stored.items())


def await_stored(config: ServerConfig, newest: int, traffic: Load) -> dict[int, float]:
    """Return seq → value of what the store holds once the shipper has read the whole journal."""
    reader = SeenReader(config.paths.shipper)
    deadline = time.monotonic() + DEADLINE
    while (status := reader.status()) is None or status.position < newest:
        assert time.monotonic() < deadline, "the shipper does not get through the journal"
        time.sleep(0.05)
    with closing(EmbeddedStore(config.paths.store, read_only=True)) as store:
        window = (traffic.begin_ms, SYSTEM.now_ms(), 1)
        (series,) = store.query(Query(None, "cpu", (), (), *window, "last"))
    return {time_ms - traffic.begin_ms: value for time_ms, value in series.points}
