"""Recorded hosts: two readings ten seconds apart, below a directory that stands in for `/`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from hostpulse_agent.collectors.processes import ProcessScan
from hostpulse_agent.collectors.procfs import Paths, Tree
from hostpulse_agent.collectors.statvfs_client import StatvfsClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostpulse_agent.collectors.base import Collector, Point

# Property tests judge answers; how fast a loaded machine runs them is no property of the code.
settings.register_profile(
    "unhurried", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

HOSTS = Path(__file__).parent / "hosts"


class Host:
    """A recorded host whose files can be changed and whose clock only a test moves."""

    def __init__(self, name: str, root: Path) -> None:
        """Copy the first reading of ``name`` to ``root``."""
        self._name = name
        self.root = root
        self.now = 1000.0
        self.paths = Paths(*(str(root / part) for part in ("proc", "sys", "run", "etc")))
        self.tree = Tree(self.paths, lambda: self.now)
        shutil.copytree(HOSTS / name / "first", root, dirs_exist_ok=True)

    def pass_time(self, seconds: float = 10.0) -> None:
        """Advance the clock and copy the second reading over the first."""
        self.now += seconds
        shutil.copytree(HOSTS / self._name / "second", self.root, dirs_exist_ok=True)

    def write(self, path: str, text: str) -> None:
        """Write one file, such as ``proc/stat``."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def twice(self, collector: Collector, seconds: float = 10.0) -> list[Point]:
        """Return what ``collector`` returns at the second reading."""
        collector.collect(self.now)
        self.pass_time(seconds)
        return collector.collect(self.now)


@pytest.fixture
def host(tmp_path: Path) -> Callable[[str], Host]:
    """Give a function from a name in ``hosts/`` to the recorded host."""
    return lambda name: Host(name, tmp_path / "root")


@pytest.fixture
def statvfs_client() -> Iterator[StatvfsClient]:
    """Give a client whose helper processes end with the test."""
    made = StatvfsClient()
    yield made
    made.close()


@pytest.fixture
def process_scan() -> ProcessScan:
    """Give a scan of this machine's processes."""
    return ProcessScan()
