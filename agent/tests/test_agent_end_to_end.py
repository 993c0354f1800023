"""The whole agent in one process: sampler, spool, sender and a server that goes away."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from agent.tests.conftest import Authority, Receiver, Stub
from tests.support.polling import wait_until

from hostpulse_agent import config
from hostpulse_agent.collectors.agent import CATALOGUE
from hostpulse_agent.sampler import Sources
from hostpulse_agent.service import Agent, StopSignal
from hostpulse_agent.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


def settings(directory: Path, url: str) -> config.AgentConfig:
    """Return a configuration that samples every 20 ms."""
    return config.AgentConfig(
        path=str(directory / "agent.toml"),
        server_id="web-01",
        server=config.ServerConfig((url,), timeout=2.0),
        sampling=config.SamplingConfig(0.02),
        spool=config.SpoolConfig(str(directory / "spool.db"), min_free_bytes=0),
        collectors=config.CollectorsConfig(),
    )


class Running:
    """An agent in a thread."""

    def __init__(self, settings: config.AgentConfig, environ: dict[str, str]) -> None:
        self.agent = Agent(settings, Sources([Stub()], facts=lambda: {"os": "x"}), environ)
        self.stop = StopSignal()
        self._thread = threading.Thread(target=self.agent.run, args=(self.stop,))
        self._thread.start()

    def end(self) -> None:
        """Stop it as a signal would."""
        self.stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive()
        self.stop.close()


def no_gap(samples: list[tuple[str, int]]) -> bool:
    """Whether every stream's numbers run from 1 without a hole."""
    streams: dict[str, set[int]] = {}
    for stream, seq in samples:
        streams.setdefault(stream, set()).add(seq)
    return all(seqs == set(range(1, len(seqs) + 1)) for seqs in streams.values())


def test_an_outage_and_a_restart_leave_no_gap(tmp_path: Path, key_file: Path) -> None:
    """The server dies and comes back, the agent restarts in between: every number arrives."""
    first = Receiver()
    running = Running(settings(tmp_path, first.url), {})
    wait_until(lambda: len(first.samples) >= 5, "five samples are received")
    port = first.port
    first.close()
    spool = running.agent.spool
    wait_until(lambda: len(spool) >= 5, "five samples are spooled")
    running.end()
    running = Running(settings(tmp_path, f"http://127.0.0.1:{port}"), {})
    wait_until(lambda: len(running.agent.spool) >= 15, "fifteen are spooled")
    second = Receiver(port=port)
    wait_until(
        lambda: len(second.samples) >= 25 and no_gap(first.samples + second.samples),
        "every number is received",
    )
    running.end()
    left = Spool(running.agent._config.spool)
    rows = left.oldest(100, 1 << 20, 1 << 20)
    left.close()
    assert len(rows) < 15
    samples = first.samples + second.samples + [(row.stream, row.seq) for row in rows]
    assert len({stream for stream, _ in samples}) == 1
    assert no_gap(samples)
    times = {
        sample["seq"]: sample["time"]
        for request in first.received + second.received
        for sample in request.envelope["samples"]
    }
    ordered = [times[seq] for seq in sorted(times)]
    assert all(a < b for a, b in zip(ordered, ordered[1:]))
    second.close()


def test_a_sample_carries_the_agents_own_figures(tmp_path: Path, key_file: Path) -> None:
    """All of the catalogue, once they are known."""
    server = Receiver()
    running = Running(settings(tmp_path, server.url), {})
    wait_until(lambda: len(server.samples) >= 5, "five samples are received")
    running.end()
    sample = max(
        (s for request in server.received for s in request.envelope["samples"]),
        key=lambda s: int(s["seq"]),
    )
    own = next(p["fields"] for p in sample["points"] if p["measurement"] == "agent")
    assert set(own) == set(CATALOGUE.fields)
    assert own["sent_samples"] >= 1
    assert sample["interval_ms"] == 20
    server.close()


def test_a_sample_counts_those_lost_before_it(tmp_path: Path, key_file: Path) -> None:
    """With each sample one is lost while none gets through; the sum is that of the spool."""
    small = settings(tmp_path, "http://127.0.0.1:9")._replace(
        spool=config.SpoolConfig(str(tmp_path / "spool.db"), max_samples=3, min_free_bytes=0),
    )
    agent = Agent(small, Sources([Stub()], facts=dict), {})
    for _ in range(6):
        agent.tick()
    counts = [agent._own_fields() for _ in range(2)]
    rows = agent.spool.oldest(100, 1 << 20, 1 << 20)
    own = [
        next(
            p["fields"]
            for p in json.loads(gzip.decompress(row.packed))["points"]
            if p["measurement"] == "agent"
        )
        for row in rows
    ]
    assert [one["newly_dropped_samples"] for one in own] == [0, 1, 1]
    assert [one["dropped_samples"] for one in own] == [0, 1, 2]
    assert [one["newly_dropped_samples"] for one in counts] == [1, 0]
    agent.spool.close()


def test_systemd_is_notified_of_readiness_life_and_the_stop(tmp_path: Path, key_file: Path) -> None:
    """READY, WATCHDOG while the loop turns, STOPPING."""
    address = str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(10)
    server = Receiver()
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"}
    running = Running(settings(tmp_path, server.url), environ)
    received = listener.recv(4096).decode()
    assert "READY=1" in received
    assert "STATUS=" in received
    assert listener.recv(4096) == b"WATCHDOG=1"
    running.end()
    while received != "STOPPING=1":
        received = listener.recv(4096).decode()
    assert server.received[-1].envelope["events"] == [{"kind": "stopping", "reason": "restart"}]
    listener.close()
    server.close()


def test_a_clock_set_back_changes_nothing_that_is_sent(tmp_path: Path, key_file: Path) -> None:
    """With the server's time known, samples carry it and stay in their stream."""
    server = Receiver()
    running = Running(settings(tmp_path, server.url), {})
    wait_until(lambda: len(server.samples) >= 3, "three samples are received")
    real = running.agent._clock.wall_ms
    running.agent._clock.wall_ms = lambda: real() - 7_200_000  # type: ignore[method-assign]
    seen = len(server.samples)
    wait_until(lambda: len(server.samples) >= seen + 5, "five more are received")
    running.end()
    assert len({stream for stream, _ in server.samples}) == 1
    last = server.received[-1].envelope["samples"] or server.received[-2].envelope["samples"]
    assert abs(last[0]["time"] - time.time() * 1000) < 30_000
    server.close()


@pytest.fixture
def files(tmp_path: Path, key_file: Path, authority: Authority) -> Iterator[tuple[Path, Receiver]]:
    """Return a configuration file for the real command, and the TLS server that it names."""
    server = Receiver(authority.server_context())
    path = tmp_path / "agent.toml"
    path.write_text(
        f'server_id = "web-01"\n[server]\nurls = ["{server.url}"]\n'
        f'ca_file = "{authority.ca_file}"\n'
        f'[sampling]\ninterval = "1s"\n'
        f'[spool]\npath = "{tmp_path}/state/spool.db"\nmin_free_bytes = "0B"\n'
    )
    yield path, server
    server.close()


def command(*arguments: str) -> list[str]:
    """Return the command line of the agent."""
    return [sys.executable, "-m", "hostpulse_agent", *arguments]


def test_the_command_runs_until_sigterm_and_shows_its_status(
    files: tuple[Path, Receiver],
) -> None:
    """Real collectors, TLS, key file: samples arrive, `status` and `spool` see the same."""
    path, server = files
    run = subprocess.Popen(command("--config", str(path), "run"), stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(server.samples) >= 2, "two samples are received")
        shown = subprocess.run(
            command("status", "--config", str(path), "--json"), capture_output=True, check=True
        )
        status = json.loads(shown.stdout)
    finally:
        run.send_signal(signal.SIGTERM)
        _, logged = run.communicate(timeout=20)
    assert run.returncode == 0
    assert status["running"] is True
    assert status["last_sample"]["seq"] >= 2
    assert status["last_acknowledged"]["seq"] >= 1
    assert "hp_" not in logged
    measured = {
        point["measurement"]
        for request in server.received
        for sample in request.envelope["samples"]
        for point in sample["points"]
    }
    assert {"cpu", "memory", "system", "disk", "network", "agent"} <= measured
    facts = server.received[0].envelope["facts"]
    assert facts["kernel"]
    assert server.received[-1].envelope["events"][0]["reason"] == "restart"
    assert no_gap(server.samples)
