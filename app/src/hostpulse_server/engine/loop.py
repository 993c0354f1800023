"""The loop that carries entries from the journal through the rules into the state database.

Conditions, what evaluation remembers, the cursor and the outbox are committed in one transaction; a
crash before it repeats work, and one after it repeats nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from hostpulse_server.backoff import Backoff
from hostpulse_server.engine import alert_store, retention
from hostpulse_server.engine.checkpoint import load_progress
from hostpulse_server.engine.commit import TurnBatch, TurnCommitter
from hostpulse_server.engine.consumer import EntryConsumer
from hostpulse_server.engine.reader import JournalReader
from hostpulse_server.errors import HostpulseError, JournalUnavailableError, StateUnavailableError
from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.formatting import span
from hostpulse_server.journal.records import INTERNAL, encode_internal
from hostpulse_server.rules import RuleSet
from hostpulse_server.runtime.clock_steps import ClockSteps
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.state import reading
from hostpulse_server.values.alert import BY_PEOPLE

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Engine as Database

    from hostpulse_server.engine.ingest_monitor import IngestMonitor
    from hostpulse_server.engine.rules_reloader import RulesReloader
    from hostpulse_server.engine.server_directory import ServerDirectory
    from hostpulse_server.journal import Journal
    from hostpulse_server.liveness import LivenessMonitor
    from hostpulse_server.notifications import Dispatcher
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.values.alert import Condition
    from hostpulse_server.values.points import StorePoint

# timers, acknowledgements and silences are checked this often, and progress is written
SECOND = 1.0
LEAST_SECONDS = 0.05
ALIVE_MS = 5_000
# by how much the clock must be set for people to be notified
NOTICED_STEP_MS = 60_000
REFRESH_SECONDS = 15.0  # how old the values of firing alerts may get where people look
# how old an entry may be that is not read yet, for silence to be judged
BEHIND_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 10.0
_NO_RULES = RuleSet({})

log = logging.getLogger(__name__)


class Engine:
    """Consumes one journal. ``turn`` does a bounded piece of work; ``run`` repeats it."""

    def __init__(  # noqa: PLR0913 - the parts it connects, each replaceable in a test
        self,
        *,
        journal: Journal,
        database: Database,
        directory: ServerDirectory,
        rules: RulesReloader,
        liveness: LivenessMonitor,
        ingest: IngestMonitor,
        dispatcher: Dispatcher,
        clock: Clock,
        stop: threading.Event,
        wake: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        idle_seconds: float = SECOND,
    ) -> None:
        self._journal = journal
        self._database = database
        self._directory = directory
        self._rules = rules
        self._liveness = liveness
        self._ingest = ingest
        self._clock = clock
        self._stop = stop
        self._wake = wake
        self._beat = beat
        self._idle_seconds = idle_seconds
        self._evaluator = Evaluator(_NO_RULES, directory.labels)
        self._intake = EntryConsumer(self._evaluator, liveness, directory)
        self._recorder = TurnCommitter(database, dispatcher, ExpiryGuard(clock))
        self._reader = JournalReader(journal, database, clock)
        self._conditions: list[Condition] = []
        self._notices: list[str] = []
        self._ended: set[str] = set()
        self._are_orphans_possible = False
        self._is_restored = False
        self._clock_steps = ClockSteps(clock)
        self._is_clock_set = True  # it may have been while no engine ran
        self._is_stuck = False
        self._due_ms: int | None = None
        self._committed = float("-inf")
        self._second = float("-inf")
        self._tended = self._refreshed = clock.monotonic()
        self._backoff = Backoff(MAX_BACKOFF_SECONDS)
        self._trouble = ""

    def run(self) -> None:
        """Evaluate until the stop event is set; what is not evaluated stays in the journal."""
        while not self._stop.is_set():
            self.turn()

    @property
    def is_healthy(self) -> bool:
        """Whether turns get through and there are rules to evaluate."""
        return not self._trouble and self._rules.rules is not None

    def turn(self) -> None:
        """Read, evaluate, write down what has changed; wait if there was nothing."""
        self._beat()
        held = self._backoff.until - self._clock.monotonic()
        if held > 0:
            self._stop.wait(min(held, self._idle_seconds))
            return
        try:
            is_idle = self._work()
        except (StateUnavailableError, JournalUnavailableError) as error:
            self._complain(error)
            return
        self._backoff.worked()
        self._trouble = ""
        if is_idle:
            self._rest()

    def _work(self) -> bool:
        """Do a turn's work; return whether there was nothing to read."""
        if not self._reader.is_open:
            cursor = self._reader.open()
            self._ingest.resume(cursor.document.get("ingest_since_ms"), cursor.alive_ms)
        if self._is_stuck:
            self._commit()  # first of all, or what is not written yet would grow without end
        now = self._clock.monotonic()
        is_new_second = now - self._second >= SECOND
        if is_new_second:
            self._second = now
            self._look_around()
        count = self._consume() if self._is_restored else 0
        if is_new_second and self._is_restored:
            if not count:
                self._conditions += self._intake.collect_changes(self._clock.now_ms())
            self._judge_silence()
        if self._conditions or is_new_second or self._until_due() <= 0:
            self._commit()
        return count == 0

    def _look_around(self) -> None:
        """Take over what has changed in rules and registry."""
        self._follow_clock()
        news = self._directory.turn()
        rules = self._rules.turn()
        if rules is not None:
            self._conditions += self._now(self._evaluator.reload(rules))
            self._conditions += self._liveness.reload(rules)
            self._are_orphans_possible = True
        if not self._is_restored and self._rules.rules is not None:
            self._restore()
        self._notices += self._rules.report(self._reader.cursor.document)
        for server_id in news.relabelled:
            self._evaluator.relabel(server_id)
        for server_id, reason in news.ended.items():
            self._conditions += self._now(self._evaluator.forget(server_id, reason))
            self._intake.forget(server_id)
            self._ended.add(server_id)
        if news.relabelled or news.ended:
            self._are_orphans_possible = True

    def _follow_clock(self) -> None:
        """Note that the clock was set: what waits for a time beyond now must not wait for that."""
        step_ms = self._clock_steps.turn()
        if not step_ms:
            return
        self._is_clock_set = True
        document = self._reader.cursor.document
        document["clock_steps"] = document.get("clock_steps", 0) + 1
        way = "forward" if step_ms > 0 else "back"
        text = (
            f"The clock of this server was set {way} by {span(abs(step_ms))}, or the machine "
            "slept. Alerts go on; times of messages and samples before may be wrong by that."
        )
        log.warning("%s", text)
        if abs(step_ms) >= NOTICED_STEP_MS:
            self._notices.append(text)

    def _now(self, ends: Iterable[Condition]) -> list[Condition]:
        """Return what a person ended: it is over now, not at the time of the last sample."""
        now_ms = self._clock.now_ms()
        return [
            replace(one, at_ms=max(one.at_ms, now_ms)) if one.reason in BY_PEOPLE else one
            for one in ends
        ]

    def _consume(self) -> int:
        """Read entries and evaluate them; return how many there were."""
        entries = self._reader.read()
        if entries:
            self._intake.take(entries)
            self._conditions += self._intake.collect_changes(self._clock.now_ms())
        return len(entries)

    def _restore(self) -> None:
        """Take over what evaluation remembered; needs the rules it was made with, or newer ones."""
        with reading(self._database) as session:
            remembered = load_progress(session)
        waiting: set[int] = set()
        for one in remembered:
            if self._directory.standing(one.server_id) is None:
                waiting.update(self._intake.restore(one))
            else:
                self._ended.add(one.server_id)
        self._intake.repeat(self._reader.again(waiting))
        self._is_restored = True
        log.info(
            "evaluating after entry %d, %d servers remembered",
            self._reader.cursor.position,
            len({one.server_id for one in remembered}),
        )

    def _judge_silence(self) -> None:
        """Let liveness find who is silent."""
        self._ingest.turn()
        self._reader.cursor.document["ingest_since_ms"] = self._ingest.since_ms
        ingest = self._ingest.state(is_caught_up=self._reader.lag() <= BEHIND_SECONDS)
        try:
            found = self._liveness.turn(self._clock.now_ms(), self._directory.servers, ingest)
        except Exception as error:  # noqa: BLE001 - alerts from samples go on
            self._intake.fault("liveness", "silence was not judged", error)
            return
        self._conditions += found

    def _commit(self) -> None:
        """Write all that is not written yet, in one transaction; then wake who waits for it."""
        self._is_stuck = True
        now_ms, now = self._clock.now_ms(), self._clock.monotonic()
        is_tending = now - self._tended >= retention.SECONDS
        is_refreshing = now - self._refreshed >= REFRESH_SECONDS
        cursor = self._reader.cursor
        if abs(now_ms - cursor.alive_ms) >= ALIVE_MS:
            cursor.alive_ms = now_ms
        cursor.document["faults"] = dict(self._intake.faults)
        self._notices += self._reader.notices()
        outcome = self._recorder.commit(
            TurnBatch(
                cursor=cursor,
                context=alert_store.AlertContext(
                    rules=self._rules.rules or _NO_RULES,
                    name=self._directory.name,
                    labels=self._directory.labels,
                    standing=self._directory.standing,
                    processes=self._intake.processes,
                    names=self._intake.names,
                    now_ms=now_ms,
                    current=self._evaluator.current,
                ),
                conditions=self._conditions,
                progress=self._intake.dump(),
                ended=self._ended,
                conflicts=self._intake.conflicts,
                notices=self._notices,
                are_orphans_possible=self._are_orphans_possible,
                is_tending=is_tending,
                is_clock_set=self._is_clock_set,
                is_refreshing=is_refreshing,
            )
        )
        self._due_ms = None
        if outcome.turn is not None:
            if outcome.turn.has_queued or self._notices:
                self._wake()
            self._notices = []
            self._due_ms = outcome.turn.next_ms
        self._is_stuck = self._are_orphans_possible = self._is_clock_set = False
        self._conditions, self._ended = [], set()
        self._intake.saved()
        self._committed = now
        if is_tending:
            self._tended = now
        if is_refreshing:
            self._refreshed = now
        self._reader.release(self._intake.oldest_waiting())
        self._measure(outcome.points, now_ms)

    def _measure(self, points: Sequence[StorePoint], now_ms: int) -> None:
        """Have the store keep the transitions; without them only dashboards lack something."""
        if not points:
            return
        try:
            self._journal.append(encode_internal(points), INTERNAL, now_ms)
        except HostpulseError as error:
            log.warning("%d transitions are missing in the store: %s", len(points), error)

    def _rest(self) -> None:
        """Wait for an entry, at most until the next second."""
        seconds = self._second + SECOND - self._clock.monotonic()
        seconds = min(self._idle_seconds, seconds, self._until_due())
        if seconds <= 0:
            return
        if self._is_restored:
            self._reader.wait(seconds)
        else:
            self._stop.wait(seconds)

    def _until_due(self) -> float:
        """Return the seconds until the dispatcher asked for a turn; at most twenty a second."""
        if self._due_ms is None:
            return float("inf")
        due = (self._due_ms - self._clock.now_ms()) / 1000
        return max(due, self._committed + LEAST_SECONDS - self._clock.monotonic())

    def _complain(self, error: Exception) -> None:
        """Log each new fault once."""
        seconds = self._backoff.failed(self._clock.monotonic())
        if str(error) != self._trouble:
            log.error("alerts wait %.1f s and try again; nothing is lost: %s", seconds, error)
        self._trouble = str(error)
