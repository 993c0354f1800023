"""The alert engine as a process: its lock, its words to systemd, signals, latency."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from hostpulse_server import state
from hostpulse_server.config import load
from hostpulse_server.errors import AlreadyRunningError, SchemaError
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.runtime.single_instance import only_one
from hostpulse_server.services.alert_engine import alert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostpulse_server.config import ServerConfig


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    """Give a configuration with a state database and without rules."""
    path = tmp_path / "server.toml"
    path.write_text(f'data_dir = "{tmp_path}"\n[alerts]\nrules = ["{tmp_path}/*.yml"]\n')
    made = load(path, {})
    engine = state.open_engine(made.state.url)
    state.upgrade(engine)
    engine.dispose()
    return made


@contextmanager
def process(config: ServerConfig, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service; end it if the test has not."""
    code = "from hostpulse_server.cli import main; main()"
    command = [sys.executable, "-c", code, "alert", "--config", str(config.source)]
    with subprocess.Popen(command, env={**os.environ, **environ}, stderr=subprocess.PIPE) as one:
        try:
            yield one
        finally:
            one.kill()


@pytest.mark.integration
def test_systemd_hears_ready_watchdog_and_stopping(config: ServerConfig, tmp_path: Path) -> None:
    """SIGHUP reads the rules again and ends nothing; SIGTERM ends it with status 0."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(120)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
        with process(config, environ) as engine:
            assert systemd.recv(64) == b"READY=1"
            assert systemd.recv(64) == b"WATCHDOG=1"
            with pytest.raises(AlreadyRunningError, match=f"another alert engine .*{engine.pid}"):
                alert(config, threading.Event())
            engine.send_signal(signal.SIGHUP)
            assert systemd.recv(64) == b"WATCHDOG=1"
            engine.send_signal(signal.SIGTERM)
            while (word := systemd.recv(64)) == b"WATCHDOG=1":
                pass
            assert word == b"STOPPING=1"
            assert engine.wait(60) == 0


def test_a_database_without_schema_is_refused(tmp_path: Path) -> None:
    """The message says what to run."""
    config = load(None, {"HOSTPULSE_DATA_DIR": str(tmp_path)})
    with pytest.raises(SchemaError, match="db upgrade"):
        alert(config, threading.Event())
    with only_one(tmp_path, "alerts", "alert engine"):
        pass


def test_a_stop_asked_for_before_the_start_ends_at_once(config: ServerConfig) -> None:
    """Everything is opened and closed again."""
    stop = threading.Event()
    stop.set()
    words: list[str] = []
    alert(config, stop, ready=lambda: words.append("ready"), clock=SYSTEM)
    assert words == ["ready"]


def test_a_stop_is_followed_within_two_seconds(config: ServerConfig) -> None:
    """Also while it waits for entries."""
    stop, turning = threading.Event(), threading.Event()
    thread = threading.Thread(target=alert, args=(config, stop), kwargs={"beat": turning.set})
    thread.start()
    assert turning.wait(60)
    begun = time.monotonic()
    stop.set()
    thread.join(60)
    assert time.monotonic() - begun < 15
