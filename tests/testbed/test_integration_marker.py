"""Which tests are integration tests, and what becomes of a unit test that starts a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = """
import pytest
pytest_plugins = ["tests.integration_marker"]

@pytest.fixture
def influxd():
    return "influxd"

@pytest.fixture
def store(influxd):
    return influxd
"""
TESTS = """
import os, subprocess, sys
import pytest

def test_of_nothing(): pass
def test_of_a_server(influxd): pass
def test_of_a_server_behind_another_fixture(store): pass
@pytest.mark.root
def test_of_a_mount(): pass
@pytest.mark.grafana
def test_of_grafana(): pass
@pytest.mark.integration
def test_that_says_so(): subprocess.run(["true"], check=True)
"""
STARTS = {
    "subprocess": 'subprocess.run(["true"], check=True)',
    "spawn": 'os.posix_spawn("/bin/true", ["true"], {})',
    "a server asked for late": 'subprocess.Popen(["/nowhere/influxd"])',
}


def run(project: Path, *arguments: str) -> str:
    """Run pytest over a project; return what it shows."""
    marks = "".join(f"\n  {name}: as ours" for name in ("integration", "root", "grafana"))
    (project / "pytest.ini").write_text(f"[pytest]\nmarkers ={marks}\n")
    (project / "conftest.py").write_text(CONFTEST)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv", *arguments],
        cwd=project,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_a_test_is_run_by_one_of_both(tmp_path: Path) -> None:
    """The mark comes from fixtures, at any depth, and from other markers."""
    (tmp_path / "test_it.py").write_text(TESTS)
    assert "1 passed, 5 deselected" in run(tmp_path, "-m", "not integration")
    assert "5 passed, 1 deselected" in run(tmp_path, "-m", "integration")


@pytest.mark.parametrize("way", STARTS)
def test_a_unit_test_that_starts_a_program_fails(tmp_path: Path, way: str) -> None:
    """It says which program, and what to do."""
    (tmp_path / "test_it.py").write_text(f"import os, subprocess\ndef test_it(): {STARTS[way]}\n")
    shown = run(tmp_path)
    assert "1 failed" in shown
    assert "a unit test starts" in shown
    assert "mark it integration" in shown


def test_this_python_and_git_may_be_started(tmp_path: Path) -> None:
    """Short programs of ours, and the list of files."""
    code = 'import subprocess, sys\ndef test_it(): subprocess.run([sys.executable, "-c", ""])\n'
    (tmp_path / "test_it.py").write_text(
        code + 'def test_git(): subprocess.run(["git", "--version"], check=True)\n'
    )
    assert "2 passed" in run(tmp_path)
