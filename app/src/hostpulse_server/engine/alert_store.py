"""Stores conditions as rows: alerts and their history, within a transaction of the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hostpulse_server.engine import continuation, host_names
from hostpulse_server.rules.summary import render_summary
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow
from hostpulse_server.values.alert import AlertIdentity, Condition, worse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.engine.server_directory import Ended
    from hostpulse_server.rules import Rule, RuleSet
    from hostpulse_server.values.alert import CurrentValue, Reason, Severity

_PORTION = 500  # bound parameters of one statement

Kind = Literal["pending", "firing", "severity", "resolved", "dropped"]


@dataclass(frozen=True, slots=True)
class AlertContext:
    """What rows record beyond their condition; ``now_ms`` is the wall clock.

    ``standing`` returns why a server does not count; ``processes(server_id, time_ms)`` are the
    heaviest processes of that sample; ``current`` is what is compared of a firing alert now, and
    ``names`` are those of what ails there, by kind, ``None`` where they are not known.
    """

    rules: RuleSet
    name: Callable[[str], str]
    labels: Callable[[str], Mapping[str, str]]
    standing: Callable[[str], Ended | None]
    processes: Callable[[str, int], Sequence[Mapping[str, Any]]]
    now_ms: int
    current: Callable[[AlertIdentity], CurrentValue | None] = lambda _identity: None
    names: Callable[[str], Mapping[str, Sequence[str]] | None] = lambda _server_id: None


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What a condition did; ``row`` belongs to the session, and is gone after ``dropped``.

    ``before`` is the severity that it had, where it has another one now. ``is_owed`` is the end of
    an edge of which nobody has heard.
    """

    kind: Kind
    row: AlertRow
    condition: Condition
    before: str = ""
    is_owed: bool = False


def apply(
    session: Session, conditions: Sequence[Condition], context: AlertContext
) -> list[AlertChange]:
    """Write the conditions, in order, and return what has changed.

    A condition that the rows already have changes nothing. If another program inserts the same
    alert meanwhile, which the unique index detects, its row is used.
    """
    if not conditions:
        return []
    try:
        with session.begin_nested():
            return _Writing(session, conditions, context).write()
    except IntegrityError:
        with session.begin_nested():
            return _Writing(session, conditions, context).write()


def orphans(session: Session, context: AlertContext) -> list[Condition]:
    """Return ends for active alerts whose server or rule is gone or disabled.

    Evaluation knows nothing of those that were so while no engine ran.
    """
    found = []
    for row in session.scalars(sa.select(AlertRow).where(AlertRow.resolved_ms.is_(None))):
        reason: Reason | None = context.standing(row.server_id)
        if reason is None and row.rule not in context.rules.rules:
            reason = "rule_removed"
        elif reason is None and _rule(context, row.rule, row.server_id, row.tags) is None:
            reason = "disabled"
        if reason is not None:
            found.append(_ending(row, reason, context.now_ms))
    return found


def refresh(rows: Iterable[AlertRow], context: AlertContext) -> None:
    """Give firing alerts their current and worst values, and the summary that says so."""
    for row in rows:
        found = context.current(_identity(row)) if row.state == "firing" else None
        if found is None:
            continue
        rule = _rule(context, row.rule, row.server_id, row.tags)
        worst = _worst(row, rule, found.worst)
        evidence = row.evidence or {}
        names = _names(rule, row.server_id, context)
        if names is None:
            names = evidence.get("names", [])
        is_known = row.value == found.value and evidence.get("worst", row.value) == worst
        if is_known and evidence.get("names", []) == names:
            continue
        row.value = found.value
        row.evidence = {
            **evidence,
            **_level(rule, row.severity),
            **_named(names, evidence, is_worst=found.value == worst),
            "worst": worst,
            # right after a restart there are none
            "trend": list(found.trend) or evidence.get("trend", []),
        }
        if rule:
            row.summary = _summary(rule, row, row.value, context, names)


def refresh_some(session: Session, context: AlertContext, after_id: int) -> int:
    """Refresh a portion of the alerts that fire; return the last id, 0 after the last portion."""
    rows = session.scalars(
        sa.select(AlertRow)
        .where(AlertRow.state == "firing", AlertRow.value.is_not(None), AlertRow.id > after_id)
        .order_by(AlertRow.id)
        .limit(_PORTION)
    ).all()
    refresh(rows, context)
    return rows[-1].id if len(rows) == _PORTION else 0


def _identity(row: AlertRow) -> AlertIdentity:
    return AlertIdentity(row.rule, row.server_id, tuple(sorted(row.tags.items())))


def _level(rule: Rule | None, severity: str) -> dict[str, Any]:
    """Return on which side of a level's threshold it fires, and the value that clears it."""
    level = next((one for one in rule.levels if one.severity == severity), None) if rule else None
    return {} if level is None else {"comparison": level.direction, "clears_at": level.clear}


def _worst(row: AlertRow, rule: Rule | None, *values: float | None) -> float | None:
    """Return the worst of what is known of an alert and of these values."""
    direction = rule.levels[0].direction if rule and rule.levels else "above"
    worst: float | None = (row.evidence or {}).get("worst")
    for value in values:
        if value is not None:
            worst = value if worst is None else worse(direction, worst, value)
    return worst


def _names(rule: Rule | None, server_id: str, context: AlertContext) -> list[str] | None:
    """Return the names of what a rule's value counts, ``None`` where they are not known."""
    known = context.names(server_id)
    if rule is None or known is None:
        return None
    return list(host_names.of(known, rule.measurement, rule.field))


def _named(names: list[str], evidence: Mapping[str, Any], *, is_worst: bool) -> dict[str, Any]:
    """Return names as evidence, now and at the worst value."""
    worst = names if is_worst else evidence.get("worst_names", [])
    found = {"names": names, "worst_names": worst}
    return {key: some for key, some in found.items() if some or key in evidence}


def _summary(
    rule: Rule,
    row: AlertRow,
    value: float | None,
    context: AlertContext,
    names: Sequence[str] = (),
) -> str:
    return render_summary(
        rule,
        value=value,
        threshold=row.threshold,
        severity=cast("Severity", row.severity),
        server_id=row.server_id,
        server_name=context.name(row.server_id),
        tags=row.tags,
        labels=row.labels,
        names=names,
    )


def _ending(row: AlertRow, reason: Reason, now_ms: int) -> Condition:
    return Condition(
        identity=_identity(row),
        phase="resolved" if row.state == "firing" else "dropped",
        severity=cast("Severity", row.severity),
        value=None,
        threshold=row.threshold,
        started_ms=row.started_ms,
        at_ms=now_ms,
        reason=reason,
    )


class _Writing:
    """One pass over the conditions."""

    def __init__(
        self, session: Session, conditions: Sequence[Condition], context: AlertContext
    ) -> None:
        self._session = session
        self._conditions = conditions
        self._context = context
        self._changes: list[AlertChange] = []
        self._events: list[tuple[AlertRow, AlertEventRow]] = []
        self._closed: set[str] = set()
        self._begun_absent: list[AlertRow] = []
        prints = {condition.identity.fingerprint for condition in conditions}
        self._active = {row.fingerprint: row for row in _active(session, prints)}

    def write(self) -> list[AlertChange]:
        """Write all and return the changes."""
        for condition in self._conditions:
            row = self._active.get(condition.identity.fingerprint)
            if condition.amends_ms is not None:
                self._amend(condition, condition.amends_ms)
            elif condition.phase == "resolved" and condition.fired_ms is not None:
                self._insert_late(condition, condition.fired_ms)
            elif condition.phase == "pending":
                self._pend(condition, row)
            elif condition.phase == "firing":
                self._fire(condition, row)
            elif row is not None:
                self._end(condition, row)
        self._session.flush()  # now all rows have their ids, many by one statement
        for row in self._begun_absent:
            continuation.note(self._session, row)
        for row, event in self._events:
            event.alert_id = row.id
            self._session.add(event)
        self._session.flush()
        return self._changes

    def _pend(self, condition: Condition, row: AlertRow | None) -> None:
        if row is None:
            self._insert(condition, "pending")
        elif row.state == "pending":
            self._describe(row, condition)
            row.started_ms = condition.started_ms  # a break may have begun it anew

    def _fire(self, condition: Condition, row: AlertRow | None) -> None:
        if row is None:
            self._begin(condition, self._insert(condition, "firing"))
        elif row.state == "pending":
            self._describe(row, condition)
            row.started_ms = condition.started_ms
            self._begin(condition, row)
        elif row.severity != condition.severity:
            before = row.severity
            self._describe(row, condition)
            self._note("severity", row, condition, {"before": before, **_figures(condition)})
        else:
            self._describe(row, condition)  # a liveness verdict may have changed

    def _begin(self, condition: Condition, row: AlertRow) -> None:
        row.state = "firing"
        row.fired_ms = condition.at_ms
        rule = self._context.rules.rules.get(row.rule)
        if rule is not None and rule.is_absent:
            self._begun_absent.append(row)
        self._note("firing", row, condition, _figures(condition))

    def _end(self, condition: Condition, row: AlertRow) -> None:
        del self._active[row.fingerprint]
        self._closed.add(row.fingerprint)
        if row.state == "pending":
            self._session.flush()
            self._session.delete(row)
            self._changes.append(AlertChange("dropped", row, condition))
            return
        self._resolve(row, condition)

    def _resolve(self, row: AlertRow, condition: Condition) -> None:
        row.state = "resolved"
        row.severity = condition.severity
        row.resolved_ms = condition.at_ms
        row.reason = condition.reason or "cleared"
        self._conclude(row, condition)
        self._note("resolved", row, condition, {"reason": row.reason, **_figures(condition)})

    def _conclude(self, row: AlertRow, condition: Condition) -> None:
        """Keep the last value and the worst; the summary of what is over names the worst."""
        rule = _rule(self._context, row.rule, row.server_id, row.tags)
        worst = _worst(row, rule, row.value, condition.worst)
        if condition.value is not None:
            row.value = condition.value
        if worst is None:
            return
        row.evidence = {**(row.evidence or {}), **_level(rule, row.severity), "worst": worst}
        if rule and not condition.text:
            named = row.evidence.get("worst_names", ())
            row.summary = _summary(rule, row, worst, self._context, named)

    def _insert_late(self, condition: Condition, fired_ms: int) -> None:
        """Write an alert that was over before anything was known of it."""
        active = self._active.pop(condition.identity.fingerprint, None)
        begin = replace(
            condition, phase="firing", at_ms=fired_ms, value=condition.fired_value, reason=""
        )
        row = self._insert(begin, "firing")
        self._begin(begin, row)
        self._resolve(row, condition)
        del self._active[row.fingerprint]
        self._closed.add(row.fingerprint)
        self._session.flush()
        if active is not None:
            self._active[row.fingerprint] = active

    def _amend(self, condition: Condition, fired_ms: int) -> None:
        """Write what samples that came late say of an alert that fired then."""
        fingerprint = condition.identity.fingerprint
        row = self._active.get(fingerprint)
        if row is None or row.fired_ms != fired_ms:
            self._session.flush()
            row = self._session.scalar(
                sa.select(AlertRow)
                .where(AlertRow.fingerprint == fingerprint, AlertRow.fired_ms == fired_ms)
                .order_by(AlertRow.id.desc())
                .limit(1)
            )
            if row is None:  # its history is past retention
                return
        is_active = row.resolved_ms is None
        if condition.phase == "dropped":
            condition = replace(condition, phase="resolved", reason="revised")
        row.started_ms, row.severity = condition.started_ms, condition.severity
        row.fired_ms = condition.fired_ms or row.fired_ms
        if condition.phase == "firing":
            row.state, row.resolved_ms, row.reason = "firing", None, ""
            self._active[fingerprint] = row
            if not is_active:
                self._note("firing", row, condition, _figures(condition))
        elif is_active:
            del self._active[fingerprint]
            self._closed.add(fingerprint)
            self._resolve(row, condition)
        else:
            row.resolved_ms, row.reason = condition.at_ms, condition.reason or "cleared"
            self._amended(row, condition)

    def _amended(self, row: AlertRow, condition: Condition) -> None:
        """Move the last end of an alert that was over already."""
        found = self._session.scalar(
            sa.select(AlertEventRow)
            .where(AlertEventRow.alert_id == row.id, AlertEventRow.kind == "resolved")
            .order_by(AlertEventRow.id.desc())
            .limit(1)
        )
        if found is not None:
            found.at_ms = condition.at_ms
            found.document = {**found.document, "reason": row.reason, **_figures(condition)}

    def _insert(self, condition: Condition, state: str) -> AlertRow:
        identity = condition.identity
        if identity.fingerprint in self._closed:
            self._session.flush()  # which would insert before it updates, against the index
        row = AlertRow(
            fingerprint=identity.fingerprint,
            rule=identity.rule,
            server_id=identity.server_id,
            tags=dict(identity.tags),
            state=state,
            started_ms=condition.started_ms,
            reason="",
            comment="",
        )
        self._describe(row, condition)
        self._session.add(row)
        self._active[row.fingerprint] = row
        if state == "pending":
            self._changes.append(AlertChange("pending", row, condition))
        return row

    def _describe(self, row: AlertRow, condition: Condition) -> None:
        """Set the current state of an alert, and what goes with it."""
        context, identity = self._context, condition.identity
        labels = condition.labels
        if labels is None:
            labels = context.labels(identity.server_id)
        tags = dict(identity.tags)
        rule = _rule(context, identity.rule, identity.server_id, tags)
        is_known = row.state == "firing" and row.fired_ms is not None
        worst = _worst(row, rule, condition.worst, condition.value) if is_known else condition.worst
        # what is over has names of another time
        names = [] if condition.is_late else _names(rule, identity.server_id, context) or []
        before = row.evidence or {}
        row.severity = condition.severity
        row.value = condition.value
        row.threshold = condition.threshold
        row.measurement = rule.measurement if rule else ""
        row.field = rule.field if rule else ""
        row.runbook = rule.runbook if rule else ""
        row.labels = {**labels, **(rule.labels if rule else {})}
        row.summary = condition.text or (
            _summary(rule, row, condition.value, context, names) if rule else identity.rule
        )
        row.evidence = {
            "lines": list(condition.evidence),
            "trend": list(condition.trend),
            "processes": list(context.processes(identity.server_id, condition.at_ms))
            if condition.phase == "firing"
            else [],
            "facts": dict(condition.facts or {}),
            **continuation.kept(row),
        }
        if condition.value is not None:
            known = condition.value if worst is None else worst
            row.evidence |= {"worst": known, **_level(rule, condition.severity)}
            row.evidence |= _named(names, before, is_worst=condition.value == known)

    def _note(
        self,
        kind: Literal["firing", "severity", "resolved"],
        row: AlertRow,
        condition: Condition,
        document: dict[str, Any],
    ) -> None:
        if condition.is_late:
            document = {**document, "late": True}
        event = AlertEventRow(at_ms=condition.at_ms, kind=kind, document=document)
        self._events.append((row, event))
        is_owed = kind == "resolved" and condition.is_late and self._is_edge(row)
        before = document.get("before", "")
        self._changes.append(AlertChange(kind, row, condition, before, is_owed))

    def _is_edge(self, row: AlertRow) -> bool:
        rule = _rule(self._context, row.rule, row.server_id, row.tags)
        return rule is not None and rule.edge


def _rule(context: AlertContext, name: str, server_id: str, tags: Mapping[str, str]) -> Rule | None:
    """Return the rule as it holds there, ``None`` where it does not or is no more."""
    rules = context.rules
    if name not in rules.rules:
        return None
    return rules.effective(name, server_id, tags, context.labels(server_id))


def _figures(condition: Condition) -> dict[str, Any]:
    figures: dict[str, Any] = {"severity": condition.severity}
    if condition.value is not None:
        figures["value"] = condition.value
    if condition.threshold is not None:
        figures["threshold"] = condition.threshold
    return figures


def _active(session: Session, fingerprints: Iterable[str]) -> Iterable[AlertRow]:
    wanted = sorted(fingerprints)
    for first in range(0, len(wanted), _PORTION):
        yield from session.scalars(
            sa.select(AlertRow).where(
                AlertRow.resolved_ms.is_(None),
                AlertRow.fingerprint.in_(wanted[first : first + _PORTION]),
            )
        )
