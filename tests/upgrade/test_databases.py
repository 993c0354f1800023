"""A server's data outlives an upgrade and the rollback after it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from tests.e2e.traffic import STREAM
from tests.support.polling import DEADLINE, wait_until
from tests.support.slack_receiver import Answer, SlackReceiver
from tests.upgrade.installation import ServerInstallation
from tests.upgrade.releases import PRESENT, Programs

from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.upgrade.installation import RunningServer

STEP_MS: Final = 10_000
BUSY, IDLE = 90, 10
# hosts, by what is with their alert
NOTIFIED, ACKNOWLEDGED, SILENCED = "notified", "acknowledged", "silenced"
OLD = "old-samples"  # has none
# what the release before leaves to do: samples that nobody read, and a message that waits
LEFT_TO_PRESENT: Final = ("left-1", "waits-1")
LEFT_TO_EARLIER: Final = ("left-2", "waits-2")
_CHANNEL: Final = """\
[channels.slack]
kind = "slack"
webhook_url_file = "{folder}/slack_webhook_url"
allow_private = true
"""
# of an alert's evidence, what 0.1.0 neither writes nor shows
SINCE_0_1_0 = ("worst", "comparison", "clears_at")
# events that 0.1.0 shows as it finds them, but does not write
SUPPRESSED: Final = "suppressed"
COMMANDS: Final = (
    *(("doctor",), ("db", "current"), ("servers", "list"), ("alerts", "list")),
    *(("silences", "list"), ("quarantine", "list")),
)


class Fleet:
    """Hosts that report to one installation, and what people get to know of them."""

    def __init__(self, folder: Path, programs: Programs, receiver: SlackReceiver) -> None:
        secret = folder / "slack_webhook_url"
        secret.touch(0o600)
        secret.write_text(receiver.url)
        more = _CHANNEL.format(folder=folder)
        self.server = ServerInstallation(folder, programs, more)
        self.receiver = receiver
        self._keys: dict[str, str] = {}
        self._begun_ms = SYSTEM.now_ms() - 60_000
        self._sent_ms: dict[str, int] = {}

    def register(self, *server_ids: str) -> None:
        """Add hosts."""
        for server_id in server_ids:
            added = self.server.request("POST", "/api/v1/servers", {"id": server_id})
            self._keys[server_id] = added["key"]

    def send(self, server_id: str, values: dict[int, int], hours_ago: int = 0) -> None:
        """Send samples by their numbers, ten seconds apart, the first a minute old."""
        self._sent_ms[server_id] = SYSTEM.now_ms()
        begun_ms = self._begun_ms - hours_ago * 3_600_000
        samples = [
            {
                "seq": seq,
                "time": begun_ms + seq * STEP_MS,
                "interval_ms": STEP_MS,
                "points": [{"measurement": "cpu", "fields": {"usage_percent": value}}],
            }
            for seq, value in values.items()
        ]
        agent = {"version": "0.1.0", "stream": STREAM}
        answer = requests.post(
            f"{self.server.url}/api/v1/metrics",
            json={"schema": 1, "server_id": server_id, "agent": agent, "samples": samples},
            headers={"X-API-Key": self._keys[server_id]},
            timeout=DEADLINE,
        )
        assert answer.json()["accepted"] == len(samples), answer.text

    @property
    def hosts(self) -> list[str]:
        """The ids of all hosts."""
        return list(self._keys)

    def messages(self, server_id: str) -> list[int]:
        """Return how each message about a host was answered."""
        posts = list(self.receiver.posts)
        return [one.answered for one in posts if server_id in json.dumps(one.payload)]

    def links(self, server_id: str) -> set[str]:
        """Return the links of a host's messages."""
        texts = [json.dumps(one.payload) for one in list(self.receiver.posts)]
        found = [
            re.findall(r"http://[\w.:]+/act/[\w.-]+", one) for one in texts if server_id in one
        ]
        return {link for links in found for link in links}

    def alert(self, server_id: str) -> dict[str, Any]:
        """Return a host's only alert, empty without one."""
        (found,) = self.server.get(f"/api/v1/alerts?server_id={server_id}")["alerts"] or [{}]
        return dict(found)

    def await_state(self, server_id: str, state: str) -> None:
        """Return once a host's alert is pending or fires."""
        what = f"the alert of {server_id} is {state}"
        wait_until(lambda: self.alert(server_id).get("state") == state, what)

    def await_stored(self, server_id: str, count: int) -> None:
        """Return once so many samples of a host are stored, and the api has looked since."""

        def holds() -> bool:
            host = self.server.get(f"/api/v1/servers/{server_id}")
            return (
                [one["stored"] for one in host["ledger"]] == [count]
                and host["last_seen"] is not None
                and host["last_seen"] >= self._sent_ms[server_id]
            )

        wait_until(holds, f"{count} samples of {server_id} are stored")

    def snapshot(self, running: RunningServer) -> dict[str, Any]:
        """Return all that the server says of its hosts, but for what depends on the present."""
        server = self.server
        hosts = {one: server.get(f"/api/v1/servers/{one}") for one in self.hosts}
        alerts = server.get("/api/v1/alerts")["alerts"]
        histories = server.get("/api/v1/alerts/history")["alerts"]
        events = {
            one["id"]: [
                event
                for event in server.get(f"/api/v1/alerts/{one['id']}")["events"]
                if not event["kind"].startswith(SUPPRESSED)
            ]
            for one in alerts
        }
        for one in (*alerts, *histories):
            del one["duration_ms"]
            for name in SINCE_0_1_0:
                one["evidence"].pop(name, None)
        for host in hosts.values():
            del host["status"]
        return {
            "hosts": hosts,
            "samples": {one: server.series(one, "cpu") for one in self.hosts},
            "rollups": self.rollups(),
            "alerts": alerts,
            "histories": histories,
            "events": events,
            "silences": server.get("/api/v1/silences")["silences"],
            "keys": json.loads(running.command("keys", "list", "--json")),
        }

    def rollups(self) -> dict[str, Any]:
        """Return what is kept of old samples."""
        begin, end = (self._begun_ms - hours * 3_600_000 for hours in (3, 1))
        query = f"server_id={OLD}&measurement=cpu&start={begin}&end={end}&step=5m&aggregate=max"
        return dict(self.server.get(f"/api/v1/metrics?{query}"))


@pytest.fixture
def fleet(tmp_path: Path, earlier: Programs) -> Iterator[Fleet]:
    """Give an installation that the earlier release made."""
    with SlackReceiver() as receiver:
        yield Fleet(tmp_path, earlier, receiver)


def test_all_is_as_it_was_after_an_upgrade_and_after_its_rollback(
    fleet: Fleet, earlier: Programs
) -> None:
    """Samples, hosts, keys, alerts, acknowledgements, silences, links; nobody is notified twice."""
    with fleet.server.running(earlier) as running:
        running.await_well()
        fleet.register(NOTIFIED, ACKNOWLEDGED, SILENCED, OLD, *LEFT_TO_PRESENT, *LEFT_TO_EARLIER)
        _begin(fleet)
        known = _leave_work(fleet, running, *LEFT_TO_PRESENT)
    fleet.server.command(PRESENT, "db", "upgrade")  # as the role does, which at a rollback does not
    with fleet.server.running(PRESENT) as running:
        _take_over(fleet, running, known, *LEFT_TO_PRESENT)
        for command in COMMANDS:
            running.command(*command)
        acknowledged = fleet.alert(LEFT_TO_PRESENT[0])["id"]
        fleet.server.request("POST", f"/api/v1/alerts/{acknowledged}/ack", {"comment": "after"})
        known = _leave_work(fleet, running, *LEFT_TO_EARLIER)
    with fleet.server.running(earlier) as running:
        _take_over(fleet, running, known, *LEFT_TO_EARLIER)
        running.command("doctor")
        fleet.send(ACKNOWLEDGED, {7: IDLE})
        wait_until(lambda: len(fleet.messages(ACKNOWLEDGED)) == 2, "its end is notified")
        assert fleet.alert(ACKNOWLEDGED) == {}
    once, after_a_refusal = zip(LEFT_TO_PRESENT, LEFT_TO_EARLIER, strict=True)
    assert {host: fleet.messages(host) for host in fleet.hosts} == {
        NOTIFIED: [200],
        ACKNOWLEDGED: [200, 200],
        SILENCED: [],
        OLD: [],
        **{host: [200] for host in once},
        **{host: [429, 200] for host in after_a_refusal},
    }


def _begin(fleet: Fleet) -> None:
    """Have an alert that is notified, one acknowledged, one silenced, and rolled up samples."""
    fleet.send(OLD, {1: 10, 31: 20, 61: 30}, hours_ago=2)
    silence = {"matchers": {"server_id": SILENCED}, "end": "2h", "comment": "new disks"}
    fleet.server.request("POST", "/api/v1/silences", silence)
    for host in (NOTIFIED, ACKNOWLEDGED, SILENCED):
        fleet.send(host, {1: IDLE, 2: BUSY, 3: BUSY, 4: BUSY})
        fleet.await_state(host, "firing")
    both = (NOTIFIED, ACKNOWLEDGED)
    wait_until(lambda: [fleet.messages(one) for one in both] == [[200], [200]], "both are notified")
    for host, count in ((NOTIFIED, 4), (ACKNOWLEDGED, 4), (SILENCED, 4), (OLD, 3)):
        fleet.await_stored(host, count)
    number = fleet.alert(ACKNOWLEDGED)["id"]
    fleet.server.request("POST", f"/api/v1/alerts/{number}/ack", {"comment": "on it"})
    wait_until(lambda: fleet.rollups()["resolution"] == "rollup", "old samples are rolled up")
    (series,) = fleet.rollups()["series"]
    assert [value for _, value in series["points"]] == [10, 20, 30]


def _leave_work(fleet: Fleet, running: RunningServer, host: str, waits: str) -> dict[str, Any]:
    """Stop with samples that nobody evaluated or shipped, and with a message that waits.

    Return a snapshot from before these.
    """
    fleet.receiver.answers.append(Answer(429, "rate_limited", {"Retry-After": "2"}))
    fleet.send(host, {1: IDLE, 2: BUSY})
    fleet.send(waits, {1: IDLE, 2: BUSY, 3: BUSY, 4: BUSY})
    wait_until(lambda: fleet.messages(waits) == [429], "a message is refused")
    fleet.await_state(host, "pending")
    for one, count in ((host, 2), (waits, 4)):
        fleet.await_stored(one, count)
    known = fleet.snapshot(running)
    running.stop("ship", "alert")
    fleet.send(host, {3: BUSY, 4: BUSY})
    return known


def _take_over(
    fleet: Fleet, running: RunningServer, known: dict[str, Any], host: str, waits: str
) -> None:
    """Check that the other release goes on where the one before stopped."""
    wait_until(lambda: fleet.messages(waits) == [429, 200], "the message that waited is sent")
    fleet.await_state(host, "firing")
    wait_until(lambda: fleet.messages(host) == [200], "the alert of samples left over is notified")
    fleet.await_stored(host, 4)
    found = fleet.snapshot(running)
    assert _without(found, host, waits) == _without(known, host, waits)
    (stream,) = fleet.server.ledger(ACKNOWLEDGED)
    seq = stream["stored"] + 1
    fleet.send(ACKNOWLEDGED, {seq: BUSY})
    fleet.await_stored(ACKNOWLEDGED, seq)
    for one in (ACKNOWLEDGED, LEFT_TO_PRESENT[0], host):  # of this release and the other's
        (link,) = fleet.links(one)
        page = requests.get(link, timeout=DEADLINE)
        assert (page.status_code, one in page.text) == (200, True)


def _without(snapshot: dict[str, Any], *server_ids: str) -> dict[str, Any]:
    """Return a snapshot without some hosts."""

    def kept(one: dict[str, Any]) -> bool:
        return one["server_id"] not in server_ids

    alerts = [one for one in snapshot["alerts"] if kept(one)]
    return {
        **snapshot,
        "hosts": {name: one for name, one in snapshot["hosts"].items() if name not in server_ids},
        "samples": {
            name: one for name, one in snapshot["samples"].items() if name not in server_ids
        },
        "alerts": alerts,
        "histories": [one for one in snapshot["histories"] if kept(one)],
        "events": {one["id"]: snapshot["events"][one["id"]] for one in alerts},
    }
