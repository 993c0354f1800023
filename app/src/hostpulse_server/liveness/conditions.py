"""Turns a finding into conditions, one rule at a time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.liveness.host_state import FiringCondition, HostState
from hostpulse_server.values.alert import SEVERITIES, AlertIdentity, Condition, Reason

if TYPE_CHECKING:
    from hostpulse_server.liveness.causes import Cause
    from hostpulse_server.rules.model import Rule


def conditions_of(
    rule: Rule, server_id: str, known: HostState, finding: Cause, silence_ms: int, now_ms: int
) -> Condition | None:
    """Return what a finding changes, and mark it as reported.

    A verdict that the rule has no level for is ignored; one whose level is not due leaves what
    was reported as it is.
    """
    reported = known.reported.get(rule.name)
    fitting = [level for level in rule.liveness if finding.verdict in level.verdicts]
    if reported and reported.verdict != finding.verdict and not _is_sure(known, finding):
        return None
    if not fitting:
        return ending(rule.name, server_id, known, "cleared", now_ms) if reported else None
    due = [level.severity for level in fitting if silence_ms >= known.due_ms(level)]
    if not due:
        return None
    severity = max(due, key=SEVERITIES.index)
    if reported and (reported.severity, reported.verdict) == (severity, finding.verdict):
        return None
    started_ms = reported.started_ms if reported else finding.since_ms
    known.reported[rule.name] = FiringCondition(severity, finding.verdict, started_ms)
    return Condition(
        identity=AlertIdentity(rule.name, server_id),
        phase="firing",
        severity=severity,
        value=None,
        threshold=None,
        started_ms=started_ms,
        at_ms=now_ms,
        text=finding.text,
        evidence=finding.lines,
        facts={"kind": "liveness", "verdict": finding.verdict},
    )


def ending(rule: str, server_id: str, known: HostState, reason: Reason, at_ms: int) -> Condition:
    """Return the end of what a rule reported, and forget that it was."""
    return end_of(AlertIdentity(rule, server_id), known.reported.pop(rule), reason, at_ms)


def end_of(
    identity: AlertIdentity, reported: FiringCondition, reason: Reason, at_ms: int
) -> Condition:
    """Return the end of what was reported of a host, a network or the fleet."""
    return Condition(
        identity=identity,
        phase="resolved",
        severity=reported.severity,
        value=None,
        threshold=None,
        started_ms=reported.started_ms,
        at_ms=at_ms,
        reason=reason,
    )


def _is_sure(known: HostState, finding: Cause) -> bool:
    """Return whether what the prober saw once was seen again; a refusal is sure by itself."""
    return not finding.is_asked or known.steadiness.is_confirmed or not known.steadiness.is_known
