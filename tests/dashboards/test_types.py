"""The committed dashboards have the types of Grafana's foundation SDK, whose check finds faults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard, timeseries
from tests.dashboards.committed import dashboards
from tests.dashboards.schema_types import faults, fields

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = {one.name: one for one in dashboards()}
DETAIL = ALL["hostpulse-server-detail"]


@pytest.mark.parametrize("name", ALL)
def test_a_dashboard_has_the_types_of_the_sdk(name: str) -> None:
    """Keys, types and enums; of options, field config and overrides by the type of the panel."""
    assert list(faults(ALL[name].document)) == []


def test_keys_are_those_of_json() -> None:
    """Not the attributes of the SDK, of which some would be keywords of Python."""
    known = fields(dashboard.VariableModel)
    assert {"type", "includeAll", "auto_min", "skipUrlSync"} <= known.keys()
    assert known["type"].required
    assert not known["allValue"].required
    assert {"datasource", "query", "refId"} == fields(Dataquery).keys()
    assert fields(timeseries.FieldConfig).keys() == fields(common.GraphFieldConfig).keys()


def panel(document: dict[str, Any], kind: str = "timeseries") -> dict[str, Any]:
    """Return the first panel of a type."""
    found: dict[str, Any] = next(one for one in document["panels"] if one["type"] == kind)
    return found


def defaults(document: dict[str, Any], kind: str = "timeseries") -> dict[str, Any]:
    """Return its field config."""
    found: dict[str, Any] = panel(document, kind)["fieldConfig"]["defaults"]
    return found


def variable(document: dict[str, Any]) -> dict[str, Any]:
    """Return a variable that is queried."""
    found: dict[str, Any] = document["templating"]["list"][1]
    return found


def override(document: dict[str, Any], key: str, value: Any) -> None:
    """Add a property to an override of columns."""
    matcher = {"id": "byName", "options": "x"}
    properties = [{"id": key, "value": value}]
    panel(document)["fieldConfig"]["overrides"] = [{"matcher": matcher, "properties": properties}]


# what is done to a dashboard, and what the check says of it
SPOILT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a key of nobody's": (lambda it: it.update(colour="red"), "$.colour: Dashboard has no"),
    "a string for a number": (
        lambda it: it.update(schemaVersion="38"),
        "$.schemaVersion: '38' is no int",
    ),
    "a fraction for an integer": (
        lambda it: panel(it)["gridPos"].update(w=1.5),
        "gridPos.w: 1.5 is no int",
    ),
    "a boolean for a number": (
        lambda it: panel(it).update(maxDataPoints=True),
        "maxDataPoints: True is no float",
    ),
    "a number for a boolean": (lambda it: it.update(editable=1), "$.editable: 1 is no bool"),
    "null": (lambda it: it.update(title=None), "$.title: is null"),
    "an object for a list": (lambda it: it.update(tags={}), "$.tags: {} is no list"),
    "a key too few": (lambda it: it.pop("schemaVersion"), "$.schemaVersion: is missing"),
    "a number of no enum": (
        lambda it: it.update(graphTooltip=3),
        "$.graphTooltip: 3 is no DashboardCursorSync",
    ),
    "a literal": (
        lambda it: panel(it).update(repeatDirection="x"),
        "repeatDirection: 'x' is no 'h' or 'v'",
    ),
    "a type of panel": (lambda it: panel(it).update(type="graph"), ".type: 'graph' is no type of"),
    "an option": (
        lambda it: panel(it)["options"]["legend"].update(show=True),
        "options.legend.show: VizLegendOptions has no",
    ),
    "an option of another type of panel": (
        lambda it: panel(it, "stat")["options"].update(showHeader=True),
        "options.showHeader: Options has no",
    ),
    "an enum in an option": (
        lambda it: panel(it, "stat")["options"].update(colorMode="rainbow"),
        "options.colorMode: 'rainbow' is no BigValueColorMode",
    ),
    "a string for a number in field config": (
        lambda it: defaults(it).update(min="0"),
        "fieldConfig.defaults.min: '0' is no float",
    ),
    "a key in field config": (
        lambda it: defaults(it).update(units="s"),
        "fieldConfig.defaults.units: FieldConfig has no",
    ),
    "a threshold": (
        lambda it: defaults(it).update(
            thresholds={"mode": "absolute", "steps": [{"value": "9", "color": "red"}]}
        ),
        "thresholds.steps[0].value: '9' is no float",
    ),
    "a mapping": (
        lambda it: defaults(it).update(mappings=[{"type": "values", "options": {}}]),
        "mappings[0].type: 'values' is that of none of ValueMap",
    ),
    "what a mapping means": (
        lambda it: defaults(it).update(
            mappings=[{"type": "value", "options": {"0": {"text": "up", "colour": "green"}}}]
        ),
        "mappings[0].options.0.colour: ValueMappingResult has no",
    ),
    "custom field config": (
        lambda it: defaults(it)["custom"].update(lineWidth="1"),
        "fieldConfig.defaults.custom.lineWidth: '1' is no float",
    ),
    "a key in custom field config": (
        lambda it: defaults(it)["custom"].update(width=1),
        "fieldConfig.defaults.custom.width: no such property",
    ),
    "custom field config of a panel without": (
        lambda it: defaults(it, "stat").update(custom={"lineWidth": 1}),
        "fieldConfig.defaults.custom.lineWidth: no such property",
    ),
    "an override": (
        lambda it: override(it, "unit", 7),
        "overrides[0].properties[0](unit): 7 is no str",
    ),
    "a custom override": (
        lambda it: override(it, "custom.transform", "negative"),
        "(custom.transform): 'negative' is no GraphTransform",
    ),
    "an override of nothing": (
        lambda it: override(it, "custom.color", "red"),
        "(custom.color): no such property",
    ),
    "a variable's enum": (
        lambda it: variable(it).update(refresh=9),
        "templating.list[1].refresh: 9 is no VariableRefresh",
    ),
    "a variable's type": (
        lambda it: variable(it).update(type="querying"),
        "templating.list[1].type: 'querying' is no VariableType",
    ),
    "a variable's key": (
        lambda it: variable(it).update(multiple=True),
        "templating.list[1].multiple: VariableModel has no",
    ),
    "a variable's value": (
        lambda it: variable(it)["current"].update(value=7),
        "templating.list[1].current.value: 7 is none of str, list",
    ),
    "a link": (
        lambda it: it["links"][0].update(type="dashboard"),
        "$.links[0].type: 'dashboard' is no DashboardLinkType",
    ),
    "a field's link": (
        lambda it: defaults(it).update(links=[{"title": "", "url": "", "targetBlank": 1}]),
        "defaults.links[0].targetBlank: 1 is no bool",
    ),
    "an annotation": (
        lambda it: it["annotations"]["list"][0].update(enabled=True),
        "annotations.list[0].enabled: AnnotationQuery has no",
    ),
    "an annotation's query": (
        lambda it: it["annotations"]["list"][0]["target"].update(rawQuery=True),
        "annotations.list[0].target.rawQuery: Dataquery has no",
    ),
    "a query's key": (
        lambda it: panel(it)["targets"][0].update(text="x"),
        "targets[0].text: Dataquery has no",
    ),
    "a query that is none": (
        lambda it: panel(it)["targets"][0].update(query=["x"]),
        "targets[0].query: ['x'] is no str",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_the_check_finds(fault: str) -> None:
    """One fault, with the path of where it is."""
    spoil, words = SPOILT[fault]
    document = json.loads(DETAIL.text)
    spoil(document)
    (found,) = faults(document)
    assert found.startswith("$.")
    assert words in found


def test_the_check_looks_into_folded_rows() -> None:
    """Their panels lie within them."""
    document = json.loads(DETAIL.text)
    inside = panel(document)
    document["panels"].remove(inside)
    row = {"type": "row", "id": 999, "collapsed": True, "title": "Row", "panels": [inside]}
    document["panels"].append(row)
    assert list(faults(document)) == []
    inside["options"]["colour"] = "red"
    (found,) = faults(document)
    assert ".panels[0].options.colour" in found
