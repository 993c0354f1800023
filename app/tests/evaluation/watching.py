"""Rules, and one server whose samples tests feed, in short."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import Level, Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.values.alert import Condition, Severity

SERVER = "web-01"
ORIGIN = "samples"
START_MS = 1_800_000_000_000
STEP_MS = 10_000
MINUTE_MS = 60_000


def above(
    severity: Severity, threshold: float, clear: float | None = None, for_ms: int = 0
) -> Level:
    """Return a level that holds above its threshold."""
    return Level(severity, "above", threshold, clear, for_ms)


def below(
    severity: Severity, threshold: float, clear: float | None = None, for_ms: int = 0
) -> Level:
    """Return a level that holds below its threshold."""
    return Level(severity, "below", threshold, clear, for_ms)


def rule(*levels: Level, name: str = "disk_usage", **changes: Any) -> Rule:
    """Return a rule for used_percent of every mount."""
    plain = Rule(
        name=name,
        kind="threshold",
        summary="",
        runbook="",
        measurement="disk",
        field="used_percent",
        levels=levels or (above("warning", 80),),
    )
    return replace(plain, **changes)


def rules(*given: Rule) -> RuleSet:
    """Return a set of rules."""
    return RuleSet({one.name: one for one in given})


def disk(used: float | None, mount: str = "/", **others: float) -> dict[str, Any]:
    """Return a point of a disk; without ``used`` it has other fields only."""
    fields = {**others, **({} if used is None else {"used_percent": used})}
    fields = fields or {"total_bytes": 1}
    return {"measurement": "disk", "tags": {"mount": mount}, "fields": fields}


OTHER = {"measurement": "cpu", "tags": {"core": "total"}, "fields": {"usage_percent": 3}}


@dataclass
class Watched:
    """A server under some rules; ``told`` are all conditions, as (seconds, phase, severity)."""

    evaluator: Evaluator
    rules: RuleSet
    labels: dict[str, str] = field(default_factory=dict)
    time_ms: int = START_MS - STEP_MS
    conditions: list[Condition] = field(default_factory=list)

    @classmethod
    def under(cls, *given: Rule, labels: Mapping[str, str] | None = None) -> Watched:
        """Return one that has sent nothing yet."""
        own = dict(labels or {})
        return cls(Evaluator(rules(*given), lambda _: own), rules(*given), own)

    def add(
        self, *points: Mapping[str, Any], gap_ms: int = STEP_MS, collect_changes: bool = True
    ) -> bool:
        """Send a sample, the first at second 0; by default collect changes at once."""
        self.time_ms += gap_ms
        sample = Sample(self.time_ms, STEP_MS, [OTHER, *points])
        is_new = self.evaluator.add(SERVER, ORIGIN, sample)
        if collect_changes:
            self.collect_changes()
        return is_new

    def run(self, values: Iterable[float | None], gap_ms: int = STEP_MS) -> None:
        """Send samples of one disk; ``None`` is one without the field."""
        for value in values:
            self.add(disk(value), gap_ms=gap_ms)

    def collect_changes(self, *, is_fresh: bool = True) -> list[Condition]:
        """Settle and return what is new."""
        found = self.evaluator.collect_changes(SERVER, self.time_ms, is_fresh=is_fresh)
        self.conditions += found
        return found

    def restart(self, *given: Rule) -> None:
        """Go on with what a document says, under other rules if there are any."""
        time_ms, document = self.evaluator.dump(SERVER, ORIGIN)
        self.rules = rules(*given) if given else self.rules
        self.evaluator = Evaluator(self.rules, lambda _: self.labels)
        self.evaluator.restore(SERVER, ORIGIN, time_ms, json.loads(json.dumps(document)))

    def reload(self, *given: Rule) -> list[Condition]:
        """Take other rules into force."""
        self.rules = rules(*given)
        found = self.evaluator.reload(self.rules)
        self.conditions += found
        return found

    @property
    def document(self) -> dict[str, Any]:
        """What would be remembered."""
        return self.evaluator.dump(SERVER, ORIGIN)[1]

    @property
    def reported(self) -> list[tuple[int, str, str]]:
        """All that was told, by the seconds of the samples that did it."""
        return [
            ((one.at_ms - START_MS) // 1000, one.phase, one.severity) for one in self.conditions
        ]

    @property
    def news(self) -> list[tuple[int, str, str]]:
        """All that was told, without what only waited."""
        return [one for one in self.reported if one[1] in ("firing", "resolved")]


def reported(levels: Sequence[Level], values: Iterable[float | None], **changes: Any) -> list[Any]:
    """Return what a rule makes of a series, without what only waited."""
    watched = Watched.under(rule(*levels, **changes))
    watched.run(values)
    return watched.news
