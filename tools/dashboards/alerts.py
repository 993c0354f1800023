"""hostpulse-alerts: what fires, what did, which rules make noise, and how long it lasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.dashboards import (
    alert_panels,
    alerts_flux,
    columns,
    flux,
    layout,
    panels,
    thresholds,
    variables,
)
from tools.dashboards.layout import Shelf
from tools.dashboards.panels import Text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import table, timeseries

UID = "hostpulse-alerts"
_CHOSEN = (flux.SERVERS_AND_NONE, alerts_flux.RULES)


def document() -> dict[str, Any]:
    """Return the dashboard."""
    found = layout.dashboard(
        UID,
        "hostpulse alerts",
        "What fires, what began and ended, which rules make most noise, how long alerts last.",
        [
            variables.datasource(),
            *variables.labels(),
            variables.servers(),
            variables.rule(),
        ],
    )
    return layout.document(
        found,
        [
            Shelf(8, [alert_panels.counts(*_CHOSEN), alert_panels.firing(*_CHOSEN)], (6, 18)),
            Shelf(8, [_over_time()]),
            Shelf(10, [_history()]),
            Shelf(10, [_noisiest(), _noisiest_servers(), _durations()], (7, 7, 10)),
        ],
    )


def _over_time() -> timeseries.Panel:
    text = Text(
        "Alerts firing on servers",
        "How many alerts fire on all of these servers together, whatever their rules.",
        "short",
    )
    query = flux.joined(
        "server", "alerts_firing", flux.SERVERS, fn="last", over="sum", each="server_id"
    )
    return panels.lines(text, query, name="firing", interval=panels.MINUTE)


def _history() -> table.Panel:
    text = Text(
        "History",
        "Alerts that began, changed their severity or ended, the newest first; held for is how "
        "long the condition had held by then.",
        "short",
    )
    return alert_panels.transitions(text, *_CHOSEN, most=alerts_flux.MOST_ROWS)


def _noisiest() -> table.Panel:
    text = Text("Noisiest rules", "How often alerts of a rule began in the time shown.", "short")
    panel = panels.rows(text, alerts_flux.begun("rule", *_CHOSEN), nothing="No alert began")
    return _bars(columns.plain(panel, "rule", "Rule"))


def _noisiest_servers() -> table.Panel:
    text = Text(
        "Noisiest servers", "How often alerts of a server began in the time shown.", "short"
    )
    query = alerts_flux.begun("server_id", flux.SERVERS, alerts_flux.RULES)
    return _bars(columns.server(panels.rows(text, query, nothing="No alert began")))


def _bars(panel: table.Panel) -> table.Panel:
    panel.transformations([columns.order("rule server_id begun")])
    return columns.gauge(panel, "begun", "Began", "short", thresholds.steps(base="blue"), most=None)


def _durations() -> table.Panel:
    text = Text(
        "Durations",
        "How long the conditions held of alerts that ended in the time shown: on average, and at "
        "most.",
        "s",
    )
    panel = panels.rows(text, alerts_flux.durations(*_CHOSEN), nothing="No alert ended")
    panel.transformations([columns.order("rule ended mean longest")])
    columns.plain(columns.plain(panel, "rule", "Rule"), "ended", "Ended", "short")
    return columns.plain(columns.plain(panel, "mean", "On average"), "longest", "Longest")
