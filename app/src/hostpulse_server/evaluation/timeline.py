"""The samples of one host in the order in which they were taken, whatever the order they come in.

Samples of an agent are numbered. As long as none is missing, each is evaluated for good as it
comes. Behind a gap, what is known for certain is reported at once: a copy of the state goes on
from the samples that are there, and takes nothing for granted that those of the gap may have
ended. When the gap closes, evaluation goes on from before it through all that waits. A gap that
does not close in time is passed over, as the rules say of gaps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hostpulse_server.evaluation.accounting import Accounts
from hostpulse_server.evaluation.history import Reporter, after
from hostpulse_server.evaluation.host_state import EvaluatedHost
from hostpulse_server.values.alert import CurrentValue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule, Point
    from hostpulse_server.evaluation.state_machine import LastReported, Transition
    from hostpulse_server.values.alert import Condition, Reason
    from hostpulse_server.values.points import Tags

    Compiled = Callable[[Sequence[Point]], CompiledLayout]

# how long a gap may stay open while newer samples come and none that fills one; or six intervals
WAIT_MS: Final = 60_000
WAIT_INTERVALS: Final = 6
OPEN_MS: Final = 1_800_000  # whatever comes, and well within what the journal keeps
MOST_PENDING: Final = 1000  # samples of a host, as many as a spool holds
MOST_LEFT: Final = 8  # streams that are remembered as left
CONFLICT_RETURNS: Final = 3
# while only one of two streams is seen, before the other is taken for left and this one evaluated
CONFLICT_OVER_MS: Final = 900_000
# numbers further apart are no gap: more than a spool holds, whatever the interval
MOST_JUMP: Final = 100_000
LATELY: Final = 16
RENUMBERED: Final = 3  # samples in a row that say so
# what is pending is evaluated again at most so often, a sample of it: a host may not hold up others
AGAIN_MS: Final = 10
STEP_MS: Final = 1000  # by how much two clocks of a host may differ over an interval


class Sample(NamedTuple):
    """A sample as it arrived: ``received_ms`` is the server's time, and ``entry_id`` the journal's.

    ``points`` are as agents send them, checked: ``measurement``, ``fields``, maybe ``tags``.
    Without a ``stream`` there are no numbers, and the order is that of arrival.
    """

    time_ms: int
    interval_ms: int
    points: Sequence[Mapping[str, Any]]
    stream: str = ""
    seq: int = 0
    mono_ms: int | None = None
    received_ms: int = 0
    entry_id: int = 0


class SamplePosition(NamedTuple):
    """The last sample that was evaluated for good; ``base`` + ``seq`` grows over all streams."""

    stream: str | None = None
    seq: int = 0
    mono_ms: int | None = None
    base: int = 0


@dataclass(slots=True)
class StreamConflict:
    """How often streams that were left have returned; in a conflict, ``stream`` was seen last.

    ``alone_ms`` is since when no other was, on a clock that goes while samples come; ``seen_ms``
    is the server's time of the last sample.
    """

    returns: int = 0
    stream: str = ""
    alone_ms: int = 0
    seen_ms: int = 0

    @property
    def is_on(self) -> bool:
        """Whether two streams alternate."""
        return self.returns >= CONFLICT_RETURNS

    def see(self, sample: Sample) -> bool:
        """Take a sample in a conflict; return whether only its stream has been seen for long."""
        passed_ms = max(0, sample.received_ms - (self.seen_ms or sample.received_ms))
        self.seen_ms = sample.received_ms
        if sample.stream != self.stream:
            self.stream, self.alone_ms = sample.stream, 0
        self.alone_ms += min(passed_ms, 2 * sample.interval_ms)
        return self.alone_ms >= CONFLICT_OVER_MS


class HostTimeline:
    """One host's samples of one origin; ``confirmed`` has seen all up to ``position``."""

    __slots__ = (
        "_arrived",
        "_base",
        "_clock_ms",
        "_copied_ms",
        "_emitted",
        "_filled_ms",
        "_lately",
        "_provisional",
        "_provisional_position",
        "_received_ms",
        "_strange",
        "accounts",
        "confirmed",
        "conflict",
        "left",
        "pending",
        "position",
        "reported",
    )

    def __init__(self) -> None:
        self.confirmed = EvaluatedHost()
        self.accounts = Accounts()
        self.position = SamplePosition()
        self.pending: dict[int, Sample] = {}
        self.left: list[str] = []
        self.reported: dict[CompiledRule, LastReported] = {}
        self._provisional: EvaluatedHost | None = None
        self._provisional_position = SamplePosition()
        # what was reported of the copy, and what fired before that
        self._emitted: dict[CompiledRule, list[Transition]] = {}
        self._base: dict[CompiledRule, LastReported] = {}
        self.conflict = StreamConflict()
        self._copied_ms = 0
        # a clock that goes while samples come: a host that is silent is no reason to give up what
        # it may still have; when each pending one came, and the last that others had overtaken
        self._clock_ms = self._received_ms = self._filled_ms = 0
        self._arrived: dict[int, int] = {}
        # the last ones, which may be sent again after a clock was set back
        self._lately: deque[tuple[int, int]] = deque(maxlen=LATELY)
        self._strange = (0, 0)  # the last number that does not fit, and how many in a row

    @property
    def time_ms(self) -> int:
        """The time of the newest sample that was evaluated, -1 before the first."""
        return (self._provisional or self.confirmed).time_ms

    @property
    def has_changes(self) -> bool:
        """Whether ``collect_changes`` may return something."""
        if self.pending or self._emitted:
            return True
        return bool(self.confirmed.active.changed or self.confirmed.active.transitions)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing but windows and trends is remembered, and nothing left to report."""
        return not (self.has_changes or self.reported) and self.confirmed.is_at_rest

    def add(self, sample: Sample, compiled: Compiled) -> bool:
        """Take a sample; return False for one that is known or that comes too late."""
        if not sample.stream:
            return self._add_next(sample, compiled)
        if sample.stream != self.position.stream and not self._turn_to(sample, compiled):
            return False
        if self.conflict.is_on and not self._is_over(sample):
            return self._add_in_conflict(sample, compiled)
        if self._is_strange(sample) and not self._is_renumbered(sample, compiled):
            self.accounts.of(sample.stream).leave_out("renumbered")
            return False
        if sample.seq <= self.position.seq or sample.seq in self.pending:
            self.accounts.of(sample.stream).come_late(sample.seq)
            return False
        if sample.seq == self.position.seq + 1 and not self.pending:
            self._confirm(sample, compiled)
        else:
            self._wait(sample, compiled)
        return True

    def expire(self, now_ms: int, compiled: Compiled) -> bool:
        """Pass over the gaps that have been open for too long; return whether there were any."""
        is_passed = False
        while self.pending:
            first = min(self.pending)
            interval_ms = self.pending[first].interval_ms
            noticed_ms = min(self._arrived[seq] for seq in self.pending)
            waited_ms = self._clock_ms - max(noticed_ms, self._filled_ms)
            open_ms = now_ms - min(one.received_ms for one in self.pending.values())
            is_due = waited_ms >= max(WAIT_MS, WAIT_INTERVALS * interval_ms) or open_ms >= OPEN_MS
            if not (is_due or len(self.pending) > MOST_PENDING):
                break
            self._advance(first, compiled)
            is_passed = True
        return is_passed

    def collect_changes(self, server_id: str, now_ms: int, compiled: Compiled) -> list[Condition]:
        """Return what is new since the last call, oldest first for each alert."""
        if self.pending and self._provisional is None:
            if abs(now_ms - self._copied_ms) < AGAIN_MS * len(self.pending):
                return []  # a later call returns it
            self._copied_ms = now_ms
        confirmed = self.confirmed.active
        visible = self._visible(compiled)
        unconfirmed = {} if visible is self.confirmed else visible.active.transitions
        changed = {
            *confirmed.transitions,
            *confirmed.changed,
            *unconfirmed,
            *self._emitted,
            *visible.active.changed,
        }
        found: list[Condition] = []
        for compiled_rule in sorted(changed, key=lambda one: (one.rule.name, one.tags)):
            final = confirmed.transitions.get(compiled_rule, [])
            guessed = unconfirmed.get(compiled_rule, [])
            found += self._collect(server_id, compiled_rule, visible, final, guessed)
        confirmed.transitions = {}
        confirmed.changed.clear()
        visible.active.changed.clear()
        return found

    def ends(
        self, server_id: str, compiled_rules: Sequence[CompiledRule], reason: Reason
    ) -> list[Condition]:
        """Return the ends of what was reported of some compiled_rules, at the newest sample."""
        return [
            Reporter(server_id, compiled_rule).ended(
                self.reported[compiled_rule], self.time_ms, reason
            )
            for compiled_rule in compiled_rules
            if compiled_rule in self.reported
        ]

    def current(self, rule: str, tags: Tags) -> CurrentValue | None:
        """Return how a reported alert stands, ``None`` if nothing is known of it."""
        host = self._provisional or self.confirmed
        for compiled_rule in self.reported:
            machine = host.active.machines.get(compiled_rule)
            is_it = (compiled_rule.rule.name, compiled_rule.tags) == (rule, tags)
            if is_it and machine is not None and not compiled_rule.is_absent:
                value = float(machine.value)
                worst = host.active.worst.get(compiled_rule, value)
                return CurrentValue(value, worst, host.trend(compiled_rule))
        return None

    def is_concerned(self, names: Collection[str], measurements: Collection[str]) -> bool:
        """Return whether other rules of these names, on these measurements, change anything."""
        return self.confirmed.has_any(measurements) or any(
            compiled_rule.rule.name in names for compiled_rule in self._known()
        )

    def _known(self) -> set[CompiledRule]:
        return {*self.confirmed.compiled_rules(), *self.reported, *self._emitted, *self._base}

    def adopt(
        self, server_id: str, successor: Callable[[CompiledRule], CompiledRule | Reason]
    ) -> list[Condition]:
        """Go on under other rules; return the ends of conditions whose rule is gone."""
        others: dict[CompiledRule, CompiledRule] = {}
        gone: list[tuple[CompiledRule, Reason]] = []
        for compiled_rule in self._known():
            other = successor(compiled_rule)
            if isinstance(other, str):
                gone.append((compiled_rule, other))
            else:
                others[compiled_rule] = other
        gone.sort(key=lambda one: (one[0].rule.name, one[0].tags))
        found = [end for one, reason in gone for end in self.ends(server_id, [one], reason)]
        self._provisional = None
        self.confirmed.replace(others)
        self.reported = {others[one]: it for one, it in self.reported.items() if one in others}
        self._emitted = {others[one]: it for one, it in self._emitted.items() if one in others}
        self._base = {others[one]: it for one, it in self._base.items() if one in others}
        return found

    def emitted(
        self,
    ) -> tuple[dict[CompiledRule, list[Transition]], dict[CompiledRule, LastReported]]:
        """Return the transitions reported that are not final, and what fired before those."""
        return self._emitted, self._base

    @property
    def gap(self) -> dict[str, Any]:
        """What a restart must not lose of gaps that are open."""
        arrived = [(seq, self._arrived[seq]) for seq in sorted(self.pending)]
        return {
            "clock": self._clock_ms,
            "received": self._received_ms,
            "filled": self._filled_ms,
            "arrived": arrived,
        }

    @property
    def ahead(self) -> list[tuple[int, int]]:
        """The last samples whose times are later than the last one's: the clock was set back."""
        return [one for one in self._lately if one[1] > self.confirmed.time_ms]

    def recall(self, ahead: Iterable[Sequence[int]]) -> None:
        """Take over what was ``ahead``."""
        self._lately.extend((seq, time_ms) for seq, time_ms in ahead)

    def resume(
        self,
        position: SamplePosition,
        left: Sequence[str],
        emitted: dict[CompiledRule, list[Transition]],
        base: dict[CompiledRule, LastReported],
        gap: Mapping[str, Any],
    ) -> None:
        """Go on where another one was; its pending samples are to be added again."""
        self.position, self.left = position, list(left)
        self._clock_ms, self._filled_ms = gap.get("clock", 0), gap.get("filled", 0)
        self._received_ms = gap.get("received", 0)
        self._arrived = {int(seq): at_ms for seq, at_ms in gap.get("arrived", ())}
        self._emitted, self._base = emitted, base

    def _wait(self, sample: Sample, compiled: Compiled) -> None:
        """Keep a sample that is not the next one, or with which a gap may close."""
        seq = sample.seq
        if seq not in self._arrived:  # else it was there before a restart
            self._note_arrival(sample)
        self.pending[seq] = sample
        if _is_complete(sample):
            while self.pending and self.position.seq < seq:
                self._advance(min(self.pending), compiled)
        elif seq == self.position.seq + 1:
            self._advance(seq, compiled)
        elif self._provisional is not None and seq > self._provisional_position.seq:
            self._guess(sample, compiled)
        # what comes below changes nothing of what is certain, until its gap closes

    def _note_arrival(self, sample: Sample) -> None:
        passed_ms = max(0, sample.received_ms - (self._received_ms or sample.received_ms))
        self._clock_ms += min(passed_ms, 2 * sample.interval_ms)
        self._received_ms = sample.received_ms
        if self.pending and sample.seq < max(self.pending):
            self._filled_ms = self._clock_ms
        self._arrived[sample.seq] = self._clock_ms

    def _is_strange(self, sample: Sample) -> bool:
        """Return whether a number neither goes on, nor is late, nor repeated."""
        if self.position.seq <= 0 and not self.pending:
            return False  # the first of its stream
        if sample.seq <= self.position.seq:
            is_now = abs(sample.received_ms - sample.time_ms) < WAIT_MS
            is_known = (sample.seq, sample.time_ms) in self._lately
            return is_now and not is_known and sample.time_ms > self.time_ms
        return sample.seq - max(self.position.seq, max(self.pending, default=0)) > MOST_JUMP

    def _is_renumbered(self, sample: Sample, compiled: Compiled) -> bool:
        """Return whether a stream goes on with other numbers, and go on with those.

        A machine was put back to a snapshot, or its spool was restored.
        """
        last, count = self._strange
        count = count + 1 if sample.seq == last + 1 else 1
        self._strange = (sample.seq, count)
        if count < RENUMBERED:
            return False
        self._strange = (0, 0)
        self._pass_over(compiled)
        self.accounts.of(sample.stream).renumber()
        before, seq = self.position, sample.seq - 1
        self.position = SamplePosition(before.stream, seq, None, before.base + before.seq - seq)
        return True

    def _add_next(self, sample: Sample, compiled: Compiled) -> bool:
        """Take a sample in the order of arrival; one of the same time came twice."""
        if sample.time_ms == self.confirmed.time_ms:
            return False
        _add_to(self.confirmed, self.position, sample, compiled)
        self._provisional = None
        return True

    def _add_in_conflict(self, sample: Sample, compiled: Compiled) -> bool:
        """Take a sample of either stream that is newer than all: no number says which are."""
        account = self.accounts.of(sample.stream)
        if sample.time_ms <= self.confirmed.time_ms:
            account.leave_out("conflict")
            return False
        account.evaluated += 1
        position = self.position
        self._take(
            sample._replace(stream=position.stream or "", seq=position.seq + 1, mono_ms=None),
            compiled,
        )
        return True

    def _is_over(self, sample: Sample) -> bool:
        """Return whether a conflict is over with a sample, and go on with its stream alone."""
        is_newer = sample.time_ms > self.confirmed.time_ms
        if not (self.conflict.see(sample) and is_newer):
            return False
        before, seq = self.position, sample.seq - 1
        others = {*self.left, before.stream or ""} - {sample.stream}
        self.left = [one for one in (*self.left, before.stream or "") if one in others][-MOST_LEFT:]
        self.position = SamplePosition(sample.stream, seq, None, before.base + before.seq - seq)
        self.accounts.of(sample.stream).renumber()
        self.conflict = StreamConflict()
        return True

    def _turn_to(self, sample: Sample, compiled: Compiled) -> bool:
        """Turn to another stream; return False for a sample of one that was left."""
        before = self.position
        if sample.stream in self.left:
            if sample.time_ms > self.confirmed.time_ms:
                self.conflict.returns += 1
            if self.conflict.is_on:
                self._pass_over(compiled)
                return True
            self.accounts.of(sample.stream).leave_out("stream_left")
            return False
        if before.stream is None and self.confirmed.time_ms >= 0:
            # remembered by a release that knew no numbers: this is the next one
            if sample.time_ms <= self.confirmed.time_ms:
                return False
            self.position = SamplePosition(sample.stream, sample.seq - 1)
            return True
        if before.stream is not None:
            self._pass_over(compiled)
            before = self.position
            self.left = [*self.left, before.stream or ""][-MOST_LEFT:]
        # agents count from 1
        seq = min(sample.seq - 1, 0)
        self.position = SamplePosition(sample.stream, seq, None, before.base + before.seq + 1)
        self.conflict, self._strange = StreamConflict(), (0, 0)
        return True

    def _pass_over(self, compiled: Compiled) -> None:
        """Confirm all that is pending."""
        while self.pending:
            self._advance(min(self.pending), compiled)

    def _confirm(self, sample: Sample, compiled: Compiled) -> None:
        self.accounts.of(sample.stream).judge(sample.seq)
        self._take(sample, compiled)

    def _take(self, sample: Sample, compiled: Compiled) -> None:
        _add_to(self.confirmed, self.position, sample, compiled)
        self.position = self.position._replace(
            stream=sample.stream, seq=sample.seq, mono_ms=sample.mono_ms
        )
        self._provisional = None
        self._lately.append((sample.seq, sample.time_ms))

    def _advance(self, seq: int, compiled: Compiled) -> None:
        """Confirm the pending sample of this number, and all that follow without a gap."""
        while (sample := self.pending.pop(seq, None)) is not None:
            self._arrived.pop(seq, None)
            self._confirm(sample, compiled)
            seq += 1

    def _visible(self, compiled: Compiled) -> EvaluatedHost:
        """Return the state that is reported."""
        if not self.pending:
            return self.confirmed
        if self._provisional is None:
            self._provisional, self._provisional_position = self.confirmed.copy(), self.position
            for seq in sorted(self.pending):
                self._guess(self.pending[seq], compiled)
        return self._provisional

    def _guess(self, sample: Sample, compiled: Compiled) -> None:
        """Let the copy go on, with nothing taken for granted behind a gap."""
        host, position = self._provisional, self._provisional_position
        assert host is not None  # noqa: S101 - the caller made it
        if sample.seq != position.seq + 1:
            host.interrupt()
        _add_to(host, position, sample, compiled)
        self._provisional_position = position._replace(
            stream=sample.stream, seq=sample.seq, mono_ms=sample.mono_ms
        )

    def _collect(
        self,
        server_id: str,
        compiled_rule: CompiledRule,
        visible: EvaluatedHost,
        final: list[Transition],
        guessed: list[Transition],
    ) -> list[Condition]:
        reporter = Reporter(server_id, compiled_rule, visible.trend(compiled_rule))
        reported = self.reported.get(compiled_rule)
        before = self._emitted.pop(compiled_rule, [])
        base = self._base.pop(compiled_rule, None) if before else _firing(reported)
        drops = [one for one in (*final, *guessed) if one.phase == "dropped"]
        truth = _lasting([*final, *guessed])
        if truth[: len(before)] == before:
            found = reporter.added(after(base, before), truth[len(before) :])
        else:
            found = reporter.revised(base, before, truth)
        if guessed := _lasting(guessed):
            self._emitted[compiled_rule] = guessed
            confirmed = after(base, truth[: len(truth) - len(guessed)])
            if confirmed is not None:
                self._base[compiled_rule] = confirmed
        now = after(base, truth)
        machine = visible.active.machines.get(compiled_rule)
        if found:
            found[-1] = self._with_figures(found[-1], compiled_rule, visible)
        if machine is not None and machine.phase == "pending":
            now = machine.standing()
            if now != reported or found:
                found.append(reporter.pending(machine))
        elif reported is not None and reported.phase == "pending" and not found:
            if drops:
                found.append(reporter.ending(reported, drops[-1]))
            else:
                found.append(reporter.ended(reported, visible.time_ms, "cleared"))
        if now is None:
            self.reported.pop(compiled_rule, None)
        else:
            self.reported[compiled_rule] = now
        return found

    def _with_figures(
        self, condition: Condition, compiled_rule: CompiledRule, visible: EvaluatedHost
    ) -> Condition:
        """Return the newest condition with the value of now, and the worst."""
        if compiled_rule.is_absent:
            return condition
        machine = visible.active.machines.get(compiled_rule)
        if machine is not None and condition.phase == "firing":
            condition = replace(condition, value=float(machine.value))
        condition = replace(condition, worst=visible.active.worst.get(compiled_rule))
        for host in (visible, self.confirmed):
            host.active.forget_worst(compiled_rule)
        return condition


def _add_to(
    host: EvaluatedHost, before: SamplePosition, sample: Sample, compiled: Compiled
) -> None:
    """Evaluate the next sample; where a clock was set, times before it are moved along."""
    delta_ms = _step_ms(host.time_ms, before, sample)
    if delta_ms:
        host.shift(delta_ms)
    host.add(sample.time_ms, sample.interval_ms, sample.points, compiled, before.base + sample.seq)


def _step_ms(time_ms: int, before: SamplePosition, sample: Sample) -> int:
    """Return by how much the clock was set between two samples of a host."""
    if time_ms < 0:
        return 0
    passed_ms = sample.time_ms - time_ms
    if sample.stream == before.stream and sample.mono_ms is not None and before.mono_ms is not None:
        elapsed_ms = sample.mono_ms - before.mono_ms
        if elapsed_ms > 0 and (passed_ms <= 0 or abs(passed_ms - elapsed_ms) > STEP_MS):
            return passed_ms - elapsed_ms
    if passed_ms > 0:
        return 0
    count = sample.seq - before.seq if sample.stream == before.stream else 1
    return passed_ms - sample.interval_ms * max(count, 1)


def _is_complete(sample: Sample) -> bool:
    """Return whether its host had nothing to send but it: what is missing before will not come."""
    waiting = next(
        (
            point["fields"].get("spool_samples")
            for point in sample.points
            if point["measurement"] == "agent"
        ),
        None,
    )
    return waiting == 0


def _firing(reported: LastReported | None) -> LastReported | None:
    return reported if reported is not None and reported.phase == "firing" else None


def _lasting(transitions: Sequence[Transition]) -> list[Transition]:
    """Return the transitions that history keeps."""
    return [one for one in transitions if one.phase != "dropped"]
