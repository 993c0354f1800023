"""The loop that carries entries from the journal through the rules into the state database.

Conditions, what evaluation remembers, the cursor and the outbox are committed in one transaction; a
crash before it repeats work, and one after it repeats nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hostpulse_server.alerts.engine import ledger, tending
from hostpulse_server.alerts.engine.intake import LIVENESS, Intake
from hostpulse_server.alerts.engine.progress import Cursor, load_cursor, load_progress
from hostpulse_server.alerts.engine.recorder import Batch, Recorder
from hostpulse_server.alerts.evaluator import Evaluator
from hostpulse_server.alerts.rules import RuleSet
from hostpulse_server.errors import HostpulseError, JournalUnavailableError, StateUnavailableError
from hostpulse_server.shipper.backoff import Backoff
from hostpulse_server.shipper.records import INTERNAL, encode_internal
from hostpulse_server.state import reading

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine as Database

    from hostpulse_server.alerts.dispatch import Dispatcher
    from hostpulse_server.alerts.engine.ingest_watch import IngestWatch
    from hostpulse_server.alerts.engine.roster import Ended, Roster
    from hostpulse_server.alerts.engine.rules_watch import RulesWatch
    from hostpulse_server.alerts.liveness import Liveness
    from hostpulse_server.alerts.model import Condition
    from hostpulse_server.clock import Clock
    from hostpulse_server.journal import Entry, Journal
    from hostpulse_server.store.base import StorePoint

CONSUMER = "alerts"
READ_ENTRIES = 200
READ_BYTES = 2**20
# timers, acknowledgements and silences are looked at this often, and progress is written
SECOND = 1.0
ALIVE_MS = 5_000
# how old an entry may be that is not read yet, for silence to be judged
BEHIND_SECONDS = 5.0
SHOWN_FAULTS = 5
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
        roster: Roster,
        rules: RulesWatch,
        liveness: Liveness,
        ingest: IngestWatch,
        dispatcher: Dispatcher,
        clock: Clock,
        stop: threading.Event,
        wake: Callable[[], None] = lambda: None,
        beat: Callable[[], None] = lambda: None,
        idle_seconds: float = SECOND,
    ) -> None:
        self._journal = journal
        self._database = database
        self._roster = roster
        self._rules = rules
        self._liveness = liveness
        self._ingest = ingest
        self._clock = clock
        self._stop = stop
        self._wake = wake
        self._beat = beat
        self._idle_seconds = idle_seconds
        self._evaluator = Evaluator(_NO_RULES, roster.labels)
        self._intake = Intake(self._evaluator, liveness, roster)
        self._recorder = Recorder(database, dispatcher)
        self._cursor = Cursor()
        self._conditions: list[Condition] = []
        self._notices: list[str] = []
        self._ended: dict[str, Ended] = {}
        self._has_new_rules = False
        self._is_restored = False
        self._is_open = False
        self._is_new_journal = False
        self._hinted = -1
        self._hinted_at = float("-inf")
        self._is_stuck = False
        self._second = float("-inf")
        self._tended = clock.monotonic()
        self._backoff = Backoff(MAX_BACKOFF_SECONDS)
        self._trouble = ""

    def run(self) -> None:
        """Evaluate until the stop event is set; what is not evaluated stays in the journal."""
        while not self._stop.is_set():
            self.turn()

    @property
    def is_well(self) -> bool:
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
        if not self._is_open:
            self._open()
        if self._is_stuck:
            self._commit()  # first of all, or what is not written yet would grow without end
        now = self._clock.monotonic()
        is_new_second = now - self._second >= SECOND
        if is_new_second:
            self._second = now
            self._look_around()
        count = self._consume() if self._is_restored else 0
        if is_new_second and self._is_restored:
            self._judge_silence()
        if self._conditions or is_new_second:
            self._commit()
        return count == 0

    def _look_around(self) -> None:
        """Take over what has changed in rules and registry."""
        news = self._roster.turn()
        rules = self._rules.turn()
        if rules is not None:
            self._conditions += self._evaluator.reload(rules)
            self._conditions += self._liveness.reload(rules)
            if not self._is_restored:
                self._restore()
            self._has_new_rules = True
        self._tell_fault()
        for server_id in news.relabelled:
            self._evaluator.relabel(server_id)
            self._has_new_rules = True
        for server_id, reason in news.ended.items():
            self._conditions += self._evaluator.forget(server_id, reason)
            self._intake.forget(server_id)
            self._ended[server_id] = reason

    def _tell_fault(self) -> None:
        """Write down what is wrong with the rules files; tell people once until it is mended."""
        document, fault = self._cursor.document, self._rules.fault
        if fault and not document.get("rules_fault"):
            self._notices.append(_about_rules(fault, has_others=self._rules.rules is not None))
        document["rules_fault"] = fault
        document["rules"] = len(self._rules.rules.rules) if self._rules.rules else 0

    def _open(self) -> None:
        """Find where to go on: behind the cursor, or at the oldest entry of a journal unknown."""
        with reading(self._database) as session:
            cursor = load_cursor(session) or Cursor()
        self._ingest.resume(cursor.document.get("ingest_since_ms"), cursor.alive_ms)
        last_id = self._journal.last_id()
        self._is_new_journal = cursor.epoch != self._journal.epoch or cursor.position > last_id
        if self._is_new_journal:
            if cursor.epoch:
                log.warning("the journal is another one, evaluation begins at its oldest entry")
            cursor.epoch, cursor.position = self._journal.epoch, 0
        self._cursor = cursor
        self._is_open = True

    def _restore(self) -> None:
        """Take over what evaluation remembered; needs the rules it was made with, or newer ones."""
        with reading(self._database) as session:
            remembered = load_progress(session)
        for one in remembered:
            standing = self._roster.standing(one.server_id)
            if standing is not None:
                self._ended[one.server_id] = standing
                continue
            part = self._liveness if one.origin == LIVENESS else self._evaluator
            part.restore(one.server_id, one.origin, one.time_ms, one.document)
        self._is_restored = True
        log.info(
            "evaluating after entry %d, %d servers remembered",
            self._cursor.position,
            len({one.server_id for one in remembered}),
        )

    def _consume(self) -> int:
        """Read entries and evaluate them; return how many there were."""
        entries = self._read()
        if not entries:
            last_id = self._journal.last_id()
            if last_id <= self._cursor.position:
                return 0
            entries = self._read()  # it may have come since
            if not entries:
                self._note_gap(last_id + 1)
                return 0
        self._note_gap(entries[0].id)
        self._intake.take(entries)
        self._cursor.position = entries[-1].id
        self._conditions += self._intake.settle(self._clock.now_ms())
        return len(entries)

    def _read(self) -> Sequence[Entry]:
        return self._journal.read(self._cursor.position, READ_ENTRIES, READ_BYTES)

    def _note_gap(self, upcoming: int) -> None:
        """Count what is missing before the entry that comes next, and tell people."""
        missed = upcoming - self._cursor.position - 1
        self._cursor.position = upcoming - 1
        is_first, self._is_new_journal = self._is_new_journal, False
        if missed == 0 or is_first:
            return
        self._cursor.skipped += missed
        text = (
            f"{missed} entries of the journal were dropped before the alert engine had read them: "
            "it was away or behind for more than an hour. What happened meanwhile raised no alert."
        )
        log.error("%s", text)
        self._notices.append(text)

    def _judge_silence(self) -> None:
        """Let liveness find who is silent."""
        self._ingest.turn()
        self._cursor.document["ingest_since_ms"] = self._ingest.since_ms
        lag = self._journal.waiting_seconds(self._cursor.position)
        ingest = self._ingest.state(is_caught_up=lag <= BEHIND_SECONDS)
        try:
            found = self._liveness.turn(self._clock.now_ms(), self._roster.servers, ingest)
        except Exception as error:  # noqa: BLE001 - what samples say is told all the same
            self._intake.fault("liveness", "silence was not judged", error)
            return
        self._conditions += found

    def _commit(self) -> None:
        """Write all that is not written yet, in one transaction; then wake who waits for it."""
        self._is_stuck = True
        now_ms, now = self._clock.now_ms(), self._clock.monotonic()
        is_tending = now - self._tended >= tending.SECONDS
        if now_ms - self._cursor.alive_ms >= ALIVE_MS:
            self._cursor.alive_ms = now_ms
        self._cursor.document["faults"] = dict(self._intake.faults)
        outcome = self._recorder.commit(
            Batch(
                cursor=self._cursor,
                context=ledger.Context(
                    rules=self._rules.rules or _NO_RULES,
                    name=self._roster.name,
                    labels=self._roster.labels,
                    processes=self._intake.processes,
                    now_ms=now_ms,
                ),
                conditions=self._conditions,
                progress=self._intake.dump(),
                ended=self._ended,
                notices=self._notices,
                has_new_rules=self._has_new_rules,
                is_tending=is_tending,
            )
        )
        if outcome.has_queued:
            self._wake()
        self._is_stuck = self._has_new_rules = False
        self._conditions, self._notices, self._ended = [], [], {}
        self._intake.saved()
        if is_tending:
            self._tended = now
        self._release(now)
        self._measure(outcome.points, now_ms)

    def _release(self, now: float) -> None:
        """Let the journal forget what is dealt with."""
        position = self._cursor.position
        if position != self._hinted and now - self._hinted_at >= SECOND:
            self._journal.hint(CONSUMER, position)
            self._hinted, self._hinted_at = position, now

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
        seconds = min(self._idle_seconds, self._second + SECOND - self._clock.monotonic())
        if seconds <= 0:
            return
        if self._is_restored:
            self._journal.wait(self._cursor.position, seconds)
        else:
            self._stop.wait(seconds)

    def _complain(self, error: Exception) -> None:
        """Log each new trouble once."""
        seconds = self._backoff.failed(self._clock.monotonic())
        if str(error) != self._trouble:
            log.error("alerts wait %.1f s and try again; nothing is lost: %s", seconds, error)
        self._trouble = str(error)


def _about_rules(fault: str, *, has_others: bool) -> str:
    faults = fault.splitlines()
    shown = "\n".join(faults[:SHOWN_FAULTS])
    more = f"\nand {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
    stay = "those read before stay in force" if has_others else "nothing is evaluated"
    return f"The rules files are wrong, {stay} until they are mended:\n{shown}{more}"
