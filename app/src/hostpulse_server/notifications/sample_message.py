"""A message that a rule would make, with made-up values and marked as a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from hostpulse_server.notifications import runbooks
from hostpulse_server.notifications.channels.base import AlertDetails, Notification
from hostpulse_server.rules.metric_names import TAGS
from hostpulse_server.rules.summary import render_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.config import SiteConfig
    from hostpulse_server.rules.model import Level, Rule
    from hostpulse_server.values.alert import Severity

_TAG: Final = "example"
_BEYOND: Final = 0.01  # of the threshold, so that a percentage stays one
_MAGIC: Final = frozenset("*?[")


class SampleTarget(NamedTuple):
    """The server that a sample speaks of, with the labels an alert of it would have."""

    server_id: str
    name: str
    labels: Mapping[str, str]


def has_level(rule: Rule, severity: str) -> bool:
    """Return whether a rule fires with this severity at all."""
    levels, verdicts = rule.levels, rule.liveness
    return severity in [*(one.severity for one in levels), *(one.severity for one in verdicts)]


def sample(
    site: SiteConfig, rule: Rule, severity: Severity, target: SampleTarget, now_ms: int, by: str
) -> Notification:
    """Return the message, without a channel; its value is just beyond the rule's threshold."""
    level = next((one for one in rule.levels if one.severity == severity), None)
    value, threshold = (None, None) if level is None else (_beyond(level), level.threshold)
    tags = dict.fromkeys(TAGS.get(rule.measurement, ()), _TAG) | {
        name: _TAG if _MAGIC & set(glob) else glob for name, glob in rule.where.items()
    }
    alert = AlertDetails(
        id=0,
        rule=rule.name,
        server_id=target.server_id,
        server_name=target.name,
        severity=severity,
        state="firing",
        summary=render_summary(
            rule,
            value=value,
            threshold=threshold,
            severity=severity,
            server_id=target.server_id,
            server_name=target.name,
            tags=tags,
            labels=target.labels,
        ),
        started_ms=now_ms,
        fired_ms=now_ms,
        value=value,
        threshold=threshold,
        comparison="" if level is None else level.direction,
        measurement=rule.measurement,
        field=rule.field,
        tags=tags,
        labels=target.labels,
        runbook=runbooks.address(rule.runbook, site.public_url),
    )
    return Notification(
        kind="test",
        channel="",
        site=site.name,
        severity=severity,
        created_ms=now_ms,
        environment=target.labels.get("env", ""),
        alerts=(alert,),
        note=f"This is a test, sent by {by}. Nothing is wrong: its values are made up.",
        timezone=site.timezone,
    )


def _beyond(level: Level) -> float:
    step = abs(level.threshold) * _BEYOND or 1.0
    return level.threshold + (step if level.direction == "above" else -step)
