"""hostpulse-overview: all servers, what is wrong with them, and the way to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.models.dashboard import DataTransformerConfig
from tools.dashboards import alert_panels, columns, flux, layout, panels, thresholds, variables
from tools.dashboards.layout import Heading, Shelf
from tools.dashboards.panels import Text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries

UID = "hostpulse-overview"
TOTAL = 'r.core == "total"'
_TOP = 10
_TIMELINE_ROWS = 50


def document() -> dict[str, Any]:
    """Return the dashboard."""
    found = layout.dashboard(
        UID,
        "hostpulse overview",
        "All servers: how they are, what fires, who is busiest.",
        [variables.datasource(), *variables.labels(), variables.servers()],
    )
    return layout.document(
        found,
        [
            Shelf(
                4,
                [_statuses(), alert_panels.counts(flux.SERVERS_AND_NONE), _least_complete()],
                (12, 8, 4),
            ),
            Shelf(12, [_fleet()]),
            Shelf(9, [_cpu(), _memory()]),
            Shelf(9, [alert_panels.firing(flux.SERVERS_AND_NONE), _lately()], (10, 14)),
            Shelf(9, [_busiest(), _fullest_memory(), _fullest_disk()]),
            Heading("Over time"),
            Shelf(10, [_timeline(), _spread()]),
        ],
    )


def _statuses() -> stat.Panel:
    counts = ("up", "late", "down", "other")
    identity = ", ".join(f"{name}: 0" for name in counts)
    parts = ", ".join(
        f"{name}: accumulator.{name} + (if r._value == {number}.0 then 1 else 0)"
        for number, name in enumerate(counts[:3])
    )
    other = "other: accumulator.other + (if r._value > 2.0 then 1 else 0)"
    query = flux.query(f"""
{flux.latest_of_servers("status", flux.SERVERS).strip()}
    |> reduce(identity: {{{identity}}}, fn: (r, accumulator) => ({{{parts}, {other}}}))
""")
    text = Text(
        "Servers by status",
        "How many servers are up, late (three intervals without a sample), down (six), or other: "
        "never seen, disabled, or two machines under one id.",
        "short",
    )
    panel = panels.figure(text, query, thresholds.steps(), columns=True)
    colours = {"late": thresholds.WARNING, "down": thresholds.CRITICAL, "other": "blue"}
    for name, colour in colours.items():
        columns.stepped(panel, name, thresholds.steps((1, colour), base=thresholds.IDLE))
    return panel


def _least_complete() -> stat.Panel:
    text = Text(
        "Least complete",
        "Of the samples that its agent took within raw retention, how many percent of the server "
        "that lacks most are stored.",
        "percent",
    )
    query = flux.query(f"""
{flux.latest_of_servers("completeness_percent", flux.SERVERS).strip()}
    |> min()
    |> keep(columns: ["_time", "_value"])
""")
    return panels.figure(text, query, thresholds.completeness())


def _fleet() -> table.Panel:
    text = Text(
        "Fleet",
        "Each server as it is at the end of the time shown; worst disk is its fullest mount. A "
        "click on a server leads to its page.",
        "short",
    )
    now = flux.query(f"""
{flux.latest("server", "status completeness_percent alerts_firing", flux.SERVERS).strip()}
    |> map(
        fn: (r) =>
            ({{
                _field: strings.trimSuffix(v: r._field, suffix: "_last"),
                _time: r._time,
                _value: r._value,
                server_id: r.server_id,
                environment: if exists r.env then r.env else "",
                group: if exists r.group then r.group else "",
                version: if exists r.agent_version then r.agent_version else "",
            }}),
    )
    |> group(columns: ["server_id", "_field"])
    |> sort(columns: ["_time"])
    |> last()
    |> group()
    |> pivot(
        rowKey: ["server_id", "environment", "group", "version"],
        columnKey: ["_field"],
        valueColumn: "_value",
    )
""")
    use = flux.query(f"""
worst = (tables=<-, column) =>
    tables
        |> last()
        |> group(columns: ["server_id"])
        |> max()
        |> group()
        |> keep(columns: ["server_id", "_value"])
        |> set(key: "column", value: column)

union(
    tables: [
        {_recent("cpu", "usage_percent", flux.SERVERS, TOTAL)} |> worst(column: "cpu"),
        {_recent("memory", "used_percent", flux.SERVERS)} |> worst(column: "memory"),
        {_recent("disk", "used_percent", flux.SERVERS)} |> worst(column: "disk"),
    ],
)
    |> pivot(rowKey: ["server_id"], columnKey: ["column"], valueColumn: "_value")
""")
    panel = panels.rows(text, now, use)
    panel.transformations(
        [
            DataTransformerConfig("joinByField", options={"byField": "server_id", "mode": "outer"}),
            columns.order(
                "server_id status cpu memory disk alerts_firing completeness_percent version "
                "environment group"
            ),
        ]
    ).sort_by([columns.sorted_by("Status"), columns.sorted_by("Alerts")])
    columns.server(panel)
    columns.status(panel)
    columns.gauge(panel, "cpu", "CPU", "percent", thresholds.of_rule("cpu_usage"))
    columns.gauge(panel, "memory", "Memory", "percent", thresholds.of_rule("memory_usage"))
    columns.gauge(panel, "disk", "Worst disk", "percent", thresholds.of_rule("disk_usage"))
    columns.marked(panel, "alerts_firing", "Alerts", "short", thresholds.none_is_good())
    columns.marked(
        panel, "completeness_percent", "Completeness", "percent", thresholds.completeness()
    )
    columns.plain(panel, "version", "Agent")
    columns.plain(panel, "environment", "Environment")
    return columns.plain(panel, "group", "Group")


def _cpu() -> timeseries.Panel:
    text = Text(
        "CPU of all servers", "How busy all cores together are, a line a server.", "percent"
    )
    return panels.of_servers(panels.lines(text, _cpu_query(), rule="cpu_usage"))


def _memory() -> timeseries.Panel:
    text = Text("Memory of all servers", "Memory in use, a line a server.", "percent")
    query = flux.windows("memory", "used_percent", flux.SERVERS, keep=["server_id"])
    return panels.of_servers(panels.lines(text, query, rule="memory_usage"))


def _lately() -> table.Panel:
    text = Text(
        "Alerts lately",
        "The newest alerts that began, changed their severity or ended in the time shown.",
        "short",
    )
    return alert_panels.transitions(text, flux.SERVERS_AND_NONE, most=100)


def _busiest() -> table.Panel:
    text = Text("Busiest CPUs", "The servers with the highest mean over the time shown.", "percent")
    query = _top("cpu", "usage_percent", "mean", flux.SERVERS, TOTAL)
    return _ranked(text, query, "CPU", "cpu_usage")


def _fullest_memory() -> table.Panel:
    text = Text(
        "Fullest memory", "The servers with the highest mean over the time shown.", "percent"
    )
    return _ranked(
        text, _top("memory", "used_percent", "mean", flux.SERVERS), "Memory", "memory_usage"
    )


def _fullest_disk() -> table.Panel:
    text = Text(
        "Fullest disks", "The mounts that are fullest at the end of the time shown.", "percent"
    )
    query = flux.query(f"""
{flux.latest("disk", "used_percent", flux.SERVERS).strip()}
    |> group()
    |> keep(columns: ["server_id", "mount", "_value"])
    |> top(n: {_TOP})
""")
    return columns.plain(_ranked(text, query, "Used", "disk_usage"), "mount", "Mount")


def _timeline() -> statetimeline.Panel:
    text = Text(
        "Status of servers",
        f"The status of each server over time; of more than {_TIMELINE_ROWS}, those that had the "
        "worst.",
        "short",
    )
    chosen = flux.source("server", flux.fields("status", "max"), flux.SERVERS)
    query = flux.query(f"""
worst =
    ({chosen.strip()}
        |> max()
        |> group(columns: ["server_id"])
        |> max()
        |> group()
        |> top(n: {_TIMELINE_ROWS})
        |> findColumn(fn: (key) => true, column: "server_id"))
names = array.map(arr: worst, fn: (x) => regexp.quoteMeta(v: x))
shown = regexp.compile(v: "^(" + strings.joinStr(arr: names, v: "|") + ")$")

{chosen.rstrip()}
    |> filter(fn: (r) => r.server_id =~ shown)
    |> aggregateWindow(every: every, fn: max, createEmpty: false, timeSrc: "_start")
    |> keep(columns: ["_time", "_value", "server_id"])
    |> group(columns: ["server_id"])
    |> sort(columns: ["_time"])
""")
    return panels.timeline(text, query)


def _spread() -> heatmap.Panel:
    text = Text(
        "CPU across servers",
        "How many servers are how busy: a line that leaves the crowd shows as a faint spot.",
        "percent",
    )
    return panels.spread(text, _cpu_query())


def _cpu_query() -> str:
    return flux.windows("cpu", "usage_percent", flux.SERVERS, TOTAL, keep=["server_id"])


def _recent(measurement: str, field: str, *conditions: str) -> str:
    condition = flux.fields(field)
    return flux.source(measurement, condition, *conditions, start="recent").strip()


def _top(measurement: str, field: str, fn: str, *conditions: str) -> str:
    return flux.query(f"""
{flux.source(measurement, flux.fields(field, fn), *conditions).strip()}
    |> {fn}()
    |> group()
    |> keep(columns: ["server_id", "_value"])
    |> top(n: {_TOP})
""")


def _ranked(text: Text, query: str, title: str, rule: str) -> table.Panel:
    panel = columns.server(panels.rows(text, query))
    panel.transformations([columns.order("server_id mount _value")])
    return columns.gauge(panel, "_value", title, text.unit, thresholds.of_rule(rule))
