"""Panels as hostpulse draws them; each needs a title, what it says and its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from grafana_foundation_sdk.builders import common as made
from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from tools.dashboards import thresholds
from tools.dashboards.queries import lettered

from hostpulse_server.values.server_status import STATUSES

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig

# rows a series at most; with the windows that follow, a panel of 50 servers stays quick
POINTS: Final = 300
# what the server measures comes once a minute
MINUTE: Final = "1m"
_INTERVAL: Final = "10s"
# A line goes on over a window or two that the slowest collectors leave out, and breaks where a
# window of the size of a rollup is empty.
_BRIDGE_MS: Final = 150_000
_COLOURS = ("green", "orange", "red", "blue", "text", "purple")
DETAIL = "/d/hostpulse-server-detail?var-server={}&${{datasource:queryparam}}&${{__url_time_range}}"

Panel = heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel


class Text(NamedTuple):
    """What a panel is called, what it says, and its unit."""

    title: str
    description: str
    unit: str


class Named(NamedTuple):
    """How the series of a field are called; ``below`` draws them under the axis."""

    field: str
    name: str
    below: bool = False
    unit: str = ""


def lines(
    text: Text,
    *queries: str,
    names: tuple[Named, ...] = (),
    name: str = "",
    rule: str = "",
    interval: str = _INTERVAL,
) -> timeseries.Panel:
    """Return lines; ``name`` is that of series which differ by a tag, ``rule`` draws its levels."""
    panel = (
        timeseries.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .targets(list(lettered(queries)))
        .max_data_points(POINTS)
        .interval(interval)
        .line_width(1)
        .fill_opacity(5)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(_BRIDGE_MS)
        .legend(_legend())
        .tooltip(
            made.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if text.unit == "percent":
        panel.min(0).axis_soft_max(100)
    elif not any(one.below for one in names):
        panel.axis_soft_min(0)
    if name:
        panel.display_name(name)
    if rule:
        dashed = made.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(thresholds.of_rule(rule)).thresholds_style(dashed)
    for one in names:
        panel.override_by_regexp(_named(one.field), list(_properties(one)))
    return panel


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Stack the lines of a panel."""
    normal = made.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return panel.stacking(normal).fill_opacity(30)


def of_servers(panel: timeseries.Panel) -> timeseries.Panel:
    """Name lines by server, without a legend as there may be hundreds; a click leads to one."""
    label = "${__field.labels.server_id}"
    return (
        panel.display_name(label)
        .data_links([to_server(label)])
        .fill_opacity(0)
        .legend(_legend().show_legend(show_legend=False))
    )


def figure(
    text: Text,
    query: str,
    steps: ThresholdsConfig,
    *,
    columns: bool = False,
    zero: str = "",
) -> stat.Panel:
    """Return a figure, or with ``columns`` one a column; ``zero`` stands where nothing is found."""
    options = made.ReduceDataOptions().calcs(["lastNotNull"]).fields("" if not columns else "/.*/")
    panel = (
        stat.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .targets(list(lettered([query])))
        .interval(_INTERVAL)
        .max_data_points(POINTS)
        .reduce_options(options)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .thresholds(steps)
    )
    return panel.no_value(zero) if zero else panel


def rows(text: Text, *queries: str, nothing: str = "") -> table.Panel:
    """Return a table; ``nothing`` stands where it would be empty."""
    panel = (
        table.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .targets(list(lettered(queries)))
        .interval(_INTERVAL)
        .max_data_points(POINTS)
        .show_header(show_header=True)
        .thresholds(thresholds.steps(base=thresholds.IDLE))
    )
    return panel.no_value(nothing) if nothing else panel


def spread(text: Text, query: str) -> heatmap.Panel:
    """Return how many series are at which level, over time."""
    buckets = made.HeatmapCalculationOptions().y_buckets(
        made.HeatmapCalculationBucketConfig().mode(common.HeatmapCalculationMode.SIZE).value("5")
    )
    colours = (
        heatmap.HeatmapColorOptions()
        .mode(HeatmapColorMode.SCHEME)
        .scheme("Blues")
        .steps(32)
        .exponent(0.5)
    )
    return (
        heatmap.Panel()
        .title(text.title)
        .description(text.description)
        .unit("short")
        .targets(list(lettered([query])))
        .interval(_INTERVAL)
        .max_data_points(POINTS // 3)
        .calculate(calculate=True)
        .calculation(buckets)
        .color(colours)
        .y_axis(heatmap.YAxisConfig().unit(text.unit).min(0))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .show_legend()
    )


def timeline(text: Text, query: str) -> statetimeline.Panel:
    """Return the status of servers over time."""
    return (
        statetimeline.Panel()
        .title(text.title)
        .description(text.description)
        .unit(text.unit)
        .targets(list(lettered([query])))
        .interval(MINUTE)
        .max_data_points(POINTS)
        .display_name("${__field.labels.server_id}")
        .data_links([to_server("${__field.labels.server_id}")])
        .mappings([statuses()])
        .color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds.steps(base=thresholds.IDLE))
        .show_value(common.VisibilityMode.NEVER)
        .merge_values(merge_values=True)
        .row_height(0.8)
    )


def to_server(text: str) -> DashboardLink:
    """Return the link to a server's page; ``text`` is where Grafana finds the server's id."""
    return DashboardLink("Server Detail").url(DETAIL.format(text))


def statuses() -> ValueMap:
    """Return what the numbers of ``status`` mean."""
    named = enumerate(zip(STATUSES, _COLOURS, strict=True))
    return ValueMap(
        options={
            str(number): ValueMappingResult(text=name.replace("_", " "), color=colour, index=number)
            for number, (name, colour) in named
        }
    )


def _named(field: str) -> str:
    return f"/^{field}(_(mean|max|min|last))?( |$)/"


def _properties(one: Named) -> list[DynamicConfigValue]:
    found = [DynamicConfigValue("displayName", one.name)]
    if one.below:
        found.append(DynamicConfigValue("custom.transform", "negative-Y"))
    if one.unit:
        found.append(DynamicConfigValue("unit", one.unit))
    return found


def _legend() -> made.VizLegendOptions:
    return (
        made.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
