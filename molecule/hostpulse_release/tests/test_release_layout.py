"""What a host looks like after an installation, an upgrade and a rollback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

HOME = "/opt/hostpulse/agent"


@pytest.fixture(scope="module")
def node(host_of: Callable[[str], Host]) -> Host:
    """Return the scenario's only host."""
    return host_of("node")


def release(node: Host, link: str) -> str:
    """Return the name of the release that a link points to."""
    return str(node.check_output(f"readlink {HOME}/{link}")).rpartition("/")[2]


def test_rollback_leaves_the_first_release_current_and_the_second_one_previous(node: Host) -> None:
    """A rollback swaps the two, so that it can be undone by another."""
    assert ".post1+" not in release(node, "current")
    assert ".post1+" in release(node, "previous")


def test_each_release_is_complete_and_says_what_it_was_made_of(node: Host) -> None:
    """The mark holds the payload's hash, by which a second run knows that nothing is to do."""
    for link in ("current", "previous"):
        mark = json.loads(node.file(f"{HOME}/{link}/.complete").content_string)
        assert release(node, link).endswith(mark["payload"][:8])
        assert mark["python"] == "3.11"


def test_each_release_runs_its_own_version(node: Host) -> None:
    """A virtual environment is built where it stays, and holds what its name says."""
    for link in ("current", "previous"):
        version = release(node, link).partition("+")[0]
        assert version in node.check_output(f"{HOME}/{link}/venv/bin/hostpulse-agent --version")


def test_no_installer_and_no_wheels_stay_on_the_host(node: Host) -> None:
    """What is not there cannot be used to install something else."""
    assert not node.run(f"{HOME}/current/venv/bin/python -c 'import pip'").succeeded
    assert node.check_output(f"find {HOME}/ -name '*.whl' -o -name payload") == ""


def test_only_root_writes_the_releases(node: Host) -> None:
    """A service cannot change the program it runs."""
    assert node.check_output(f"find {HOME} ! -user root -o -perm /022 ! -type l") == ""
