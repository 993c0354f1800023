"""One level of a rule: whether it holds, by its threshold, its hysteresis and its clocks."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.rules.model import Level, Rule
    from hostpulse_server.values.alert import Severity

Hold = Literal[0, 1, 2]
OFF: Final = 0
ON: Final = 1
# held under another threshold: the next sample says whether it does under this one, too
UNJUDGED: Final = 2


class LevelState:
    """Whether a level holds, and since when.

    ``begun_ms`` is the first sample of a run beyond the threshold, ``cleared_ms`` of a run of
    cleared ones while the level holds. ``skipped_ms`` is how much of the run was not seen, and
    does not count. ``may_hold`` is whether samples that are not here yet may have begun it.
    """

    __slots__ = ("begun_ms", "cleared_ms", "hold", "may_hold", "skipped_ms")

    def __init__(
        self,
        begun_ms: int | None = None,
        hold: Hold = OFF,
        cleared_ms: int | None = None,
        skipped_ms: int = 0,
    ) -> None:
        self.begun_ms = begun_ms
        self.hold: Hold = hold
        self.cleared_ms = cleared_ms
        self.skipped_ms = skipped_ms
        self.may_hold = False

    def step(self, level: Level, time_ms: int, value: float | None, keep_ms: int) -> None:
        """Take the value at ``time_ms``, ``None`` for one that the rule does not look at."""
        is_beyond, is_cleared = (False, True) if value is None else compare(level, value)
        if is_beyond:
            if self.begun_ms is None:
                self.begun_ms, self.skipped_ms = time_ms, 0
            if self.hold or time_ms - self.begun_ms - self.skipped_ms >= level.for_ms:
                self.hold = ON
        else:
            self.begun_ms = None
            if self.hold == UNJUDGED:
                self.hold = OFF
        if is_cleared and not (self.hold or keep_ms):
            self.may_hold = False
        if self.hold and is_cleared:
            if self.cleared_ms is None:
                self.cleared_ms, self.skipped_ms = time_ms, 0
            if time_ms - self.cleared_ms - self.skipped_ms >= keep_ms:
                self.hold = OFF
                self.may_hold = False
        if not (self.hold and is_cleared):
            self.cleared_ms = None

    def interrupt(self) -> None:
        """Break the runs; what holds goes on holding."""
        self.begun_ms = self.cleared_ms = None

    def skip(self, gap_ms: int) -> None:
        """Go on after a gap that nothing is known of; a run is of one kind at a time."""
        self.skipped_ms += gap_ms

    def shift(self, delta_ms: int) -> None:
        """Move the remembered times."""
        if self.begun_ms is not None:
            self.begun_ms += delta_ms
        if self.cleared_ms is not None:
            self.cleared_ms += delta_ms

    def copy(self) -> LevelState:
        """Return one in the same state."""
        other = LevelState(self.begun_ms, self.hold, self.cleared_ms, self.skipped_ms)
        other.may_hold = self.may_hold
        return other


def compare(level: Level, value: float) -> tuple[bool, bool]:
    """Return whether a value is beyond a level's threshold, and whether it ends the level."""
    if level.direction == "above":
        is_beyond = value > level.threshold
        return is_beyond, not is_beyond if level.clear is None else value < level.clear
    is_beyond = value < level.threshold
    return is_beyond, not is_beyond if level.clear is None else value > level.clear


def marks(rule: Rule) -> list[str]:
    """Return for each level a text that changes when its values or its threshold do."""
    values = (rule.measurement, rule.field, rule.over_ms, rule.aggregate, rule.only_if, rule.abs)
    return [
        f"{zlib.crc32(repr((values, level.direction, float(level.threshold))).encode()):08x}"
        for level in rule.levels
    ]


def fit(rule: Rule, known: Mapping[Severity, tuple[str, LevelState]]) -> list[LevelState]:
    """Return the levels' states out of what is known by severity, each with its mark.

    Clocks go on where the mark is the same. What holds under another threshold is judged by the
    next sample; so are all levels where none that held is left.
    """
    fitted = []
    for level, mark in zip(rule.levels, marks(rule), strict=True):
        old_mark, state = known.get(level.severity, (mark, LevelState()))
        if old_mark != mark:
            state = LevelState(hold=UNJUDGED if state.hold else OFF)
        fitted.append(state)
    if any(state.hold for _, state in known.values()) and not any(one.hold for one in fitted):
        for state in fitted:
            state.hold = UNJUDGED
    return fitted
