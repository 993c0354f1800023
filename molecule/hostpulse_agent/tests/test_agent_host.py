"""What a monitored host looks like, on the oldest and on the newest supported Debian."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

UNIT = "hostpulse-agent.service"
AGENT = "/opt/hostpulse/agent/current/venv/bin/hostpulse-agent"
SPOOL = "/var/lib/hostpulse-agent/spool.db"
KEY = "/etc/hostpulse/agent.key"


@pytest.fixture(params=["bullseye", "trixie"])
def node(request: pytest.FixtureRequest, host_of: Callable[[str], Host]) -> Host:
    """Return each of the hosts."""
    return host_of(request.param)


def pid(node: Host) -> int:
    """Return the agent's process id, 0 when it does not run."""
    return int(node.check_output(f"systemctl show --property=MainPID --value {UNIT}"))


def active(node: Host) -> bool:
    """Return whether systemd counts the agent as up, which it does once the agent said so."""
    return bool(node.run(f"systemctl is-active {UNIT}").succeeded)


def newest_sample(node: Host) -> int:
    """Return the highest sequence number in the spool."""
    query = f"import sqlite3; print(sqlite3.connect('file:{SPOOL}?mode=ro', uri=True)"
    query += ".execute('select coalesce(max(seq), 0) from sample').fetchone()[0])"
    return int(node.check_output("python3 -c %s", query))


def test_the_agent_runs_and_starts_with_the_host(node: Host) -> None:
    """A host that was restarted at night is monitored in the morning."""
    assert active(node)
    assert node.service(UNIT).is_enabled


def test_the_agent_is_a_user_that_cannot_log_in(node: Host) -> None:
    """What it may do is what its unit says."""
    user = node.user("hostpulse-agent")
    assert user.shell == "/usr/sbin/nologin"
    assert user.uid < 1000
    assert node.check_output(f"ps -o user= -p {pid(node)}").startswith("hostpul")


def test_secrets_and_samples_are_for_their_owners_only(node: Host) -> None:
    """Another user of the host reads neither key nor samples."""
    key = node.file(KEY)
    assert (key.user, key.mode) == ("root", 0o600)
    state = node.file("/var/lib/hostpulse-agent")
    assert (state.user, state.mode) == ("hostpulse-agent", 0o700)
    assert node.file(SPOOL).mode == 0o600


def test_the_key_shows_in_no_log_and_no_process_list(
    node: Host, shown: Callable[[Host, str], list[str]]
) -> None:
    """Whoever may read the journal or call ps has not thereby the key."""
    assert shown(node, KEY) == []


def test_the_configuration_belongs_to_the_release(node: Host) -> None:
    """A rollback brings the configuration along that the release was made with."""
    assert node.file("/etc/hostpulse/agent.toml").linked_to.startswith("/opt/hostpulse/agent/")
    assert node.run(f"{AGENT} check --offline").succeeded


def test_samples_are_kept_while_no_server_answers(
    node: Host, until: Callable[[Callable[[], object], float], None]
) -> None:
    """The agent does not need its server to do its work."""
    before = newest_sample(node)
    until(lambda: newest_sample(node) >= before + 3, 30)


def test_one_sample_holds_what_every_host_has(node: Host) -> None:
    """The collectors find their files on this release of Debian."""
    sample = json.loads(node.check_output(f"{AGENT} once"))
    points = sample["points"] if "points" in sample else sample["samples"][0]["points"]
    measurements = {point["measurement"] for point in points}
    assert {"cpu", "system", "memory", "swap", "disk", "network", "connections"} <= measurements


def test_a_killed_agent_is_back_within_seconds_and_goes_on_counting(
    node: Host, until: Callable[[Callable[[], object], float], None]
) -> None:
    """A crash costs a few samples at most, and no sequence number twice."""
    before, seq = pid(node), newest_sample(node)
    node.check_output(f"kill -KILL {before}")
    until(lambda: active(node) and pid(node) not in (0, before), 30)
    until(lambda: newest_sample(node) > seq, 30)


def test_a_stopped_agent_ends_in_peace(
    node: Host, until: Callable[[Callable[[], object], float], None]
) -> None:
    """A stop is no failure, although no server takes the agent's last words."""
    node.check_output(f"systemctl stop {UNIT}")
    try:
        assert node.check_output(f"systemctl show --property=Result --value {UNIT}") == "success"
    finally:
        node.check_output(f"systemctl start {UNIT}")
    until(lambda: active(node), 30)


def test_the_unit_is_locked_down(
    host_of: Callable[[str], Host], exposure: Callable[[Host, str], float]
) -> None:
    """The score is systemd's own; Debian's monitoring units have 7 to 9."""
    assert exposure(host_of("trixie"), UNIT) <= 1.6
