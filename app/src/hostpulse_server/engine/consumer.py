"""Turns journal entries into conditions: each entry is read once and handed to its evaluators."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from hostpulse_server.engine import host_names, transitions
from hostpulse_server.engine.checkpoint import OriginProgress
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.journal.records import INTERNAL, REFUSED, SAMPLES, SamplesRecord
from hostpulse_server.values.server_metrics import INTERVAL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.engine.server_directory import ServerDirectory
    from hostpulse_server.evaluation.evaluator import Evaluator
    from hostpulse_server.journal import Entry
    from hostpulse_server.liveness import LivenessMonitor
    from hostpulse_server.values.alert import Condition

LIVENESS = "liveness"
FRESH_MS = 120_000
FRESH_INTERVALS = 6
_INTERNAL_MS = int(INTERVAL_SECONDS * 1000)
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

log = logging.getLogger(__name__)


class EntryConsumer:
    """Feeds evaluation and liveness, and knows which servers that has touched.

    What one entry or one server does wrong costs itself: ``faults`` counts it by kind.
    """

    def __init__(
        self, evaluator: Evaluator, liveness: LivenessMonitor, directory: ServerDirectory
    ) -> None:
        self._evaluator = evaluator
        self._liveness = liveness
        self._directory = directory
        # (server, origin) → the newest sample that was taken
        self._newest: dict[tuple[str, str], Sample] = {}
        self._touched: dict[str, None] = {}  # in the order of their samples
        # origins whose changes were not collected, because the samples were old by then
        self._uncollected: defaultdict[str, set[str]] = defaultdict(set)
        self._processes: dict[str, dict[int, Sequence[Mapping[str, Any]]]] = {}
        self._names: dict[str, dict[str, list[str]]] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._said: set[tuple[str, str]] = set()
        self.faults: Counter[str] = Counter()
        # servers as which two machines reported since the last commit
        self.conflicts: set[str] = set()

    def take(self, entries: Iterable[Entry]) -> None:
        """Dispatch entries to what evaluates them; a faulty entry is no error to the caller."""
        for entry in entries:
            try:
                self._take(entry)
            except _UNREADABLE as error:
                self.fault("undecodable", f"entry {entry.id}", error)

    def collect_changes(self, now_ms: int) -> list[Condition]:
        """Return what has changed for the servers touched since the last call."""
        conditions: list[Condition] = []
        for server_id, origin in self._evaluator.expire(now_ms):
            self._touched[server_id] = None  # time alone may pass over a gap
            self._dirty.add((server_id, origin))
        for server_id, _ in self._evaluator.waiting():
            self._touched.setdefault(server_id)
        for server_id in self._touched:
            origins = self._uncollected[server_id]
            known = origins or {
                origin for origin in (SAMPLES, INTERNAL) if (server_id, origin) in self._newest
            }
            is_fresh = bool(known) and all(
                self._is_fresh(server_id, origin, now_ms) for origin in known
            )
            try:
                conditions += self._evaluator.collect_changes(server_id, now_ms, is_fresh=is_fresh)
            except Exception as error:  # noqa: BLE001 - the other servers must go on
                self.fault("evaluation", server_id, error)
            if is_fresh:
                del self._uncollected[server_id]
        self._touched.clear()
        return conditions

    def processes(self, server_id: str, time_ms: int) -> Sequence[Mapping[str, Any]]:
        """Return the heaviest processes of a sample, or of the newest if that one is gone."""
        known = self._processes.get(server_id)
        if not known:
            return ()
        return known.get(time_ms) or known[max(known)]

    def names(self, server_id: str) -> Mapping[str, Sequence[str]] | None:
        """Return the names of what ails there, by kind; ``None`` if they are not known."""
        return self._names.get(server_id)

    def dump(self) -> list[OriginProgress]:
        """Return what is remembered of those that have changed since ``saved``."""
        for server_id in self._liveness.changed():
            if self._directory.standing(server_id) is None:
                self._dirty.add((server_id, LIVENESS))
        found = []
        for server_id, origin in sorted(self._dirty):
            part = self._liveness if origin == LIVENESS else self._evaluator
            try:
                time_ms, document = part.dump(server_id, origin)
            except Exception as error:  # noqa: BLE001 - as above
                self.fault("evaluation", server_id, error)
                continue
            if origin == SAMPLES and self._names.get(server_id):
                # beside the evaluator's own keys: a release that knows no names passes over it
                document = {**document, "names": self._names[server_id]}
            found.append(OriginProgress(server_id, origin, time_ms, document))
        return found

    def saved(self) -> None:
        """Note that the last dump is on disk; drop the processes of samples before the newest."""
        for server_id, _ in self._dirty:
            known = self._processes.get(server_id, {})
            for time_ms in sorted(known)[:-1]:
                del known[time_ms]
        self._dirty.clear()
        self.conflicts.clear()

    def restore(self, remembered: OriginProgress) -> Sequence[int]:
        """Take over what was dumped; one that cannot be read costs that server its memory.

        Return the entries with samples that waited for others, which are to be ``repeated``.
        """
        try:
            if remembered.origin == LIVENESS:
                self._liveness.restore(*remembered)
                return ()
            if remembered.origin == SAMPLES:
                self._take_names(remembered.server_id, remembered.document)
            return self._evaluator.restore(*remembered)
        except Exception as error:  # noqa: BLE001 - as above
            self.fault("evaluation", remembered.server_id, error)
            return ()

    def repeat(self, entries: Iterable[Entry]) -> None:
        """Take samples of entries again, of which others were evaluated before a restart."""
        for entry in entries:
            try:
                if entry.kind == SAMPLES:
                    record = SamplesRecord.decode(entry)
                    if self._directory.counts(record.server_id):
                        self._add_samples(record, entry.id)
            except _UNREADABLE as error:
                self.fault("undecodable", f"entry {entry.id}", error)

    def oldest_waiting(self) -> int | None:
        """Return the oldest entry with a sample that waits for others, ``None`` without one."""
        return self._evaluator.oldest_waiting()

    def forget(self, server_id: str) -> None:
        """Forget a server."""
        self._processes.pop(server_id, None)
        self._names.pop(server_id, None)
        self._uncollected.pop(server_id, None)
        self._touched.pop(server_id, None)
        for origin in (SAMPLES, INTERNAL, LIVENESS):
            self._newest.pop((server_id, origin), None)
            self._dirty.discard((server_id, origin))

    def _take(self, entry: Entry) -> None:
        if entry.kind == SAMPLES:
            self._take_samples(entry)
        elif entry.kind == INTERNAL:
            self._take_internal(entry)
        elif entry.kind == REFUSED:
            document = json.loads(entry.body)
            server_id = document["server_id"]
            if self._directory.counts(server_id):
                self._liveness.refused(server_id, document["reason"], entry.received_ms)
        else:
            raise ValueError(f"unknown kind {entry.kind!r}")

    def _take_samples(self, entry: Entry) -> None:
        record = SamplesRecord.decode(entry)
        server_id = record.server_id
        if not self._directory.counts(server_id):
            return
        if record.ext or record.facts is not None:
            self._take_names(server_id, record.ext or {}, is_whole=record.facts is not None)
        self._add_samples(record, entry.id)
        if record.samples:
            interval_ms = int(record.samples[-1]["interval_ms"])
            self._liveness.seen(server_id, entry.received_ms, interval_ms)
        for event in record.events:
            self._liveness.event(
                server_id, event["kind"], event.get("reason", ""), entry.received_ms
            )
        if not record.samples and not record.events:
            # facts alone are evidence that the host is up, too
            self._liveness.event(server_id, "facts", "", entry.received_ms)

    def _take_names(
        self, server_id: str, ext: Mapping[str, Any], *, is_whole: bool = False
    ) -> None:
        """Keep names; ``is_whole``: an agent that knows any would have sent them."""
        names = host_names.read(ext)
        before = self._names.get(server_id)
        if names is not None:
            self._names[server_id] = names
        elif is_whole:
            self._names.pop(server_id, None)
        if self._names.get(server_id) != before and (server_id, SAMPLES) in self._newest:
            self._dirty.add((server_id, SAMPLES))

    def _add_samples(self, record: SamplesRecord, entry_id: int) -> None:
        mono_ms: int | None
        for sample in record.samples:
            mono_ms = sample.get("mono_ms")
            taken = Sample(
                time_ms=int(sample["time"]),
                interval_ms=int(sample["interval_ms"]),
                points=sample["points"],
                stream=record.agent["stream"],
                seq=int(sample["seq"]),
                mono_ms=None if mono_ms is None else int(mono_ms),
                received_ms=record.received_ms,
                entry_id=entry_id,
            )
            is_new = self._add(record.server_id, SAMPLES, taken)
            if is_new and sample.get("processes"):
                known = self._processes.setdefault(record.server_id, {})
                known[taken.time_ms] = sample["processes"]

    def _take_internal(self, entry: Entry) -> None:
        samples: defaultdict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
        for point in json.loads(entry.body)["points"]:
            # measurements of alerts must not raise alerts
            if point["measurement"] != transitions.MEASUREMENT:
                samples[point["server_id"], int(point["time"])].append(point)
        for (server_id, time_ms), points in sorted(samples.items()):
            if self._directory.counts(server_id):
                self._add(server_id, INTERNAL, Sample(time_ms, _INTERNAL_MS, points))

    def _add(self, server_id: str, origin: str, sample: Sample) -> bool:
        try:
            is_new = self._evaluator.add(server_id, origin, sample)
        except Exception as error:  # noqa: BLE001 - a server must not stop the others
            self.fault("evaluation", server_id, error)
            return False
        if self._evaluator.is_in_conflict(server_id, origin):
            self.conflicts.add(server_id)
        if is_new:
            newest = self._newest.get((server_id, origin))
            is_newer = (
                newest is None
                or newest.stream != sample.stream
                or newest.seq <= sample.seq
                or newest.time_ms < sample.time_ms
            )
            if is_newer:
                self._newest[server_id, origin] = sample
            self._touched[server_id] = None
            self._uncollected[server_id].add(origin)
            self._dirty.add((server_id, origin))
        return is_new

    def _is_fresh(self, server_id: str, origin: str, now_ms: int) -> bool:
        newest = self._newest[server_id, origin]
        return now_ms - newest.time_ms <= max(FRESH_MS, FRESH_INTERVALS * newest.interval_ms)

    def fault(self, kind: str, what: str, error: Exception) -> None:
        """Count what went wrong; log each server's, and each way to be unreadable, once."""
        self.faults[kind] += 1
        said = (kind, type(error).__name__ if kind == "undecodable" else what)
        if said not in self._said:
            self._said.add(said)
            log.error("%s: %s, skipped: %r", kind, what, error, exc_info=error)
