"""Panels about alerts that more than one dashboard has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.dashboards import alerts_flux, columns, panels, thresholds
from tools.dashboards.panels import Text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table


def counts(*conditions: str) -> stat.Panel:
    """Return how many alerts fire."""
    text = Text(
        "Alerts firing by severity",
        "How many alerts fire at the end of the time shown, of these servers and of hostpulse "
        "itself.",
        "short",
    )
    query = alerts_flux.firing_by_severity(*conditions)
    panel = panels.figure(text, query, thresholds.steps(), columns=True, zero="0")
    for name, colour in thresholds.COLOURS.items():
        columns.stepped(panel, name, thresholds.steps((1, colour)))
    return panel


def firing(*conditions: str) -> table.Panel:
    """Return the alerts that fire."""
    text = Text(
        "Firing alerts",
        "What fires at the end of the time shown, of these servers and of hostpulse itself. A "
        "rule may fire several times on a server, such as once a mount.",
        "short",
    )
    panel = panels.rows(text, alerts_flux.firing(*conditions), nothing="No alert fires")
    panel.transformations([columns.order("severity server_id rule firing since")])
    columns.server(columns.severity(panel))
    columns.plain(columns.plain(panel, "rule", "Rule"), "firing", "Times")
    return columns.plain(panel, "since", "Since", "dateTimeAsLocal")


def transitions(text: Text, *conditions: str, most: int) -> table.Panel:
    """Return what began, changed and ended, the newest first."""
    query = alerts_flux.history(*conditions, most=most)
    panel = panels.rows(text, query, nothing="No alert began or ended")
    names = "_time state severity server_id rule value threshold duration_seconds"
    panel.transformations([columns.order(names)])
    columns.plain(panel, "_time", "Time", "dateTimeAsLocal")
    columns.server(columns.severity(columns.state(panel)))
    columns.plain(columns.plain(panel, "rule", "Rule"), "value", "Value")
    columns.plain(panel, "threshold", "Threshold")
    return columns.plain(panel, "duration_seconds", "Held for", "s")
