"""What happens on a host while its link is cut reaches people once, under the rules that ship."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.policy.repository import ROOT

if TYPE_CHECKING:
    from app.tests.engine.conftest import AlertsSite

PACK = ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml"


@pytest.mark.parametrize(
    ("cut", "expected"), [(4, ["firing", "resolved"]), (120, ["was"])], ids=["40 s", "20 min"]
)
def test_an_oom_kill_in_an_outage_reaches_people_once(
    site: AlertsSite, cut: int, expected: list[str]
) -> None:
    """The agent sends the newest sample first, then what it kept; the kill is over or it is not."""
    site.write_rules(PACK.read_text())
    site.run(3)
    first_ms, killed = site.clock.ms, 5
    for seq in range(1, 4):
        site.clock.move(10)
        send(site, first_ms, seq, 0.0, 0)
        site.drain()
    newest = 4 + cut
    site.clock.move(10 * (cut + 1))
    send(site, first_ms, newest, 1.0, cut)
    site.drain()
    for seq in range(4, newest):
        send(site, first_ms, seq, float(seq >= killed), newest - seq - 1)
    site.drain()
    for seq in range(newest + 1, newest + 100):
        site.clock.move(10)
        send(site, first_ms, seq, 1.0, 0)
        site.drain()
    found = [json.loads(row["document"]) for row in site.rows("outbox")]
    messages = [one for one in found if any(it["rule"] == "oom_kill" for it in one["alerts"])]
    assert [one["kind"] for one in messages] == expected
    assert {one["alerts"][0]["summary"] for one in messages} == {
        "The kernel killed 1 process for want of memory on Web"
    }
    (alert,) = (row for row in site.rows("alerts") if row["rule"] == "oom_kill")
    assert (alert["state"], alert["fired_ms"]) == ("resolved", first_ms + killed * 10_000)


def send(site: AlertsSite, first_ms: int, seq: int, kills: float, waiting: int) -> None:
    """Append the sample of that number."""
    site.seq["web-01"] = seq - 1
    site.send(
        "web-01",
        [
            {"measurement": "kernel", "fields": {"oom_kills_total": kills}},
            {"measurement": "agent", "fields": {"spool_samples": float(waiting)}},
        ],
        time_ms=first_ms + seq * 10_000,
    )
