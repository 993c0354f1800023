"""The ``tests:`` of a rules file as values: a series, and the expected transitions."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from hostpulse_server.config import values
from hostpulse_server.formatting import rule_duration
from hostpulse_server.rules.model import Rule
from hostpulse_server.rules.series import Missing, Step, parse_series
from hostpulse_server.values.alert import SEVERITIES, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.rules.schema.tables import TableReader
    from hostpulse_server.rules.yaml_nodes import Position

State = Literal["firing", "resolved"]

_STATE: Final = values.choice("firing", "resolved")
_SEVERITY: Final = values.choice(*SEVERITIES)
_GLOB: Final = re.compile(r"[*?\[]")
_SERVER: Final = "test"
_SERIES: Final = ("interval", "values", "server_id", "labels")
_NO_RULE: Final = Rule("", "threshold", "", "")


class ExpectedTransition(NamedTuple):
    """A change that is reported, so long after the first sample; resolved has none of ""."""

    at_ms: int
    state: State
    severity: Severity | Literal[""]

    def __str__(self) -> str:
        """Return it as a line for people, such as ``5m firing warning``."""
        severity = f" {self.severity}" if self.severity else ""
        return f"{rule_duration(self.at_ms)} {self.state}{severity}"

    def as_json(self) -> dict[str, Any]:
        """Return it as a rules file writes it."""
        severity = {"severity": self.severity} if self.severity else {}
        return {"at": rule_duration(self.at_ms), "state": self.state, **severity}


@dataclass(frozen=True, slots=True)
class Case:
    """One test: ``steps`` and those of ``also`` (other fields of the point) are an interval apart.

    ``rule`` is the rule as the test's file and those before it make it. For one of liveness,
    ``answers`` is whether the host's address does, ``None`` if it has none.
    """

    at: Position
    rule: Rule
    name: str
    server_id: str
    tags: Mapping[str, str]
    labels: Mapping[str, str]
    interval_ms: int
    steps: tuple[Step, ...]
    also: Mapping[str, tuple[Step, ...]]
    answers: bool | None
    expect: tuple[ExpectedTransition, ...]


def read_case(table: TableReader, rules: Mapping[str, Rule]) -> Case | None:
    """Read one test; report what is wrong with it."""
    table.only(("rule", "name", "series", "expect"))
    rule = _rule(table, rules)
    if "expect" not in table:
        table.fault("expect", "is missing; list every transition, [] for none")
    expect = tuple(_transition(one) for one in table.tables("expect"))
    series = table.table("series")
    if series is None:
        table.fault("series", 'is missing; write as in {interval: 10s, values: "90x31 50"}')
        return None
    is_liveness = rule is not None and rule.kind == "liveness"
    series.only((*_SERIES, *(("answers",) if is_liveness else ("tags", "also"))))
    also = series.table("also")
    own = {} if rule is None else rule.where
    case = Case(
        at=table.at,
        rule=rule or _NO_RULE,
        name=table.text("name"),
        server_id=series.text("server_id") or _SERVER,
        tags={
            **{name: glob for name, glob in own.items() if not _GLOB.search(glob)},
            **series.texts("tags"),
        },
        labels=series.texts("labels"),
        interval_ms=series.duration_ms("interval", low_ms=1) or 10_000,
        steps=_steps(series, "values"),
        also={name: _steps(also, name) for name in also} if also else {},
        answers=series.read("answers", values.BOOLEAN, None),
        expect=expect,
    )
    return None if rule is None else case


def _rule(table: TableReader, rules: Mapping[str, Rule]) -> Rule | None:
    name = table.text("rule")
    if name not in rules:
        near = difflib.get_close_matches(name, rules, 1)
        advice = f"did you mean {near[0]}?" if near else "name one of these files"
        table.fault("rule", f"there is no rule {name[:80]!r}; {advice}")
    return rules.get(name)


def _steps(table: TableReader, key: str) -> tuple[Step, ...]:
    if key not in table:
        table.fault(key, 'is missing; write as in "90x31 50 _x3"')
        return ()
    try:
        return parse_series(table.as_written(key))
    except ValueError as error:
        table.fault(key, str(error))
        return (Missing.HOST,)


def _transition(table: TableReader) -> ExpectedTransition:
    table.only(("at", "state", "severity"))
    for key in ("at", "state"):
        if key not in table:
            table.fault(key, "is missing; write as in {at: 5m, state: firing, severity: warning}")
    state: State = table.read("state", _STATE, "firing")
    severity: Severity | Literal[""] = table.read("severity", _SEVERITY, "")
    if state == "firing" and "severity" not in table and "state" in table:
        table.fault("severity", f"is missing; write one of {', '.join(SEVERITIES)}")
    return ExpectedTransition(
        table.duration_ms("at") or 0, state, "" if state == "resolved" else severity
    )
