"""Tests marked ``grafana`` run where a real one is had; else the end of a run counts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.grafana_api.archive import pack
from tests.testbed.vendor import CLOSED, engines, packed, sha256

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.grafana
@pytest.mark.parametrize("n", range(3))
def test_wants_grafana(n):
    pass

def test_wants_none():
    pass
"""
CONFTEST = """
from pathlib import Path
from tests import real_grafana

real_grafana.ENGINES = Path(__file__).parent / "engines"
pytest_plugins = ["tests.real_grafana"]
"""
ALONE, WORKERS = ("-p", "no:xdist"), ("-n2",)
WAYS = pytest.mark.parametrize("way", [ALONE, ("-n0",), WORKERS], ids=" ".join)
LINE = "3 tests were not run: a real Grafana is needed, and there is no archive of one"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with three marked tests and another, whose engines nobody has."""
    engines(tmp_path, CLOSED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  grafana: as ours\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest over it, with nothing of this run's environment."""
    known = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(project / "cache"),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@WAYS
def test_without_one_the_run_passes_and_counts_what_it_left_out(
    project: Path, way: tuple[str, ...]
) -> None:
    """Each test once, however many workers collected it, and in the file for summaries."""
    file = project / "line"
    got = run(project, *way, HOSTPULSE_NOT_RUN_FILE=str(file))
    assert got.returncode == 0, got.stdout + got.stderr
    assert "1 passed" in got.stdout
    assert got.stdout.count(LINE) == 1
    assert file.read_text().startswith(LINE)
    assert file.read_text().count("\n") == 1
    assert "HOSTPULSE_GRAFANA_ARCHIVE" in file.read_text()


@pytest.mark.parametrize(
    ("way", "required"),
    [(ALONE, "1"), (("-n0",), "true"), (WORKERS, "yes")],
    ids=["alone", "-n0", "workers"],
)
def test_without_one_the_run_fails_where_it_is_required(
    project: Path, way: tuple[str, ...], required: str
) -> None:
    """Also when everything else passed."""
    got = run(project, *way, HOSTPULSE_REQUIRE_GRAFANA=required)
    assert got.returncode == 1, got.stdout + got.stderr
    assert "1 passed" in got.stdout
    assert f"FAILED (HOSTPULSE_REQUIRE_GRAFANA is set): {LINE}" in got.stdout


@pytest.mark.parametrize("required", ["0", "false", "no", ""])
def test_none_is_required_where_the_environment_says_so(project: Path, required: str) -> None:
    """As where it says nothing."""
    got = run(project, *ALONE, HOSTPULSE_REQUIRE_GRAFANA=required)
    assert got.returncode == 0, got.stdout + got.stderr
    assert LINE in got.stdout


@pytest.mark.parametrize("required", ["on", "2", " "])
def test_whether_one_is_required_is_not_guessed(project: Path, required: str) -> None:
    """One sentence says what may be written; the scenarios on hosts say the same."""
    way_out = "let it be 1, true or yes, or 0, false, no or empty"
    said = f"HOSTPULSE_REQUIRE_GRAFANA is '{required}': {way_out}\n"
    got = run(project, *ALONE, HOSTPULSE_REQUIRE_GRAFANA=required)
    assert got.returncode == pytest.ExitCode.USAGE_ERROR
    assert got.stderr == f"ERROR: {said}\n"
    got = scenario(HOSTPULSE_REQUIRE_GRAFANA=required)
    assert (got.returncode, got.stdout, got.stderr) == (2, "", said)


def scenario(**environment: str) -> subprocess.CompletedProcess[str]:
    """Ask what the scenario on hosts would install."""
    known = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": "/nowhere"}
    return subprocess.run(
        [ROOT / "scripts/molecule-grafana"],
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_scenario_takes_the_archive_that_is_named_for_a_real_one(tmp_path: Path) -> None:
    """And refuses the stand-in's in its place, whatever is required."""
    archive = tmp_path / "archive"
    archive.write_bytes(packed(VERSION="1.2.3"))
    for required in ("yes", "no"):
        given = {"HOSTPULSE_GRAFANA_ARCHIVE": str(archive), "HOSTPULSE_REQUIRE_GRAFANA": required}
        got = scenario(**given)
        assert got.stdout.splitlines() == [
            f"MOLECULE_GRAFANA_ARCHIVE={archive}",
            "MOLECULE_GRAFANA_VERSION=1.2.3",
            f"MOLECULE_GRAFANA_SHA256={sha256(archive.read_bytes())}",
            "MOLECULE_GRAFANA_REAL=true",
        ]
    pack(archive, "10.0.0")
    got = scenario(HOSTPULSE_GRAFANA_ARCHIVE=str(archive))
    assert (got.returncode, got.stdout) == (1, "")
    assert got.stderr.endswith("which is the stand-in that tests use, and no archive of grafana\n")


@WAYS
def test_with_one_they_run(project: Path, way: tuple[str, ...]) -> None:
    """Whatever is required, and without a line about it."""
    archive = project / "archive"
    archive.write_bytes(packed(VERSION="1.2.3"))
    given = {"HOSTPULSE_GRAFANA_ARCHIVE": str(archive), "HOSTPULSE_REQUIRE_GRAFANA": "1"}
    got = run(project, *way, **given)
    assert got.returncode == 0, got.stdout + got.stderr
    assert "4 passed" in got.stdout
    assert "not run" not in got.stdout


def test_what_nobody_asked_for_is_not_counted(project: Path) -> None:
    """A selection that has none of them says nothing and fails nowhere."""
    for selection in (("-k", "none"), ("-m", "not grafana")):
        got = run(project, *ALONE, *selection, HOSTPULSE_REQUIRE_GRAFANA="1")
        assert got.returncode == 0, got.stdout + got.stderr
        assert "not run" not in got.stdout
    assert not (project / "cache").exists()


def test_an_archive_that_is_named_and_is_not_there_is_not_taken_for_none(project: Path) -> None:
    """The tests run, and those that start a Grafana fail with what is wrong."""
    got = run(project, *ALONE, HOSTPULSE_GRAFANA_ARCHIVE="/nowhere.tar.gz")
    assert "4 passed" in got.stdout, got.stdout + got.stderr
    assert "not run" not in got.stdout
