"""Another release's agent delivers what its predecessor spooled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.polling import wait_until
from tests.upgrade.installation import Account, AgentInstallation, ServerInstallation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.upgrade.releases import Programs

HOST = "web-01"
SAMPLES = 2


def test_samples_that_waited_arrive_once_each(
    tmp_path: Path, before_and_after: tuple[Programs, Programs]
) -> None:
    """One stream of numbers without a gap, and as many values in the store as numbers."""
    before, after = before_and_after
    server = ServerInstallation(tmp_path, after)
    agent = AgentInstallation(tmp_path / HOST, server.url, HOST, server.register(after, HOST))
    with agent.running(before):
        wait_until(lambda: agent.waiting(before) >= SAMPLES, f"samples wait; see {agent.log}")
    spooled = agent.account(before)
    stream = spooled.stream
    assert spooled == Account(stream, spooled.last_seq, waiting=spooled.last_seq, dropped=0)
    with server.running(after, "api", "ship"):
        with agent.running(after):
            wait_until(
                lambda: _without_gap(server) > spooled.last_seq,
                f"the backlog and a new sample are delivered; see {agent.log}",
            )
        final = agent.account(after)
        assert final == Account(stream, final.last_seq, waiting=0, dropped=0)
        wait_until(lambda: _without_gap(server) >= final.last_seq, "the last sample is stored")
        (stored,) = server.ledger(HOST)
        ((first, last, _, _),) = stored["ranges"]
        assert (stored["stream"], stored["dropped"]) == (stream, {})
        assert (first, last) == (1, final.last_seq)
        (usage,) = server.series(HOST, "cpu", field="usage_percent", **{"tag.core": "total"})
        assert len(usage["points"]) == final.last_seq


def _without_gap(server: ServerInstallation) -> int:
    """Return up to which number all samples are stored, 0 without the first."""
    ranges = [one for stream in server.ledger(HOST) for one in stream["ranges"]]
    return max((last for first, last, _, _ in ranges if first == 1), default=0)
