"""Plugin of pytest: tests marked ``grafana`` run where an archive of Grafana is had.

Elsewhere they are left out, and the run ends with a line that counts them and says what to do; with
HOSTPULSE_REQUIRE_GRAFANA=1 (true, yes) the run fails for it. With 0 (false, no, nothing) none is
required, and anything else is an error; scripts/molecule-grafana reads it so, too. A file that
HOSTPULSE_NOT_RUN_FILE names gets the line, too, for who shows a summary after others have written
more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MARK = "grafana"
ENGINES = Path(__file__).parents[1] / "testbed"
REQUIRE = "HOSTPULSE_REQUIRE_GRAFANA"
REQUIRED = {
    "1": True,
    "true": True,
    "yes": True,
    "0": False,
    "false": False,
    "no": False,
    "": False,
}
LINE_FILE = "HOSTPULSE_NOT_RUN_FILE"
# What a worker of pytest-xdist hands to the process that it works for.
OUTPUT = "hostpulse_grafana_not_run"
# The ids of tests: workers collect the same ones, and each counts once.
NOT_RUN = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing left out; refuse to guess whether a Grafana is required."""
    given = os.environ.get(REQUIRE, "")
    if given not in REQUIRED:
        raise pytest.UsageError(
            f"{REQUIRE} is {given!r}: let it be 1, true or yes, or 0, false, no or empty"
        )
    config.stash[NOT_RUN] = set()


# Last, so that what nobody asked for (-k, -m) is not counted.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a Grafana that is not had."""
    marked = [item for item in items if item.get_closest_marker(MARK)]
    if not marked or _is_had():
        return
    config.stash[NOT_RUN].update(item.nodeid for item in marked)
    items[:] = [item for item in items if not item.get_closest_marker(MARK)]
    config.hook.pytest_deselected(items=marked)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker left out; one that crashed says nothing, and another has its work."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[NOT_RUN].update(output.get(OUTPUT, ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the count on, and fail where a Grafana is required."""
    config = session.config
    not_run = config.stash[NOT_RUN]
    if hasattr(config, "workeroutput"):
        config.workeroutput[OUTPUT] = sorted(not_run)
    elif not_run:
        if file := os.environ.get(LINE_FILE):
            Path(file).write_text(_line(len(not_run)) + "\n", encoding="utf-8")
        if _is_required() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests were left out."""
    if not_run := config.stash[NOT_RUN]:
        color = {"red": True} if _is_required() else {"yellow": True}
        terminalreporter.write_line(_line(len(not_run)), **color)


def _is_had() -> bool:
    """Ask testbed/get, which remembers for some minutes that the vendor's site does not answer."""
    command: list[str | Path] = [sys.executable, ENGINES / "get", "--optional", "grafana"]
    got = subprocess.run(command, capture_output=True, check=False)
    # A named file that is not there, or another error, is not "none": the tests fail over it.
    return bool(got.stdout) or got.returncode != 0


def _is_required() -> bool:
    return REQUIRED[os.environ.get(REQUIRE, "")]


def _line(number: int) -> str:
    tests = "1 test was" if number == 1 else f"{number} tests were"
    line = (
        f"{tests} not run: a real Grafana is needed, and there is no archive of one in the cache or"
        " at its vendor's site; name one in HOSTPULSE_GRAFANA_ARCHIVE"
    )
    return f"FAILED ({REQUIRE} is set): {line}" if _is_required() else line
