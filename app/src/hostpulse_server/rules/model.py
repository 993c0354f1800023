"""Rules as frozen values; durations are milliseconds. CONTRACT: the rules file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.values.alert import Severity

Direction = Literal["above", "below"]
Kind = Literal["threshold", "liveness", "absent"]
Verdict = Literal["host_down", "agent_stopped", "path_broken", "silent"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field`` strictly above or below ``threshold``."""

    field: str
    direction: Direction
    threshold: float

    def holds(self, value: float) -> bool:
        """Return whether ``value`` is beyond the threshold; equal is not."""
        return value > self.threshold if self.direction == "above" else value < self.threshold


@dataclass(frozen=True, slots=True)
class Level:
    """One severity of a rule.

    It begins to hold when the value has been beyond ``threshold`` for ``for_ms``, and ends when
    the value is beyond ``clear`` on the other side (strictly; where the file gives no
    ``clear_below`` or ``clear_above``, ``clear`` is ``None`` and it ends when the value is no
    longer beyond the threshold).
    """

    severity: Severity
    direction: Direction
    threshold: float
    clear: float | None
    for_ms: int


@dataclass(frozen=True, slots=True)
class LivenessLevel:
    """One severity of a rule of ``kind: liveness``: fires when silence has lasted ``for_ms``."""

    severity: Severity
    verdicts: tuple[Verdict, ...]
    for_ms: int


@dataclass(frozen=True, slots=True)
class Override:
    """``match`` maps ``server_id``, a tag's name or ``label.NAME`` to a glob; all must match.

    ``rule`` is the whole rule as it holds where they do, without overrides of its own.
    """

    match: Mapping[str, str]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as it holds somewhere: overrides are applied by ``RuleSet.effective``.

    ``levels`` are ordered from the least to the most serious; of a liveness rule they are empty
    and ``liveness`` is not. ``max_gap_ms`` is ``None`` where the file gives none: then it is
    25 s, or two and a half intervals of the series where that is more. ``where`` maps tag names to
    globs. Of an ``edge``, what was over before it was known is notified once.

    Of an absent rule, ``levels`` compare whether a series is away, 1 or 0. It has to have been
    there for ``present_for_ms``, and is forgotten when it has been away for ``forget_after_ms``.
    """

    name: str
    kind: Kind
    summary: str
    runbook: str
    measurement: str = ""
    field: str = ""
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    over_ms: int = 0
    aggregate: Literal["mean", "min", "max", "increase"] = "mean"
    only_if: tuple[Comparison, ...] = ()
    abs: bool = False
    max_gap_ms: int | None = None
    keep_firing_ms: int = 0
    edge: bool = False
    present_for_ms: int = 0
    forget_after_ms: int = 0
    levels: tuple[Level, ...] = ()
    liveness: tuple[LivenessLevel, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    enabled: bool = True
    overrides: tuple[Override, ...] = ()

    @property
    def is_absent(self) -> bool:
        """Whether it fires while a series is away: then no value is compared."""
        return self.kind == "absent"

    def covers(self, tags: Mapping[str, str]) -> bool:
        """Return whether a series with these tags is this rule's."""
        return fits(self.where, tags)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules in force, by name; ``digest`` names their content."""

    rules: Mapping[str, Rule]
    digest: str = ""

    def effective(
        self, name: str, server_id: str, tags: Mapping[str, str], labels: Mapping[str, str]
    ) -> Rule | None:
        """Return the rule as it holds for this series, ``None`` if it does not.

        That is with the first override that matches, unless that disables it or the series is none
        of the rule's.
        """
        rule = self.rules[name]
        if rule.overrides:
            named = {f"label.{label}": value for label, value in labels.items()}
            values = {**tags, **named, "server_id": server_id}
            rule = next((one.rule for one in rule.overrides if fits(one.match, values)), rule)
        return rule if rule.enabled and rule.covers(tags) else None


def fits(globs: Mapping[str, str], values: Mapping[str, str]) -> bool:
    """Return whether every glob matches the value of its name; a missing value does not match."""
    return all(name in values and fnmatchcase(values[name], globs[name]) for name in globs)
