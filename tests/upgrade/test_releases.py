"""Releases are listed, and each can be built from its commit."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.policy.repository import ROOT
from tests.upgrade.releases import RELEASES, BuildError, Release, install, unpack

if TYPE_CHECKING:
    from pathlib import Path

EACH = pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)


def test_the_list_has_every_release_of_the_changelog() -> None:
    """The newest may be missing: its commit is known only once it is on main."""
    text = (ROOT / "CHANGELOG.md").read_text()
    newest_first = re.findall(r"^## (\d+\.\d+\.\d+)\b", text, re.MULTILINE)
    listed = [release.version for release in reversed(RELEASES)]
    assert listed in (newest_first, newest_first[1:])


@EACH
def test_its_programs_say_its_version(release: Release) -> None:
    """Built as the release built its own payload, and installed from nothing else."""
    programs = install(release)
    for program in (programs.agent, programs.server):
        said = subprocess.check_output([program, "--version"], text=True)
        assert said.split()[-1] == release.version


@EACH
def test_its_commit_is_on_the_way_to_the_present(release: Release) -> None:
    """Nobody has to follow what was never on main."""
    command = ["git", "merge-base", "--is-ancestor", release.commit, "HEAD"]
    is_ancestor = subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert is_ancestor, f"{release.commit} is not in HEAD's history, or: git fetch --unshallow"


def test_a_clone_without_the_commit_says_how_to_get_it(tmp_path: Path) -> None:
    """As a shallow clone is."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    with pytest.raises(BuildError, match="git fetch --unshallow"):
        unpack(RELEASES[0], tmp_path / "source", repository=tmp_path)
