"""What the engine watches beside samples: ingest, hosts' own words, itself from outside."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from app.tests.engine.conftest import RULES, AlertsSite, cpu
from tests.support.http_server import QuietHandler, serving, url_of

from hostpulse_server import state
from hostpulse_server.engine.background import BackgroundTask
from hostpulse_server.engine.heartbeat import Heartbeat
from hostpulse_server.engine.ingest_monitor import IngestMonitor
from hostpulse_server.errors import NotReadyError
from hostpulse_server.journal.records import REFUSED
from hostpulse_server.operator.actions import Act, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostpulse_server.config import ServerConfig

LIVENESS = """\
  - name: host_silent
    summary: "{{ server_name }} is silent"
    kind: liveness
    levels:
      critical: {verdicts: [host_down, silent], for: 3m}
      warning: {verdicts: [agent_stopped, path_broken], for: 10m}
"""


class Api:
    """What a test has the api answer."""

    fault = ""

    def ask(self, _config: ServerConfig) -> None:
        """Answer."""
        if self.fault:
            raise NotReadyError(self.fault)


def ingest_monitor(site: AlertsSite, api: Api) -> IngestMonitor:
    """Return a monitor of this api."""
    return IngestMonitor(
        site.config, site.journal, site.clock, ask=api.ask, start=lambda action: action()
    )


def test_ingest_works_since_the_api_answers_and_the_journal_has_room(site: AlertsSite) -> None:
    """A break begins it anew."""
    api = Api()
    made = ingest_monitor(site, api)
    made.turn()
    since = site.clock.ms
    site.clock.move(60)
    made.turn()
    state = made.state(is_caught_up=True)
    assert (state.is_working, state.since_ms, state.reason) == (True, since, "")
    api.fault = "connection refused"
    site.clock.move(5)
    made.turn()
    state = made.state(is_caught_up=True)
    assert (state.is_working, state.reason) == (False, "connection refused")
    api.fault = ""
    site.clock.move(5)
    made.turn()
    assert made.since_ms == site.clock.ms


@pytest.mark.parametrize(("away", "is_kept"), [(59, True), (61, False)])
def test_a_restart_interrupts_it_only_if_it_takes_long(
    site: AlertsSite, away: int, *, is_kept: bool
) -> None:
    """Nobody knows what was within the time that no engine ran."""
    began = site.clock.ms
    site.run(30)
    assert site.cursor()["ingest_since_ms"] == pytest.approx(began, abs=1000)
    before = site.cursor()
    site.clock.ms = before["alive_ms"] + away * 1000 - 1
    made = ingest_monitor(site, Api())
    made.resume(before["ingest_since_ms"], before["alive_ms"])
    made.turn()
    assert made.since_ms == (before["ingest_since_ms"] if is_kept else site.clock.ms)


def test_a_full_journal_is_no_working_ingest(site: AlertsSite) -> None:
    """Hosts that are refused are not silent by their own doing."""
    made = ingest_monitor(site, Api())
    made._config.journal.__dict__["max_bytes"] = site.journal.stats().bytes + 1000
    made.turn()
    assert "full" in made.state(is_caught_up=True).reason


def test_silent_hosts_are_told_with_what_they_said(site: AlertsSite) -> None:
    """From samples, events and refusals in the journal; it survives a restart."""
    site.write_rules(RULES + LIVENESS)
    for server_id in ("web-02", "web-01"):
        for number in range(3, 12):
            if not site.registry.resolve({}, [f"web-{number:02}"]):
                site.registry.add({"id": f"web-{number:02}"})
        site.send(server_id, [cpu(1)])

    def everybody_but(quiet: str, seconds: int) -> None:
        for _ in range(seconds // 10):
            for number in range(1, 12):
                if f"web-{number:02}" != quiet:
                    site.send(f"web-{number:02}", [cpu(1)])
            site.run(10)

    everybody_but("", 60)
    assert site.alerts() == []
    everybody_but("web-01", 100)
    site.restart()
    body = json.dumps({"server_id": "web-01", "reason": "unknown key"}).encode()
    site.journal.append(body, REFUSED, site.clock.ms)
    everybody_but("web-01", 700)
    assert [(one[0], one[1], one[2]) for one in site.alerts()] == [
        ("web-01", "host_silent", "firing")
    ]
    everybody_but("", 60)
    assert [one[2] for one in site.alerts()] == ["resolved"]


@contextmanager
def watcher(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """Run a watcher that answers these, the last for ever; yield its address and what came."""
    came: list[str] = []

    class Handler(QuietHandler):
        def respond(self) -> None:
            came.append(self.command)
            self.reply(statuses[min(len(came), len(statuses)) - 1])

    with serving(Handler) as server:
        yield f"{url_of(server)}/beat", came


def test_a_network_that_is_down_is_one_alert_with_its_hosts_labels(site: AlertsSite) -> None:
    """So that it is routed as theirs; it mutes nothing of hosts elsewhere."""
    site.write_rules(RULES + LIVENESS.replace("3m", "30s"))
    rack = [f"rack-{number}" for number in range(4)]
    others = [f"other-{number}" for number in range(5)]
    for number, name in enumerate(rack):
        labels = {"env": "prod", "number": str(number)}
        site.registry.add({"id": name, "address": f"192.0.2.{number + 1}", "labels": labels})
    for name in others:
        site.registry.add({"id": name})
    for step in range(9):
        for name in [*others, "web-01", "web-02", *(rack if step < 2 else [])]:
            site.send(name, [cpu(1)])
        site.run(10)
    (row,) = site.rows("alerts")
    assert (row["rule"], row["server_id"], row["severity"]) == ("host_silent", "", "critical")
    assert json.loads(row["tags"]) == {"network": "192.0.2.0/24"}
    assert row["summary"].startswith("Network 192.0.2.0/24: 4 hosts are silent since ")
    assert json.loads(row["labels"])["env"] == "prod"


@pytest.mark.parametrize("is_silenced", [True, False])
def test_a_silence_takes_hosts_out_of_the_fleet(site: AlertsSite, *, is_silenced: bool) -> None:
    """Most of the fleet is silent, but that is planned work."""
    site.write_rules(RULES + LIVENESS.replace("3m", "30s"))
    for number in range(3):
        site.registry.add({"id": f"work-{number}"})
    if is_silenced:
        act = Act("Robin", site.clock.ms, "the rack moves")
        with state.writing(site.database) as session:
            silence(session, {"server_id": "work-*"}, site.clock.ms, site.clock.ms + 10**7, act)
    for step in range(9):
        for name in ["web-01", "web-02", *(["work-0", "work-1", "work-2"] if step < 2 else [])]:
            site.send(name, [cpu(1)])
        site.run(10)
    found = {row["server_id"] for row in site.rows("alerts")}
    assert found == ({"work-0", "work-1", "work-2"} if is_silenced else {""})


def test_the_heartbeat_goes_out_while_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """As GET, as POST where that is wanted; a streak of failures is a line."""
    is_healthy = True
    caplog.set_level(logging.INFO, "hostpulse_server.engine")
    with watcher(200, 405, 200, 500, 500, 200) as (url, came):
        heart = Heartbeat(url, lambda: is_healthy)
        heart.beat()
        heart.beat()
        assert came == ["GET", "GET", "POST"]
        heart.beat()
        heart.beat()
        heart.beat()
        is_healthy = False
        heart.beat()
        assert len(came) == 6
    words = [record.message.split(":")[0] for record in caplog.records]
    assert words == ["heartbeat failed", "heartbeat recovered"]
    Heartbeat("", lambda: True).beat()


@pytest.mark.parametrize("fails", [True, False])
def test_no_message_that_gets_out_is_no_heartbeat(*, fails: bool) -> None:
    """The address for failures is called, where there is none nothing is."""
    is_stuck = True
    with watcher(200) as (url, came), watcher(200) as (fail_url, failed):
        heart = Heartbeat(url, lambda: True, fail_url if fails else "", lambda: is_stuck)
        heart.beat()
        assert (came, failed) == ([], ["GET"] if fails else [])
        is_stuck = False
        heart.beat()
        assert (came, len(failed)) == (["GET"], int(fails))


def test_a_background_task_runs_once_at_a_time_and_survives_its_failures(
    site: AlertsSite, caplog: pytest.LogCaptureFixture
) -> None:
    """What takes long does not pile up."""
    held: list[Callable[[], None]] = []
    done: list[int] = []

    def action() -> None:
        done.append(1)
        raise RuntimeError("no")

    task = BackgroundTask(action, 5, site.clock, held.append)
    for _ in range(10):
        site.clock.move(5)
        task.turn()
    assert len(held) == 1
    held.pop()()
    task.turn()
    assert (len(held), len(done)) == (1, 1)
    assert "a background task of the alert engine failed" in caplog.text
