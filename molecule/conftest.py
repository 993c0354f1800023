"""What the scenarios' testinfra tests share: hosts by inventory name."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import testinfra

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "testbed" / "systemd-host"))

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


@pytest.fixture(scope="session")
def exposure() -> Callable[[Host, str], float]:
    """Return a function that gives systemd's own score of how exposed a unit is, 0 to 10."""

    def score(host: Host, unit: str) -> float:
        output = host.check_output(
            f"systemd-analyze security --offline=true /etc/systemd/system/{unit}"
        )
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", output)
        assert found, output
        return float(found[1])

    return score


@pytest.fixture(scope="session")
def shown() -> Callable[[Host, str], list[str]]:
    """Return a function that names the places where everybody or a log reader sees a secret."""

    def places(host: Host, secret: str) -> list[str]:
        # The secret stays in its file: as an argument, this very search would show it.
        script = (
            "import pathlib, subprocess, sys\n"
            "secret = pathlib.Path(sys.argv[1]).read_bytes().strip()\n"
            "found = [str(p) for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')"
            " if secret in p.read_bytes()]\n"
            "found += [str(p) for p in pathlib.Path('/proc').glob('[0-9]*/environ')"
            " if secret in p.read_bytes()]\n"
            "log = subprocess.run(['journalctl', '--no-pager', '--output=export'],"
            " capture_output=True).stdout\n"
            "found += ['journal'] * (secret in log)\n"
            "print('\\n'.join(found))\n"
        )
        output = host.check_output("python3 -c %s %s", script, secret)
        return str(output).split()

    return places


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object], float], None]:
    """Return a function that polls a condition and fails when it does not come true in time."""

    def wait(condition: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
            time.sleep(0.25)

    return wait
