"""From a finding to conditions, one rule at a time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.alerts.liveness.known import Known, Told
from hostpulse_server.alerts.model import SEVERITIES, Condition, Identity, Reason

if TYPE_CHECKING:
    from hostpulse_server.alerts.liveness.verdicts import Finding
    from hostpulse_server.alerts.rules.model import Rule


def weigh(
    rule: Rule, server_id: str, known: Known, finding: Finding, silence_ms: int, now_ms: int
) -> Condition | None:
    """Return what a finding changes, and take it for told.

    A verdict that the rule has no level for is none of its business; one whose level is not due
    leaves what was told as it is.
    """
    told = known.told.get(rule.name)
    fitting = [level for level in rule.liveness if finding.verdict in level.verdicts]
    if told and told.verdict != finding.verdict and not _is_sure(known, finding):
        return None
    if not fitting:
        return ending(rule.name, server_id, known, "cleared", now_ms) if told else None
    due = [level.severity for level in fitting if silence_ms >= known.due_ms(level)]
    if not due:
        return None
    severity = max(due, key=SEVERITIES.index)
    if told and (told.severity, told.verdict) == (severity, finding.verdict):
        return None
    started_ms = told.started_ms if told else finding.since_ms
    known.told[rule.name] = Told(severity, finding.verdict, started_ms)
    return Condition(
        identity=Identity(rule.name, server_id),
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


def ending(rule: str, server_id: str, known: Known, reason: Reason, at_ms: int) -> Condition:
    """Return the end of what was told by a rule, and forget that it was."""
    told = known.told.pop(rule)
    return Condition(
        identity=Identity(rule, server_id),
        phase="resolved",
        severity=told.severity,
        value=None,
        threshold=None,
        started_ms=told.started_ms,
        at_ms=at_ms,
        reason=reason,
    )


def _is_sure(known: Known, finding: Finding) -> bool:
    """Tell whether what the prober saw once was seen again; a refusal is sure by itself."""
    return not finding.is_asked or known.steadiness.is_confirmed or not known.steadiness.is_known
