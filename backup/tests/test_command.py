"""The command as an operator, the timer and the playbooks call it."""

from __future__ import annotations

import ast
import fcntl
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from backup.tests.hosts import BackupHost, rows
from tests.e2e.services import Site
from tests.policy.repository import ROOT
from tools.payload.build import BACKUP, build

from hostpulse_backup.archive import Archive
from hostpulse_backup.status_files import StatusFiles

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

SOURCES = ROOT / "backup" / "src"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the zipapp that hosts get."""
    payload = tmp_path_factory.mktemp("program") / "payload"
    build(BACKUP, payload, cache=payload.parent, suffix="", check=False)
    return payload / BACKUP.file


@pytest.fixture
def host(tmp_path: Path, program: Path) -> BackupHost:
    """Give a server's host that has the program, and its settings in a file."""
    made = BackupHost(tmp_path)
    shutil.copy(program, tmp_path)
    made.configure()
    made.data_dir.mkdir()
    Site.make(made.data_dir).register(["web-01"])
    write_settings(made)
    return made


def write_settings(host: BackupHost, **other: Any) -> None:
    """Write the settings as the role does."""
    text = json.dumps(asdict(host.settings(**other)), default=str)
    (host.root / "settings.json").write_text(text)


def call(host: BackupHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as the command does: isolated, from its zipapp."""
    settings = f"--settings={host.root / 'settings.json'}"
    return subprocess.run(
        [sys.executable, "-I", "-B", host.root / BACKUP.file, settings, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def status_file(host: BackupHost, kind: str) -> dict[str, Any]:
    """Return what the server will measure of a kind."""
    found = json.loads((host.data_dir / "backups" / f"{kind}.json").read_text())
    assert isinstance(found, dict)
    return found


def test_create_runs_a_restore_test_and_reports_it(host: BackupHost) -> None:
    """The result as JSON on stdout, progress on stderr, and a status file for the server."""
    write_settings(host, drill=True)
    done = call(host, "create", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["verified"]
    assert set(made["kinds"]) == {"state", "configuration"}
    assert "state: journal.db" not in done.stderr  # the api never ran here
    assert "state: state.db" in done.stderr
    status = status_file(host, "state")
    assert status["finished_ms"] == made["finished_ms"]
    assert (status["kind"], status["verified"], status["error"]) == ("state", True, "")
    folder = host.data_dir / "backups"
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "state.json")]
    assert modes == [0o755, 0o644]  # another user reads them


def test_list_verify_and_restore_test_agree(host: BackupHost) -> None:
    """What is listed is what is tested."""
    assert "no backup in" in call(host, "list").stdout
    call(host, "create")
    (listed,) = json.loads(call(host, "list", "--json").stdout)
    assert not listed["verified"]
    assert "not tried yet" in call(host, "list").stdout
    assert f"{listed['name']} is whole" in call(host, "verify", listed["name"]).stdout
    assert call(host, "drill", "latest").returncode == 0
    assert json.loads(call(host, "list", "--json").stdout)[0]["verified"]


def test_a_failed_restore_test_is_reported_and_the_backup_is_no_longer_latest(
    host: BackupHost,
) -> None:
    """What cannot be restored counts as none."""
    call(host, "create")
    (name,) = Archive(host.root / "backups").names()
    (host.root / "backups" / name / "configuration" / "ca" / "ca.key").write_text("tampered")
    done = call(host, "drill", name)
    assert done.returncode == 1
    assert "configuration/ca/ca.key has another size" in done.stderr
    assert status_file(host, "configuration")["verified"] is False
    assert "ca.key" in status_file(host, "state")["error"]
    assert "has no whole backup" in call(host, "verify", "latest").stderr


def test_too_little_disk_space_is_refused_with_numbers_and_reported(host: BackupHost) -> None:
    """The age that the server measures stays that of the last backup."""
    call(host, "create")
    before = status_file(host, "state")["finished_ms"]
    write_settings(host, min_free_bytes=2**60)
    done = call(host, "create")
    assert done.returncode == 1
    assert "nothing was begun" in done.stderr
    assert "GiB" in done.stderr
    assert len(Archive(host.root / "backups").names()) == 1
    status = status_file(host, "state")
    assert status["finished_ms"] == before
    assert "nothing was begun" in status["error"]


def test_a_dry_run_says_how_much_and_makes_nothing(host: BackupHost) -> None:
    """What playbooks/backup.yml shows in check mode."""
    done = call(host, "create", "--check")
    assert json.loads(done.stdout)["needed_bytes"] > 0
    assert "state: about" in done.stderr
    assert not (host.root / "backups").exists()


def test_two_at_once_are_refused(host: BackupHost) -> None:
    """The second names the process that holds the lock."""
    call(host, "create")
    with (host.root / "backups" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = call(host, "create")
    assert done.returncode == 1
    assert "another run (process" in done.stderr


def test_what_a_killed_run_left_is_removed(host: BackupHost) -> None:
    """A half made backup has no name and does not stay."""
    (host.root / "backups" / ".new-20260101T000000Z").mkdir(parents=True)
    call(host, "create")
    assert list((host.root / "backups").glob(".new-*")) == []


def test_old_backups_go_by_the_policy(host: BackupHost) -> None:
    """Several a day leave the newest."""
    for _ in range(3):
        assert call(host, "create").returncode == 0
    assert len(Archive(host.root / "backups").names()) == 1


def test_restore_asks_for_check_or_yes_and_proves_afterwards(host: BackupHost) -> None:
    """Nothing is written by a command that was typed half."""
    call(host, "create")
    assert call(host, "restore", "latest").returncode == 2
    report = json.loads(call(host, "restore", "latest", "--check").stdout)
    assert "restore_over=true" in report["refusals"][0]
    assert call(host, "restore", "latest", "--yes").returncode == 1
    (host.data_dir / "state.db").unlink()
    done = call(host, "restore", "latest", "--yes", "--over")
    assert done.returncode == 0, done.stderr
    assert rows(host.data_dir / "state.db", "SELECT id FROM servers") == [("web-01",)]
    assert call(host, "prove", "latest").returncode == 0


def test_a_packed_backup_is_verified_where_no_settings_are(host: BackupHost) -> None:
    """The controller has the program from the role and nothing else."""
    call(host, "create")
    packed = host.root / "one.tar.gz"
    assert call(host, "pack", "latest", str(packed)).returncode == 0
    (host.root / "settings.json").unlink()
    assert "is whole" in call(host, "verify", str(packed)).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "run site.yml"), ('{"hots": 1}', "missing or unknown"), ("[]", "run site.yml")],
)
def test_wrong_settings_are_named(host: BackupHost, text: str, message: str) -> None:
    """A file that somebody edited says what is wrong with it."""
    (host.root / "settings.json").write_text(text)
    done = call(host, "list")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_status_files_are_not_written_through_somebody_elses_link(tmp_path: Path) -> None:
    """The folder lies in one that the server's user writes to, and root writes the files."""
    (tmp_path / "target").mkdir()
    (tmp_path / "backups").symlink_to(tmp_path / "target")
    with pytest.raises(Exception, match="backups"):
        StatusFiles(tmp_path / "backups").record_success("state", 1, 1)
    assert list((tmp_path / "target").iterdir()) == []


def test_the_program_runs_with_the_oldest_python_that_hosts_have() -> None:
    """Only the standard library of 3.9: neither newer syntax nor a package of ours."""
    for path in SOURCES.rglob("*.py"):
        ast.parse(path.read_text(), str(path), feature_version=(3, 9))
    imports = {
        line.split()[1].partition(".")[0]
        for path in SOURCES.rglob("*.py")
        for line in map(str.strip, path.read_text().splitlines())
        if line.startswith(("import ", "from "))
    }
    assert imports - sys.stdlib_module_names == {"hostpulse_backup"}
