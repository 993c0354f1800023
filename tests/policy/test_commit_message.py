"""The hook that checks commit messages finds what CONTRIBUTING asks for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.policy.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOOK = ROOT / "scripts" / "commit-message"


def check(folder: Path, message: str) -> subprocess.CompletedProcess[str]:
    """Run the hook as git does."""
    path = folder / "COMMIT_EDITMSG"
    path.write_text(message, encoding="utf-8")
    return subprocess.run([sys.executable, HOOK, path], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "message",
    [
        "app: sign links by itsdangerous\n\nWhy it is so.\n",
        "tests/policy, roles: hold names\n\nWhy.\n# a comment of git's\n",
        'Revert "app: sign links"\n\nThis reverts commit 0.\n',
        "fixup! app: sign links\n",
    ],
)
def test_a_good_message_passes(tmp_path: Path, message: str) -> None:
    """Without a word."""
    done = check(tmp_path, message)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Sign links\n\nWhy.\n", 'is not "area: what changes"'),
        ("app: \n\nWhy.\n", 'is not "area: what changes"'),
        (f"app: {'x' * 68}\n\nWhy.\n", "has 73 characters"),
        ("app: sign links\nWhy.\n", "second line is not blank"),
        ("app: sign links\n", "there is no body"),
        ("app: sign links\n\n# only a comment\n", "there is no body"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, message: str, fault: str) -> None:
    """And git stops."""
    done = check(tmp_path, message)
    assert done.returncode == 1
    assert fault in done.stderr
