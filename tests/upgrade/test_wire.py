"""An agent and a server of different releases understand each other."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.e2e.services import environment
from tests.support.polling import wait_until
from tests.upgrade.installation import Account, AgentInstallation, ServerInstallation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upgrade.releases import Programs

HOST = "web-01"
SAMPLES = 2


def test_every_sample_of_the_others_agent_is_taken_whole(
    tmp_path: Path, before_and_after: tuple[Programs, Programs]
) -> None:
    """An agent before or after its server: all that it measures can be queried."""
    of_agent, of_server = before_and_after
    server = ServerInstallation(tmp_path, of_server)
    key = server.register(of_server, HOST)
    agent = AgentInstallation(tmp_path / HOST, server.url, HOST, key)
    with server.running(of_server, "api", "ship"):
        with agent.running(of_agent):
            wait_until(lambda: _stored(server) >= SAMPLES, f"samples are stored; see {agent.log}")
        account = agent.account(of_agent)
        assert account == Account(account.stream, account.last_seq, waiting=0, dropped=0)
        wait_until(lambda: _stored(server) >= account.last_seq, "the last sample is stored")
        (stream,) = server.ledger(HOST)
        assert (stream["stored"], stream["missing"], stream["dropped"]) == (
            account.last_seq,
            0,
            {},
        )
        assert server.get(f"/api/v1/servers/{HOST}")["completeness"] == 100
        assert server.get(f"/api/v1/servers/{HOST}")["facts"]
        assert server.counter("hostpulse_samples_total") == account.last_seq
        assert server.counter("hostpulse_rejected_total") == 0
        measured = _measured(of_agent)
        assert {name for name, _ in measured} >= {"cpu", "memory", "disk", "network"}
        assert measured - _queried(server, {name for name, _ in measured}) == set()


def _stored(server: ServerInstallation) -> int:
    return sum(stream["stored"] for stream in server.ledger(HOST))


def _measured(programs: Programs) -> set[tuple[str, str]]:
    """Return measurement and field of all that an agent measures here."""
    command = [str(programs.agent), "once"]
    sample: dict[str, Any] = json.loads(subprocess.check_output(command, env=environment()))
    return {(point["measurement"], name) for point in sample["points"] for name in point["fields"]}


def _queried(server: ServerInstallation, measurements: set[str]) -> set[tuple[str, str]]:
    """Return measurement and field of all that the server gives back."""
    return {(name, one["field"]) for name in measurements for one in server.series(HOST, name)}
