"""Columns of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    ValueMap,
    ValueMappingResult,
)
from tools.dashboards import layout, panels, thresholds

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table
    from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig

_BACKGROUND = {"mode": "basic", "type": "color-background"}
_GAUGE = {"mode": "basic", "type": "gauge", "valueDisplayMode": "text"}


def plain(panel: table.Panel, field: str, title: str, unit: str = "") -> table.Panel:
    """Name a column."""
    return _column(panel, field, displayName=title, **({"unit": unit} if unit else {}))


def server(panel: table.Panel, field: str = "server_id") -> table.Panel:
    """Name the column of servers; a click leads to one."""
    built = panels.to_server(f"${{__data.fields.{field}}}").build()
    link = layout.plain_link(built.to_json())
    return _column(panel, field, displayName="Server", links=[link])


def status(panel: table.Panel, field: str = "status") -> table.Panel:
    """Say a status by name and colour."""
    return _coloured(panel, field, "Status", panels.statuses())


def severity(panel: table.Panel, field: str = "severity") -> table.Panel:
    """Colour a severity."""
    return _coloured(panel, field, "Severity", _words(thresholds.COLOURS))


def state(panel: table.Panel, field: str = "state") -> table.Panel:
    """Colour whether an alert began or ended."""
    words = {"firing": thresholds.CRITICAL, "resolved": thresholds.GOOD}
    return _coloured(panel, field, "State", _words(words))


def gauge(
    panel: table.Panel,
    field: str,
    title: str,
    unit: str,
    steps: ThresholdsConfig,
    *,
    most: float | None = 100,
) -> table.Panel:
    """Draw a column as bars, coloured by thresholds, up to ``most`` if that is known."""
    bounds: dict[str, Any] = {"min": 0} if most is None else {"min": 0, "max": most}
    return _column(
        panel,
        field,
        displayName=title,
        unit=unit,
        decimals=1,
        thresholds=steps.build(),
        **{"custom.cellOptions": _GAUGE},
        **bounds,
    )


def marked(
    panel: table.Panel, field: str, title: str, unit: str, steps: ThresholdsConfig
) -> table.Panel:
    """Colour a column by thresholds."""
    return _column(
        panel,
        field,
        displayName=title,
        unit=unit,
        thresholds=steps.build(),
        **{"custom.cellOptions": {"type": "color-text"}},
    )


def stepped(panel: stat.Panel, field: str, steps: ThresholdsConfig) -> stat.Panel:
    """Colour one of several figures by thresholds of its own."""
    return panel.override_by_name(field, [DynamicConfigValue("thresholds", steps.build())])


def order(names: str) -> DataTransformerConfig:
    """Return what puts columns in this order."""
    places = {name: place for place, name in enumerate(names.split())}
    return DataTransformerConfig(
        "organize", options={"excludeByName": {}, "indexByName": places, "renameByName": {}}
    )


def sorted_by(title: str, *, desc: bool = True) -> TableSortByFieldState:
    """Return a column, by its title, that a table is sorted by."""
    return TableSortByFieldState().display_name(title).desc(desc)


def truth(panel: table.Panel, field: str, title: str) -> table.Panel:
    """Say 0 and 1 as no and yes."""
    options = {
        "0": ValueMappingResult(text="no", color=thresholds.CRITICAL, index=0),
        "1": ValueMappingResult(text="yes", color=thresholds.GOOD, index=1),
    }
    return _coloured(panel, field, title, ValueMap(options=options))


def _coloured(panel: table.Panel, field: str, title: str, mapping: ValueMap) -> table.Panel:
    return _column(
        panel,
        field,
        displayName=title,
        mappings=[mapping],
        **{"custom.cellOptions": _BACKGROUND},
    )


def _words(colours: dict[str, str]) -> ValueMap:
    return ValueMap(
        options={
            word: ValueMappingResult(text=word, color=colour, index=number)
            for number, (word, colour) in enumerate(colours.items())
        }
    )


def _column(panel: table.Panel, field: str, **properties: Any) -> table.Panel:
    values = [DynamicConfigValue(name, value) for name, value in properties.items()]
    return panel.override_by_name(field, values)
