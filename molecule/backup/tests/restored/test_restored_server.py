"""The new machine in the old one's place: same answers, same secrets, no sample lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    Ask = Callable[..., Any]
    Until = Callable[[Callable[[], object], float], None]

SECRETS = (
    *("ca/ca.key", "verify.key", "influxdb_write_token", "influxdb_query_token"),
    *("influxdb/operator.token", "influxdb/backup.token", "influxdb/grafana.token"),
)


@pytest.fixture(scope="module")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the old machine, which still answers to itself."""
    return host_of("monitor")


@pytest.fixture(scope="module")
def spare(host_of: Callable[[str], Host]) -> Host:
    """Return the new machine."""
    return host_of("spare")


@pytest.mark.parametrize("measurement", ["memory", "cpu", "system", "disk"])
def test_old_times_are_answered_as_by_the_old_machine(
    monitor: Host, spare: Host, ask: Ask, measurement: str
) -> None:
    """Every value of every series, as long as the old machine knew of any."""
    window = {"server_id": "web-01", "measurement": measurement, "step": "2s", "aggregate": "last"}
    newest = max(
        series["points"][-1][0]
        for series in ask(monitor, "metrics", start="-2h", **window)["series"]
    )
    span = {"start": newest - 3_600_000, "end": newest + 1, **window}
    before, after = (ask(host, "metrics", **span)["series"] for host in (monitor, spare))
    assert sum(len(series["points"]) for series in before) > 20
    assert after == before


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_the_same(monitor: Host, spare: Host, name: str) -> None:
    """Nobody who holds one needs a new one."""
    here, there = (host.file(f"/etc/hostpulse/{name}") for host in (monitor, spare))
    assert there.sha256sum == here.sha256sum
    assert (there.user, there.mode) == ("root", 0o600)


def test_the_agent_goes_on_without_a_lost_sample(spare: Host, ask: Ask, until: Until) -> None:
    """One stream from the first sample on, nothing missing: its key and its trust still hold."""
    server: dict[str, Any] = {}

    def complete() -> bool:
        server.update(ask(spare, "servers/web-01"))
        return bool(
            server["status"] == "up" and all(one["missing"] == 0 for one in server["ledger"])
        )

    until(complete, 90)
    (ledger,) = server["ledger"]
    assert ledger["ranges"][0][0] == 1
    assert server["completeness"] == 100.0


def test_the_new_machine_backs_itself_up(spare: Host) -> None:
    """Also after the second restore, which was refused: that changes nothing."""
    assert spare.service("hostpulse-backup.timer").is_running
    assert spare.run("hostpulse-backup verify latest").succeeded
