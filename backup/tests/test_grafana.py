"""Grafana's database, copied while it runs, and what it is worth after a loss."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from backup.tests.hosts import ME, BackupHost
from testbed.grafana.local import ADMIN
from tests.servers.grafana_api.local import SERVERS

from hostpulse_backup import files, manifest, settings
from hostpulse_backup.errors import DamagedError
from hostpulse_backup.restore import Restore
from hostpulse_backup.restore_test import run_restore_test

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.grafana.local import Grafana


def host_with_grafana(root: Path, data_dir: Path) -> BackupHost:
    """Give a host with a Grafana and keys."""
    there = settings.Grafana(data_dir, "hostpulse-grafana.service", ME)
    host = BackupHost(root, grafana=there)
    host.configure()
    host.data_dir.mkdir(parents=True)
    return host


@pytest.mark.parametrize("server", SERVERS)
def test_what_people_made_in_grafana_is_there_after_a_loss(
    server: type[Grafana], tmp_path: Path
) -> None:
    """Copied while it runs; one on the restored database knows folders and passwords."""
    with server.start(tmp_path / "old") as grafana:
        grafana.api("POST", "/api/folders", {"uid": "theirs", "title": "Theirs"})
        host = host_with_grafana(tmp_path / "host", tmp_path / "old" / "data")
        made = host.create()
        password = grafana.password
    assert "grafana" in made.kinds
    run_restore_test(host.settings(), host.folder(made), host.output.append)
    bare = BackupHost(
        tmp_path / "host", grafana=settings.Grafana(tmp_path / "new/data", "x.service", ME)
    )
    Restore(bare.settings(), host.folder(made), bare.output.append).run(over=True)
    with server.start(tmp_path / "new") as restored:
        login = (ADMIN, password)
        (folder,) = restored.api("GET", "/api/folders", login=login)
        assert folder["uid"] == "theirs"


def test_a_copy_that_lost_rows_fails_the_restore_test(tmp_path: Path) -> None:
    """The manifest says how many rows each table had."""
    data_dir = tmp_path / "grafana"
    data_dir.mkdir()
    with closing(sqlite3.connect(data_dir / "grafana.db")) as database, database:
        database.execute("CREATE TABLE dashboard (id INTEGER PRIMARY KEY)")
        database.execute("INSERT INTO dashboard VALUES (1)")
    host = host_with_grafana(tmp_path / "host", data_dir)
    made = host.create()
    copy = host.folder(made) / "grafana" / "grafana.db"
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("DELETE FROM dashboard")
    entry = manifest.Entry(copy.stat().st_size, files.sha256(copy))
    made.files["grafana/grafana.db"] = entry
    (host.folder(made) / manifest.NAME).unlink()
    manifest.write(host.folder(made), made)
    with pytest.raises(DamagedError, match=r"grafana/grafana\.db has"):
        run_restore_test(host.settings(), host.folder(made), host.output.append)
