"""Which series a host reports, how far apart, and which have stayed away.

Counted in the host's samples, so that a host that is silent takes nothing from its series. The
spacing of a series is how many samples of the host it lay apart last: slow collectors have series
in every sixth, say. Until its second sample it is not known, and taken for what that shows. So
long it is waited for longer: but for an alert that fires, five samples without it are the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
        # after a restart, until it does not matter any more: those that were not ordinary
        self._remembered: frozenset[CompiledRule] | None = None
        self._due = _NEVER

    @property
    def is_watchful(self) -> bool:
        """Whether the next sample has to be checked though it has the series of this one."""
        return bool(self._recent)

    @property
    def is_due(self) -> bool:
        """Whether a series has stayed away for too long."""
        return self.count >= self._due

    def spacing(self, watch: CompiledRule) -> int:
        """Return in every how many samples the series comes."""
        return self._spacing.get(watch, 1) or 1

    def update(
        self, before: set[CompiledRule], now: set[CompiledRule]
    ) -> Callable[[CompiledRule], int]:
        """Take the series of the last sample and of this one.

        Return what gives the spacing by which the gap before this one is judged.
        """
        judged: dict[CompiledRule, int] = {}
        if self.count > GONE_AFTER:
            self._remembered = None
        for watch in self._recent & now & before:
            judged[watch] = self._spacing.pop(watch, 1) or 1
        self._recent = set()
        for watch in before - now:
            self._absent[watch] = self.count - 1
        for watch in now - before:
            self._return(watch, judged)
        self._plan_ahead()
        return lambda watch: judged.get(watch) or self.spacing(watch)

    def parted(self) -> list[tuple[CompiledRule, bool]]:
        """Return the series that have stayed away for too long, and whether they are forgotten."""
        found = []
        for watch in list(self._absent):
            is_forgotten = self.count >= self._limit(watch)
            if is_forgotten:
                del self._absent[watch]
                self._spacing.pop(watch, None)
            if is_forgotten or self.count == self._gone(watch):
                found.append((watch, is_forgotten))
        self._plan_ahead()
        return found

    def extraordinary(self) -> Iterator[tuple[CompiledRule, SeriesPresence]]:
        """Yield what has to be remembered."""
        for watch, seen in self._absent.items():
            yield watch, SeriesPresence(self.count - seen, self._spacing.get(watch, 1))
        for watch, spacing in self._spacing.items():
            if watch not in self._absent:
                yield watch, SeriesPresence(0, spacing)

    def restore(self, remembered: Iterable[tuple[CompiledRule, SeriesPresence]]) -> None:
        """Take over what was ``extraordinary``."""
        known = dict(remembered)
        self._remembered = frozenset(known)
        for watch, seen in known.items():
            if seen.spacing != 1:
                self._spacing[watch] = seen.spacing
                if not seen.away:
                    self._recent.add(watch)
            if seen.away:
                self._absent[watch] = -seen.away
        self._plan_ahead()

    def replace(self, others: dict[CompiledRule, CompiledRule]) -> None:
        """Replace watches by others; forget those that are not named."""
        self._absent = {others[one]: n for one, n in self._absent.items() if one in others}
        self._spacing = {others[one]: n for one, n in self._spacing.items() if one in others}
        self._recent = {others[one] for one in self._recent if one in others}
        if self._remembered is not None:
            self._remembered = frozenset(others[one] for one in self._remembered if one in others)
        self._plan_ahead()

    def _return(self, watch: CompiledRule, judged: dict[CompiledRule, int]) -> None:
        seen = self._absent.pop(watch, None)
        if seen is None and self._remembered is not None and watch not in self._remembered:
            seen = 0  # an ordinary one, so it was in the last sample before
        if seen is None:
            self._spacing[watch] = UNKNOWN
            self._recent.add(watch)
            return
        spacing = self.count - seen
        judged[watch] = self._spacing.pop(watch, 1) or spacing
        if spacing != 1:
            self._spacing[watch] = spacing
            self._recent.add(watch)

    def _gone(self, watch: CompiledRule) -> int:
        return self._absent[watch] + GONE_AFTER * self.spacing(watch)

    def _limit(self, watch: CompiledRule) -> int:
        is_known = self._spacing.get(watch, 1) != UNKNOWN
        return self._gone(watch) if is_known else self._absent[watch] + FORGOTTEN_AFTER

    def _plan_ahead(self) -> None:
        # a change of layout plans anew before what is due in the same sample has been looked at
        times = (at for one in self._absent for at in (self._gone(one), self._limit(one)))
        self._due = min((at for at in times if at >= self.count), default=_NEVER)
