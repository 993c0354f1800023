"""A day of a fleet, lived by the real engine, rules, liveness and dispatcher on a clock of our own.

Only three parts stand in: the journal, which is a list (a real one would wait for the disk
half a million times), the answer of the api and the hosts' answers to probes. The channel renders a
message as Slack's does, and keeps the text.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rules.delivery import Delivery, Disturbances
from tests.rules.fleet import DAY_S, INTERVAL_S, Fleet, Incident
from tests.support.clock import ManualClock

from hostpulse_server import state
from hostpulse_server.config import load
from hostpulse_server.engine.ingest_monitor import IngestMonitor
from hostpulse_server.engine.loop import Engine
from hostpulse_server.engine.rules_reloader import RulesReloader
from hostpulse_server.engine.server_directory import ServerDirectory
from hostpulse_server.journal import Entry, JournalStats
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.liveness import BaselineLearner, LivenessMonitor, Probe
from hostpulse_server.notifications import Dispatcher
from hostpulse_server.notifications.action_links import ActionLinks
from hostpulse_server.notifications.channels import message_context
from hostpulse_server.notifications.channels.base import ChannelError
from hostpulse_server.notifications.channels.rendering import Templates
from hostpulse_server.notifications.workers import IDLE_SECONDS, ChannelWorker
from hostpulse_server.operator import actions
from hostpulse_server.registry import Registry
from hostpulse_server.rules import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine as Database
    from tests.rules.delivery import Span

    from hostpulse_server.notifications.channels.base import Notification

PACK = Path(__file__).parents[2] / "roles/hostpulse_server/files/rules/hostpulse.yml"
_CONFIG = """\
data_dir = "{folder}"
[journal]
min_free_bytes = "0B"
[alerts]
rules = ["{pack}", "{folder}/site.yml"]
[channels.mail]
kind = "email"
host = "127.0.0.1"
from = "hostpulse@example.org"
to = ["ops@example.org"]
"""


# what was there for an hour is missed, since a day is all there is
_SITE_RULES = """\
rules:
  - {name: disk_absent, present_for: 1h}
  - {name: interface_absent, present_for: 1h}
"""


class ListJournal:
    """As much of a journal as the engine asks for."""

    epoch = "day"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque()
        self._last = 0

    def append(self, entry: bytes, kind: str, received_ms: int) -> int:
        """Keep an entry until it is read."""
        self._last += 1
        self._entries.append(Entry(self._last, kind, received_ms, entry))
        return self._last

    def read(self, after: int, limit: int, max_bytes: int) -> list[Entry]:
        """Return what is newer; what is older was read and is let go."""
        del max_bytes
        while self._entries and self._entries[0].id <= after:
            self._entries.popleft()
        return [self._entries[i] for i in range(min(limit, len(self._entries)))]

    def last_id(self) -> int:
        """Return the newest id."""
        return self._last

    def waiting_seconds(self, after: int) -> float:
        """Return the age of the oldest entry above ``after``."""
        waiting = next((entry for entry in self._entries if entry.id > after), None)
        return (self._clock.ms - waiting.received_ms) / 1000 if waiting else 0.0

    def stats(self) -> JournalStats:
        """Return that there is room."""
        return JournalStats(0, 0, 0, self._last, None)

    def hint(self, consumer: str, position: int) -> None:
        """Take a hint and do nothing with it."""

    def wait(self, after: int, timeout: float) -> bool:
        """Return at once: time does not pass by itself here."""
        del timeout
        return self._last > after


@dataclass(frozen=True)
class Told:
    """A message: its kind, which alerts (rule, server, state) it tells of, and its text."""

    time_s: int
    kind: str
    note: str
    alerts: tuple[tuple[str, str, str], ...]
    text: str


class _Answers:
    """A prober whose hosts answer as the fleet says."""

    def __init__(self, fleet: Fleet, now_s: dict[str, int], clock: ManualClock) -> None:
        self._fleet = fleet
        self._now_s = now_s
        self._clock = clock
        self._numbers = {host.name: host.number for host in fleet.hosts}
        self._answers: dict[str, Probe] = {}

    def ask(self, server_id: str, address: str) -> None:
        """Ask the fleet."""
        answers = self._fleet.answers(self._numbers[server_id], self._now_s["now"])
        text = f"{address} answers" if answers else f"no answer from {address}"
        self._answers[server_id] = Probe(self._clock.ms, answers, (text,))

    def answer(self, server_id: str) -> Probe | None:
        """Return what came of it."""
        return self._answers.get(server_id)

    def forget(self, server_id: str) -> None:
        """Drop it."""
        self._answers.pop(server_id, None)


class _Channel:
    """Takes messages, but for when it is away."""

    def __init__(self, away: Span, now_s: dict[str, int]) -> None:
        self._away = away
        self._now_s = now_s
        self._templates = Templates()
        self.told: list[Told] = []
        self.is_refusing = False

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Take it, as text."""
        self.is_refusing = self._now_s["now"] in self._away
        if self.is_refusing:
            raise ChannelError("no answer", permanent=False)
        context = message_context.build_context(notification, message_id)
        text = self._templates.render("slack_text.txt", context).text
        alerts = tuple((one.rule, one.server_id, one.state) for one in notification.alerts)
        note = notification.note
        self.told.append(Told(self._now_s["now"], notification.kind, note, alerts, text))


def live(
    size: int,
    incidents: tuple[Incident, ...],
    hours: float = 24.0,
    disturbances: Disturbances | None = None,
) -> list[Told]:
    """Return all messages of a day."""
    wrong = disturbances or Disturbances()
    fleet = Fleet(size, incidents)
    clock = ManualClock()
    start_ms = clock.ms
    now_s = {"now": 0}
    with _site(fleet, clock) as (folder, database):
        config = load(folder / "server.toml", {})
        journal: Any = ListJournal(clock)
        directory = ServerDirectory(Registry(database, clock), clock)
        engine = Engine(
            journal=journal,
            database=database,
            directory=directory,
            rules=RulesReloader(config.alerts.rules, clock),
            liveness=LivenessMonitor(
                RuleSet({}),
                clock,
                _Answers(fleet, now_s, clock),
                BaselineLearner(_Answers(fleet, now_s, clock)),
            ),
            ingest=IngestMonitor(
                config, journal, clock, ask=lambda _: None, start=lambda action: action()
            ),
            dispatcher=Dispatcher(config, clock, ActionLinks(config, clock), directory.server),
            clock=clock,
            stop=threading.Event(),
            wake=lambda: now_s.update(woken=1),
            idle_seconds=0,
        )
        _silence(database, fleet, wrong.silences, start_ms)
        channel = _Channel(wrong.away, now_s)
        worker = ChannelWorker("mail", channel, ["mail"], config, database, clock, lambda: None)
        delivery = Delivery(fleet, wrong, start_ms)
        for time_s in range(0, int(hours * DAY_S / 24), INTERVAL_S):
            now_s["now"] = time_s
            off_s = wrong.server_clock_s if time_s in wrong.server_clock else 0
            clock.set_by_ms = off_s * 1000
            clock.ms = start_ms + (time_s + off_s) * 1000
            for said in fleet.at(time_s):
                for entry in delivery.requests(said):
                    journal.append(entry, SAMPLES, clock.ms)
            engine.turn()
            if now_s.pop("woken", 0) or channel.is_refusing:
                while (seconds := worker.work()) == 0.0:
                    pass
                if seconds != IDLE_SECONDS:
                    now_s["woken"] = 1
        return channel.told


def _silence(database: Database, fleet: Fleet, silences: Mapping[int, Span], start_ms: int) -> None:
    with state.writing(database) as session:
        for host, span in silences.items():
            matchers = {"server_id": fleet.hosts[host].name}
            start, end = (start_ms + time_s * 1000 for time_s in (span.start_s, span.end_s))
            act = actions.Act("Robin", start_ms, "planned work")
            actions.silence(session, matchers, start, end, act)


@contextmanager
def _site(fleet: Fleet, clock: ManualClock) -> Iterator[tuple[Path, Database]]:
    """Yield a data directory, in memory where the machine lets us, and its state database."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="hostpulse-") as name:
        folder = Path(name)
        (folder / "site.yml").write_text(_SITE_RULES)
        (folder / "server.toml").write_text(_CONFIG.format(folder=folder, pack=PACK))
        database = state.open_engine(f"sqlite:///{folder / 'state.db'}")
        state.upgrade(database)
        registry = Registry(database, clock)
        for host in fleet.hosts:
            # each in a network of its own: no two are cut off together
            registry.add({"id": host.name, "address": f"10.0.{host.number}.1"})
        yield folder, database
        database.dispose()
