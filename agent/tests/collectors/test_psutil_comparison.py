"""The comparison with psutil in `hostpulse-agent check`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostpulse_agent import psutil_comparison
from hostpulse_agent.collectors.procfs import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host


def test_collectors_and_psutil_agree_on_this_machine() -> None:
    """Two readers, one kernel."""
    assert psutil_comparison.differences(Tree()) == []


def test_readings_of_another_host_differ(host: Callable[[str], Host]) -> None:
    """Memory, swap and interfaces of a recorded host are not this machine's: each is named."""
    text = "\n".join(psutil_comparison.differences(host("lvm-host").tree))
    assert re.search(r"memory\.total_bytes is [\d.]+, psutil reads \d+", text)
    assert re.search(r"swap\.total_bytes is [\d.]+, psutil reads \d+", text)
    assert "psutil knows no interface" in text
