"""Facts of a host: what it is, from the files that say so."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.collectors.facts import FACTS, collect_facts, os_release
from hostpulse_agent.config import DiskConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host


def test_a_host_with_everything_has_every_fact(host: Callable[[str], Host]) -> None:
    """Each fact that the document names, in its unit."""
    disk = DiskConfig(exclude_fstypes=("proc", "sysfs", "tmpfs", "overlay", "nfs4"))
    facts = collect_facts(host("lvm-host").paths, disk)
    assert set(facts) == set(FACTS)
    assert facts["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert (facts["os_id"], facts["os_version"]) == ("debian", "12")
    assert facts["kernel"] == os.uname().release
    assert facts["cpus"] == 4
    assert facts["cpu_model"] == "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz"
    assert facts["memory_bytes"] == 8000000 * 1024
    assert facts["boot_time"] == 1795000000000
    assert facts["interfaces"] == [{"name": "eth0", "mac": "52:54:00:12:34:56"}]
    assert facts["mounts"] == [
        {"mount": "/", "device": "/dev/mapper/vg0-root", "type": "ext4"},
        {"mount": "/boot", "device": "/dev/sda1", "type": "ext4"},
        {"mount": "/srv/my data", "device": "/dev/mapper/vg0-data", "type": "xfs"},
    ]


def test_what_cannot_be_read_is_left_out(host: Callable[[str], Host]) -> None:
    """An empty tree still gives what the kernel itself answers."""
    recorded = host("container")
    facts = collect_facts(recorded.paths._replace(proc="/nonexistent", sys="/nonexistent"))
    assert set(facts) == {"hostname", "kernel", "architecture"}


def test_facts_of_this_machine_fit_into_a_message() -> None:
    """They are JSON and small, and name the root filesystem."""
    facts = collect_facts()
    assert len(json.dumps(facts)) < 16384
    assert "/" in [mount["mount"] for mount in facts["mounts"]]


@given(
    st.dictionaries(st.from_regex("[A-Z_]{1,10}", fullmatch=True), st.text("abc 12.-", max_size=9))
)
def test_os_release_is_read_with_or_without_quotes(table: dict[str, str]) -> None:
    """Both kinds of quotes and none, comments and empty lines."""
    for quote in ('"', "'", ""):
        values = {name: value if quote else value.strip() for name, value in table.items()}
        lines = ["# comment", "", *(f"{n}={quote}{v}{quote}" for n, v in values.items())]
        assert os_release("\n".join(lines).encode()) == values
