"""The sentence that an alert is told by: a rule's ``summary``, filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.alerts.model import Severity
    from hostpulse_server.alerts.rules.model import Rule


def render_summary(  # noqa: PLR0913 - all that a sentence may name
    rule: Rule,
    *,
    value: float | None,
    threshold: float | None,
    severity: Severity,
    server_id: str,
    server_name: str = "",
    tags: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return the summary as one line of at most 300 characters; never raises."""
    raise NotImplementedError
