"""The pack as it ships on a day of 50 hosts.

Nothing is told of a quiet one, and of incidents each is told, and nothing else.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.rules.day import live
from tests.rules.fleet import Incident

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("untraced")]

SIZE = 50
HOUR = 3600


def at(hour: float, minutes: float) -> tuple[int, int]:
    """Return start and end of something, in seconds of the day, on the grid of samples."""
    start = round(hour * HOUR / 10) * 10
    return start, start + round(minutes * 6) * 10


INCIDENTS = (
    Incident("cpu_usage", 3, *at(5, 30), {("cpu", "total"): {"usage_percent": 99.0}}),
    Incident("memory_usage", 7, *at(6, 40), {("memory", ""): {"used_percent": 97.0}}),
    Incident("disk_usage", 11, *at(7, 60), {("disk", "/var"): {"used_percent": 93.0}}),
    # the power of a host, and the agent of another
    Incident("liveness", 16, *at(8, 20), answers=False),
    Incident("liveness", 19, *at(9, 25), answers=True),
    Incident("disk_hung", 23, *at(11, 15), {("disk", "/srv"): {"hung": 1.0}}),
    Incident("raid_degraded", 27, *at(12, 90), {("system", ""): {"raid_degraded": 1.0}}),
    Incident("oom_kill", 31, *at(13, 1 / 6), {("kernel", ""): {"oom_kills_total": 2.0}}),
    Incident("packet_loss", 36, *at(14, 20), {("network", "eth0"): {"packet_loss_percent": 4.0}}),
    Incident("disk_readonly", 39, *at(15, 45), {("disk", "/"): {"readonly": 1.0}}),
    Incident("disk_absent", 43, *at(16, 30), without=frozenset({("disk", "/srv")})),
)


def test_a_quiet_day_tells_nothing() -> None:
    """Jobs, backups, reboots, upgrades and bursts are life, not news."""
    assert live(SIZE, ()) == []


def test_of_incidents_each_is_told_and_nothing_else() -> None:
    """Each begins with one message and ends with one; the right rule names the right host."""
    told = live(SIZE, INCIDENTS)
    expected = Counter((one.rule, f"host-{one.host:02d}") for one in INCIDENTS)
    for state in ("firing", "resolved"):
        found = Counter(
            (rule, server_id)
            for message in told
            if message.kind == state
            for rule, server_id, how in message.alerts
            if how == state
        )
        assert found == expected, state
    others = [message for message in told if message.kind not in {"firing", "resolved"}]
    # an escalation is news of the same incident
    assert {message.kind for message in others} <= {"update"}
    assert {alert[:2] for message in others for alert in message.alerts} <= set(expected)
