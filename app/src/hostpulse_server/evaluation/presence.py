"""Which series a host reports, how far apart, and which have stayed away.

Counted in the host's samples, so that a host that is silent takes nothing from its series. The
spacing of a series is how many samples of the host it lay apart last: slow collectors have series
in every sixth, say. Until its second sample it is not known, and taken for what that shows. So
long it is waited for longer: but for an alert that fires, five samples without it are the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hostpulse_server.evaluation.compiled import CompiledRule

GONE_AFTER: Final = 5  # of its intervals
UNKNOWN: Final = 0
FORGOTTEN_AFTER: Final = 60  # samples of the host, where the spacing is not known
_NEVER: Final = 2**62


class SeriesPresence(NamedTuple):
    """How many samples of the host ago a series came last, and its spacing."""

    away: int
    spacing: int


class Presence:
    """Only what is not ordinary takes memory: an ordinary series is in every sample."""

    __slots__ = ("_absent", "_due", "_recent", "_remembered", "_spacing", "count")

    def __init__(self) -> None:
        self.count = 0
        self._absent: dict[CompiledRule, int] = {}  # → the count of its last sample
        self._spacing: dict[CompiledRule, int] = {}  # other than 1
        self._recent: set[CompiledRule] = set()  # in the last sample, but not in the one before
        # after a restart: marks of series that did not come since → the count of the last sample
        self._remembered: dict[int, int] = {}
        self._due = _NEVER

    @property
    def is_watchful(self) -> bool:
        """Whether the next sample has to be checked though it has the series of this one."""
        return bool(self._recent)

    @property
    def is_due(self) -> bool:
        """Whether a series has stayed away for too long."""
        return self.count >= self._due

    def spacing(self, compiled_rule: CompiledRule) -> int:
        """Return in every how many samples the series comes."""
        return self._spacing.get(compiled_rule, 1) or 1

    def update(
        self, before: set[CompiledRule], now: set[CompiledRule]
    ) -> Callable[[CompiledRule], int]:
        """Take the series of the last sample and of this one.

        Return what gives the spacing by which the gap before this one is judged.
        """
        judged: dict[CompiledRule, int] = {}
        if self._remembered:
            before = self._recall(before, now)
        for compiled_rule in self._recent & now & before:
            judged[compiled_rule] = self._spacing.pop(compiled_rule, 1) or 1
        self._recent = set()
        for compiled_rule in before - now:
            self._absent[compiled_rule] = self.count - 1
        for compiled_rule in now - before:
            self._return(compiled_rule, judged)
        self._plan_ahead()
        return lambda compiled_rule: judged.get(compiled_rule) or self.spacing(compiled_rule)

    def parted(self) -> list[tuple[CompiledRule, bool]]:
        """Return the series that have stayed away for too long, and whether they are forgotten."""
        found = []
        for compiled_rule in list(self._absent):
            is_forgotten = self.count >= self._limit(compiled_rule)
            if is_forgotten:
                del self._absent[compiled_rule]
                self._spacing.pop(compiled_rule, None)
            if is_forgotten or self.count == self._gone(compiled_rule):
                found.append((compiled_rule, is_forgotten))
        self._plan_ahead()
        return found

    def extraordinary(self) -> Iterator[tuple[CompiledRule, SeriesPresence]]:
        """Yield what has to be remembered."""
        for compiled_rule, seen in self._absent.items():
            yield (
                compiled_rule,
                SeriesPresence(self.count - seen, self._spacing.get(compiled_rule, 1)),
            )
        for compiled_rule, spacing in self._spacing.items():
            if compiled_rule not in self._absent:
                yield compiled_rule, SeriesPresence(0, spacing)

    def copy(self) -> Presence:
        """Return an independent copy."""
        other = Presence()
        other.count, other._due = self.count, self._due
        other._absent, other._spacing = dict(self._absent), dict(self._spacing)
        other._recent, other._remembered = set(self._recent), dict(self._remembered)
        return other

    def marks(self, series: Iterable[CompiledRule]) -> dict[int, int]:
        """Return the marks of the last sample's series, and of others, with how long they are away.

        In the host's samples, 0 for those in the last one.
        """
        found = {
            mark: self.count - seen
            for mark, seen in self._remembered.items()
            if self.count - seen < GONE_AFTER
        }
        found.update((compiled_rule.mark, 0) for compiled_rule in series)
        return found

    def restore(
        self,
        remembered: Iterable[tuple[CompiledRule, SeriesPresence]],
        marks: Mapping[int, int],
    ) -> None:
        """Take over what was ``extraordinary``, and all ``marks``."""
        known = dict(remembered)
        self._remembered = {mark: -away for mark, away in marks.items()}
        for compiled_rule, seen in known.items():
            if seen.spacing != 1:
                self._spacing[compiled_rule] = seen.spacing
                if not seen.away:
                    self._recent.add(compiled_rule)
            if seen.away:
                self._absent[compiled_rule] = -seen.away
        self._plan_ahead()

    def replace(self, others: dict[CompiledRule, CompiledRule]) -> None:
        """Replace compiled_rules by others; forget those that are not named."""
        self._absent = {others[one]: n for one, n in self._absent.items() if one in others}
        self._spacing = {others[one]: n for one, n in self._spacing.items() if one in others}
        self._recent = {others[one] for one in self._recent if one in others}
        self._plan_ahead()

    def _recall(self, before: set[CompiledRule], now: set[CompiledRule]) -> set[CompiledRule]:
        """Return the series of the last sample, of which a restart left the marks.

        What comes later is recalled then, if it is not gone.
        """
        found = set()
        for compiled_rule in now:
            seen = self._remembered.pop(compiled_rule.mark, None)
            if seen is None or compiled_rule in before:
                continue
            if seen == self.count - 1:
                found.add(compiled_rule)
            elif self.count - seen <= GONE_AFTER:
                self._absent[compiled_rule] = seen
        return before | found

    def _return(self, compiled_rule: CompiledRule, judged: dict[CompiledRule, int]) -> None:
        seen = self._absent.pop(compiled_rule, None)
        if seen is None:
            self._spacing[compiled_rule] = UNKNOWN
            self._recent.add(compiled_rule)
            return
        spacing = self.count - seen
        judged[compiled_rule] = self._spacing.pop(compiled_rule, 1) or spacing
        if spacing != 1:
            self._spacing[compiled_rule] = spacing
            self._recent.add(compiled_rule)

    def _gone(self, compiled_rule: CompiledRule) -> int:
        return self._absent[compiled_rule] + GONE_AFTER * self.spacing(compiled_rule)

    def _limit(self, compiled_rule: CompiledRule) -> int:
        is_known = self._spacing.get(compiled_rule, 1) != UNKNOWN
        return (
            self._gone(compiled_rule) if is_known else self._absent[compiled_rule] + FORGOTTEN_AFTER
        )

    def _plan_ahead(self) -> None:
        # a change of layout plans anew before what is due in the same sample has been looked at
        times = (at for one in self._absent for at in (self._gone(one), self._limit(one)))
        self._due = min((at for at in times if at >= self.count), default=_NEVER)
