"""Backups of the server's databases while its services run: nothing acknowledged is missing."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from backup.tests.hosts import BackupHost, rows
from tests.e2e.services import Site
from tests.e2e.traffic import STREAM, Load
from tests.support.polling import wait_until

from hostpulse_backup import databases
from hostpulse_backup.errors import BackupError, DamagedError
from hostpulse_backup.restore import Restore
from hostpulse_backup.restore_test import run_restore_test

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

CLAIMED = f"SELECT lo, hi FROM ranges WHERE stream = '{STREAM}'"  # noqa: S608 -- a constant
SERIES = "v JOIN series AS s ON s.id = v.series WHERE s.field = 'usage_percent'"
STORED = f"SELECT v.at, v.value FROM raw AS {SERIES}"  # noqa: S608 -- as above
ROLLED_UP = f"SELECT coalesce(sum(count), 0) FROM rollup AS {SERIES}"  # noqa: S608 -- as above


def claimed(path: Path) -> set[int]:
    """Return the sequence numbers that the shipper's state has as stored."""
    return {seq for low, high in rows(path, CLAIMED) for seq in range(low, high + 1)}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BackupHost, Load]]:
    """Give a server under load: api, journal, shipper and embedded store as they are shipped."""
    host = BackupHost(tmp_path_factory.mktemp("busy"))
    host.configure()
    host.data_dir.mkdir()
    site = Site.make(host.data_dir, "[shipper]\nbatch_seconds = 1\n")
    load = Load(site, "web-01", site.register(["web-01"])["web-01"], pause=0.002)
    with site.running("api"), site.running("ship"):
        site.await_api()
        with load.sending():
            state = host.data_dir / "shipper.db"
            wait_until(state.exists, "the shipper has its state")
            load.await_acknowledged(50)
            wait_until(lambda: len(claimed(state)) > 50, "the store has what was acknowledged")
            yield host, load


def test_every_acknowledged_sample_is_in_a_backup_under_load(
    busy: tuple[BackupHost, Load], tmp_path: Path
) -> None:
    """Restored elsewhere and shipped on, ledger, raw values and rollups agree with each other."""
    host, load = busy
    for number in range(3):
        load.await_acknowledged(100)
        before = set(load.acknowledged)
        made = host.create()
        again = BackupHost(tmp_path / str(number))
        again.data_dir.mkdir(parents=True)
        copies = host.folder(made) / "state"
        stored = {value for _, value in rows(copies / "store.db", STORED)}
        assert claimed(copies / "shipper.db") - stored == set()
        shutil.copytree(host.folder(made), again.archive.directory / made.name)
        Restore(again.settings(), again.archive.find("latest"), again.output.append).run(over=False)
        site = Site.make(again.data_dir, "[shipper]\nbatch_seconds = 1\n")
        with site.running("ship"):
            site.await_shipped()
            wait_until(
                lambda: not rows(again.data_dir / "shipper.db", "SELECT * FROM dirty"),  # noqa: B023
                "the rollups are made",
            )
        values = [value for _, value in rows(again.data_dir / "store.db", STORED)]
        assert before - set(values) == set()
        assert before - claimed(again.data_dir / "shipper.db") == set()
        assert rows(again.data_dir / "store.db", ROLLED_UP) == [(len(values),)]


def test_a_restored_journal_is_another_journal(
    busy: tuple[BackupHost, Load], tmp_path: Path
) -> None:
    """Positions in the old one mean nothing in it: its consumers begin at the oldest entry."""
    host, _ = busy
    made = host.create()
    again = BackupHost(tmp_path)
    again.data_dir.mkdir()
    Restore(again.settings(), host.folder(made), again.output.append).run(over=False)
    epoch = "SELECT value FROM meta WHERE name = 'epoch'"
    assert rows(again.data_dir / "journal.db", epoch) != rows(host.data_dir / "journal.db", epoch)


def test_a_restore_test_counts_rows_and_compares_values(busy: tuple[BackupHost, Load]) -> None:
    """The integrity of the copies is checked, not only their hashes."""
    host, _ = busy
    made = host.create()
    run_restore_test(host.settings(), host.folder(made), host.output.append)
    counts = made.kinds["state"]["counts"]
    assert counts["state.db"]["servers"] == 1
    assert counts["store.db"]["raw"] > 50
    assert len(made.kinds["state"]["samples"]) > 3


def test_copies_need_no_log_beside_them(busy: tuple[BackupHost, Load]) -> None:
    """A copy is one file, readable for its owner only."""
    host, _ = busy
    folder = host.folder(host.create()) / "state"
    assert {one.name for one in folder.iterdir()} == {
        *("journal.db", "shipper.db", "state.db", "store.db"),
    }
    assert {one.stat().st_mode & 0o777 for one in folder.iterdir()} == {0o600}


def test_a_damaged_database_is_reported_before_it_displaces_a_good_backup(tmp_path: Path) -> None:
    """What cannot be read is no backup, and the file is named."""
    host = BackupHost(tmp_path)
    host.configure()
    host.data_dir.mkdir()
    Site.make(host.data_dir)
    path = host.data_dir / "shipper.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ranges (name TEXT)")
        connection.executemany("INSERT INTO ranges VALUES (?)", [("x" * 500,)] * 500)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4096)
    made = host.create()
    assert "shipper.db is damaged" in made.failed["state"]
    assert host.archive.newest_good() is None


def test_postgresql_is_refused_until_pg_dump_is_named(tmp_path: Path) -> None:
    """The message names both ways out; keys and tokens are backed up all the same."""
    host = BackupHost(tmp_path, state_url="postgresql+psycopg://hostpulse@db/hostpulse")
    host.configure()
    host.data_dir.mkdir()
    made = host.create()
    assert "hostpulse_backup_pg_dump" in made.failed["state"]
    assert "configuration/ca/ca.key" in made.files


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """SQLite's own words alone would not say which file."""
    (tmp_path / "state.db").write_text("no database, " * 100)
    with pytest.raises(DamagedError, match=r"state\.db cannot be copied"):
        databases.copy(tmp_path / "state.db", tmp_path / "copy.db")
    with pytest.raises(BackupError, match=r"state\.db cannot be read"):
        databases.counts(tmp_path / "state.db")
