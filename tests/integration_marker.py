"""Plugin of pytest: tells integration tests from unit tests by what a test needs.

``make unit`` runs what is not marked ``integration``, and ``make integration`` the rest. The mark
comes from a fixture that the test uses, from its folder or from another marker of it; a file says
so itself (``pytestmark = pytest.mark.integration``) when its tests start services or programs of
the system, run Ansible, build packages, or take minutes.

A unit test needs neither root nor a server, and starts no program but this Python and git: it
fails when it starts another one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "integration"
ROOT = Path(__file__).parents[1]
# Any of these makes a test an integration test.
FIXTURES = frozenset({"influxd", "ansible"})
MARKS = ("grafana", "root")
FOLDERS = tuple(
    ROOT / folder for folder in ("molecule", "tests/e2e", "tests/testbed", "tests/upgrade")
)
PROGRAMS = frozenset({"git", Path(sys.executable).name})
EVENTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.exec"})


class _Guard:
    """Refuses programs while a unit test runs."""

    unit = False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an audit event of Python's (sys.addaudithook)."""
        if self.unit and event in EVENTS:
            program = os.fsdecode(arguments[0] or arguments[1][0])
            if Path(program).name not in PROGRAMS:
                # Not an Exception: code under test must not take it for a failed start.
                pytest.fail(f"a unit test starts {program}: mark it {MARK} ({__name__} says when)")


_guard = _Guard()
sys.addaudithook(_guard.audit)


# First, so that -m knows the mark.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark integration tests."""
    for item in items:
        if _needs_more(item):
            item.add_marker(MARK)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch what a unit test starts, from its first fixture to its last."""
    _guard.unit = item.get_closest_marker(MARK) is None
    try:
        return (yield)
    finally:
        _guard.unit = False


def _needs_more(item: pytest.Item) -> bool:
    return (
        not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        or any(item.get_closest_marker(mark) for mark in MARKS)
        or any(item.path.is_relative_to(folder) for folder in FOLDERS)
    )
