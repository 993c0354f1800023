"""What the scenarios' testinfra tests share: hosts by inventory name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import testinfra

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "engines" / "systemd-host"))

import hosts  # noqa: E402 -- the tool that made the hosts knows their names


@pytest.fixture(scope="session")
def scenario() -> str:
    """Return the scenario's name, which is also its group of hosts."""
    return os.environ["MOLECULE_SCENARIO_NAME"]


@pytest.fixture(scope="session")
def host_of(scenario: str) -> Callable[[str], Host]:
    """Return a function that gives the testinfra host of an inventory name."""
    os.environ["CONTAINERS_CONF"] = str(CHECKOUT / ".config" / "containers.conf")

    def find(name: str) -> Host:
        return testinfra.get_host(f"podman://{hosts.container(scenario, name)}")

    return find
