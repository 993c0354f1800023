"""The shipper as a process: its lock, its words to systemd, its end, its own measurements."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.config import load
from hostpulse_server.errors import AlreadyRunningError, ConfigError, ShipperStateUnavailableError
from hostpulse_server.journal.records import REFUSED, SAMPLES, SamplesRecord
from hostpulse_server.runtime.single_instance import only_one
from hostpulse_server.services.shipper import ship
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.state import ShipperState

if TYPE_CHECKING:
    from pathlib import Path

    from app.tests.shipper.conftest import Bench

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000


def test_one_shipper_a_data_directory(tmp_path: Path) -> None:
    """The second is told which process has it; after the first ends it may start."""
    with (
        only_one(tmp_path, "shipper", "shipper"),
        pytest.raises(AlreadyRunningError, match=rf"process {os.getpid()}\)"),
        only_one(tmp_path, "shipper", "shipper"),
    ):
        pass
    with only_one(tmp_path, "shipper", "shipper"):
        assert (tmp_path / "shipper.lock").read_text() == f"{os.getpid()}\n"


def test_a_data_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    with (
        pytest.raises(ConfigError, match="absent cannot be used"),
        only_one(tmp_path / "absent", "shipper", "shipper"),
    ):
        pass


@pytest.mark.integration
def test_systemd_hears_ready_watchdog_and_stopping(tmp_path: Path) -> None:
    """A real process on a real notify socket; SIGTERM ends it with status 0."""
    config = tmp_path / "server.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n')
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(120)
        environ = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "30000000",
        }
        code = (
            "import os, sys; from pathlib import Path\n"
            "from hostpulse_server.config import load\n"
            "from hostpulse_server.services.shipper import run\n"
            "run(load(Path(sys.argv[1]), os.environ))"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(config)], env=environ) as process:
            assert systemd.recv(64) == b"READY=1"
            assert systemd.recv(64) == b"WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            while (word := systemd.recv(64)) == b"WATCHDOG=1":
                pass
            assert word == b"STOPPING=1"
            assert process.wait(60) == 0


def test_books_that_are_no_database_say_what_to_check(tmp_path: Path) -> None:
    """The file is named."""
    (tmp_path / "shipper.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ShipperStateUnavailableError, match=r"shipper\.db does not work"):
        ShipperState(tmp_path / "shipper.db", 300_000)


def test_a_stop_asked_for_before_the_start_ends_at_once(tmp_path: Path) -> None:
    """Everything is opened and closed again."""
    stop = threading.Event()
    stop.set()
    words: list[str] = []
    ship(
        load(None, {"HOSTPULSE_DATA_DIR": str(tmp_path)}), stop, ready=lambda: words.append("ready")
    )
    assert words == ["ready"]


def test_what_is_for_the_alert_engine_alone_is_passed_over(bench: Bench) -> None:
    """A request that was refused is no sample, and nothing for the quarantine."""
    bench.journal.append(b'{"server_id":"web-01","reason":"disabled"}', REFUSED, T0)
    bench.send(1)
    bench.flush(bench.shipper())
    assert len(bench.stored()["web-01"]) == 1
    status = LastSeenReader(bench.directory / "shipper.db").status()
    assert status is not None
    assert (status.set_aside, status.quarantine_points) == ({}, 0)


def test_a_body_damaged_on_disk_is_set_aside(bench: Bench) -> None:
    """A compressed entry whose bytes went bad costs itself, not those behind it."""
    record = SamplesRecord("web-01", T0, {"version": "1", "stream": "s"}, [])
    bench.send(1)
    bad = bench.journal.append(record.encode() * 100, SAMPLES, T0)
    bench.send(2)
    with closing(sqlite3.connect(bench.directory / "journal.db")) as connection, connection:
        connection.execute("UPDATE entry SET packed = 1, body = x'1234' WHERE id = ?", (bad,))
    bench.flush(bench.shipper())
    assert len(bench.stored()["web-01"]) == 2
