"""hostpulse-pipeline-health: whether what agents send arrives, is stored and looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.dashboards import columns, flux, layout, panels, thresholds, variables
from tools.dashboards.layout import Heading, Shelf
from tools.dashboards.panels import Named, Text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table, timeseries

UID = "hostpulse-pipeline-health"
_LAGS = ((60, thresholds.WARNING), (300, thresholds.CRITICAL))
_LOWEST = 20


def document() -> dict[str, Any]:
    """Return the dashboard."""
    found = layout.dashboard(
        UID,
        "hostpulse pipeline health",
        "The way of samples from agents into the store, and what hostpulse itself rests on.",
        [variables.datasource()],
    )
    return layout.document(
        found,
        [
            Shelf(4, _figures()),
            Shelf(8, [_ingest(), _rejected()]),
            Shelf(8, [_lags(), _writes()]),
            Shelf(8, [_journal(), _room()]),
            Shelf(8, [_quarantine(), _rollups(), _notifications()]),
            Heading("Hosts"),
            Shelf(8, [_completeness(), _incomplete()]),
            Shelf(8, [_versions(), _clocks(), _spools()]),
            Heading("Backups and certificates"),
            Shelf(8, [_backups(), _certificates()]),
        ],
    )


def _figures() -> list[stat.Panel]:
    idle, bad = thresholds.steps(base=thresholds.IDLE), thresholds.none_is_good()
    made = (
        ("Samples taken", "Samples kept, whole or in part.", "short", "samples_per_second", idle),
        (
            "Behind: store",
            "Age of the oldest entry of the journal that is not in the store yet.",
            "s",
            "store_lag_seconds",
            thresholds.steps(*_LAGS),
        ),
        (
            "Behind: alerts",
            "Age of the oldest entry of the journal that no rule was applied to yet.",
            "s",
            "alerts_lag_seconds",
            thresholds.steps(*_LAGS),
        ),
        (
            "Journal has room for",
            "Until samples are refused; 30 days stand for a journal that does not grow.",
            "h",
            "journal_hours_left",
            thresholds.of_rule("journal_filling"),
        ),
        ("Quarantine", "Points that the store refuses.", "short", "quarantine_points", bad),
        (
            "Notifications waiting",
            "Notifications that no channel took yet.",
            "short",
            "notifications_waiting",
            thresholds.steps((1, thresholds.WARNING), (20, thresholds.CRITICAL)),
        ),
    )
    return [
        panels.figure(Text(title, says, unit), flux.newest("pipeline", field), steps)
        for title, says, unit, field, steps in made
    ]


def _pipeline(text: Text, *names: Named, fn: str = "mean", rule: str = "") -> timeseries.Panel:
    fields = " ".join(one.field for one in names)
    query = flux.windows("pipeline", fields, keep=["_field"], fn=fn)
    return panels.lines(text, query, names=names, rule=rule, interval=panels.MINUTE)


def _ingest() -> timeseries.Panel:
    return _pipeline(
        Text("Ingest", "Requests that the api answered and samples that it kept.", "reqps"),
        Named("requests_per_second", "requests"),
        Named("samples_per_second", "samples", unit="cps"),
    )


def _rejected() -> timeseries.Panel:
    return _pipeline(
        Text("Points rejected", "Points and fields that the api rejected.", "cps"),
        Named("rejected_points_per_second", "rejected"),
        fn="max",
    )


def _lags() -> timeseries.Panel:
    return _pipeline(
        Text("Lags", "How far store and alert engine are behind the journal, at most.", "s"),
        Named("store_lag_seconds", "store"),
        Named("alerts_lag_seconds", "alerts"),
        fn="max",
    )


def _writes() -> timeseries.Panel:
    return _pipeline(
        Text("Shipper: a write", "How long the store takes to write a batch, at most.", "ms"),
        Named("store_write_ms", "a batch"),
        fn="max",
    )


def _journal() -> timeseries.Panel:
    return _pipeline(
        Text("Journal", "What entries take in the journal, at most.", "bytes"),
        Named("journal_bytes", "entries"),
        fn="max",
    )


def _room() -> timeseries.Panel:
    return _pipeline(
        Text(
            "Room in the journal",
            "How long it can go on growing before samples are refused, at least.",
            "h",
        ),
        Named("journal_hours_left", "room"),
        fn="min",
        rule="journal_filling",
    )


def _quarantine() -> timeseries.Panel:
    return _pipeline(
        Text(
            "Points in quarantine",
            "Points that the store refuses, waiting for a decision.",
            "short",
        ),
        Named("quarantine_points", "points"),
        fn="max",
    )


def _rollups() -> timeseries.Panel:
    return _pipeline(
        Text(
            "Windows to roll up",
            "Windows of hosts to be rolled up or repaired, the current ones among them: about one "
            "or two a host.",
            "short",
        ),
        Named("rollup_dirty_windows", "windows"),
        fn="max",
    )


def _notifications() -> timeseries.Panel:
    return _pipeline(
        Text("Waiting to be told", "Notifications that no channel took yet, at most.", "short"),
        Named("notifications_waiting", "notifications"),
        fn="max",
    )


def _completeness() -> timeseries.Panel:
    text = Text(
        "Completeness",
        "Of the samples that its agent took, how many of the server that lacks most are stored.",
        "percent",
    )
    query = flux.joined("server", "completeness_percent", fn="min", over="min")
    return panels.lines(text, query, name="least complete", interval=panels.MINUTE)


def _incomplete() -> table.Panel:
    text = Text(
        "Least complete servers", "Servers by how many of their samples are stored.", "percent"
    )
    query = flux.query(f"""
{flux.latest_of_servers("completeness_percent").strip()}
    |> keep(columns: ["server_id", "_value"])
    |> bottom(n: {_LOWEST})
""")
    panel = columns.server(panels.rows(text, query))
    panel.transformations([columns.order("server_id _value")])
    return columns.gauge(panel, "_value", "Stored", "percent", thresholds.completeness())


def _versions() -> table.Panel:
    text = Text("Agents by version", "How many servers run which agent.", "short")
    query = flux.query(f"""
{flux.latest("server", "status").strip()}
    |> group()
    |> filter(fn: (r) => exists r.agent_version)
    |> sort(columns: ["_time"], desc: true)
    |> unique(column: "server_id")
    |> group(columns: ["agent_version"])
    |> count()
    |> group()
    |> sort(columns: ["_value"], desc: true)
""")
    panel = columns.plain(panels.rows(text, query), "agent_version", "Version")
    return columns.gauge(
        panel, "_value", "Servers", "short", thresholds.steps(base="blue"), most=None
    )


def _clocks() -> table.Panel:
    text = Text("Clocks", "The servers whose clocks differ most from the monitor's.", "ms")
    query = flux.query(f"""
{flux.latest_of_servers("clock_offset_ms").strip()}
    |> map(
        fn: (r) =>
            ({{
                server_id: r.server_id,
                offset: r._value,
                _value: if r._value < 0.0 then -r._value else r._value,
            }}),
    )
    |> top(n: {_LOWEST})
    |> drop(columns: ["offset"])
""")
    panel = columns.server(panels.rows(text, query))
    panel.transformations([columns.order("server_id _value")])
    steps = thresholds.of_rule("clock_offset")
    return columns.marked(panel, "_value", "Off by", "ms", steps)


def _spools() -> timeseries.Panel:
    text = Text(
        "Oldest sample in a spool",
        "How long the oldest sample that any agent could not send has been waiting.",
        "s",
    )
    query = flux.joined("agent", "spool_oldest_seconds", fn="max", over="max")
    return panels.lines(text, query, name="oldest")


def _backups() -> table.Panel:
    text = Text(
        "Backups",
        "The last backup of each kind: how old it is, its size, and whether it was compared with "
        "what it was made from.",
        "short",
    )
    panel = panels.rows(
        text,
        _wide("backup", "age_seconds bytes verified", "kind"),
        nothing="No backup was made yet",
    )
    columns.plain(panel, "kind", "Kind")
    columns.marked(panel, "age_seconds", "Age", "s", thresholds.of_rule("backup_age"))
    columns.plain(panel, "bytes", "Size", "bytes")
    return columns.truth(panel, "verified", "Verified")


def _certificates() -> table.Panel:
    text = Text("Certificates", "How long certificates are still valid.", "d")
    panel = panels.rows(text, _wide("certificate", "days_left", "name"))
    columns.plain(panel, "name", "Certificate")
    return columns.marked(
        panel, "days_left", "Days left", "d", thresholds.of_rule("certificate_expiry")
    )


def _wide(measurement: str, fields: str, tag: str) -> str:
    return flux.query(f"""
{flux.latest(measurement, fields).strip()}
    |> group()
    |> map(fn: (r) => ({{r with _field: strings.trimSuffix(v: r._field, suffix: "_last")}}))
    |> pivot(rowKey: ["{tag}"], columnKey: ["_field"], valueColumn: "_value")
""")
