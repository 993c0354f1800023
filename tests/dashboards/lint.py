"""What holds for every dashboard; each lint returns what is wrong, a line each."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from hostpulse_agent.collectors import CATALOGUES

from hostpulse_server.values.server_metrics import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.dashboards.committed import Dashboard

SOURCE = {"type": "influxdb", "uid": "${datasource}"}
WIDTH = 24
SCHEMA_VERSIONS = range(37, 40)  # what Grafana 10 writes, and later ones read
TYPES = {"heatmap", "row", "stat", "state-timeline", "table", "timeseries"}
FIELDS: Final[dict[str, set[str]]] = {
    **{one.measurement: set(one.fields) for one in CATALOGUES},
    **{name: set(one.fields) for name, one in CATALOGUE.items()},
}
_ENDING = "_(?:mean|min|max|last|count|sum)"
_UNITS = re.compile(
    r"%|\b(\d+\s*[smhd]|percent|bytes|bits|[kMG]i?B|ms|seconds?|minutes?|hours?|days?|weeks?)\b"
)
_REDUCED = re.compile(
    r"\|> (aggregateWindow|last|mean|max|min|sum|count|limit|top|bottom|reduce)\("
)
_RANGE = re.compile(
    r"\|> range\(start: (v\.timeRangeStart|recent|oldest|start), stop: (v\.timeRangeStop|stop)\)"
)
_SOURCE = re.compile(r"(?<![.\w])from\(")
_VARIABLE = re.compile(r"(?:\$\{?|\[\[)(\w+)")
# Grafana's names of units; one that it does not know is printed behind the figure
UNITS = {
    *("Bps", "bytes", "cps", "d", "dateTimeAsLocal", "h", "iops", "ms", "percent", "pps", "reqps"),
    *("s", "short"),
}


def uid(one: Dashboard) -> Iterator[str]:
    """Hold the uid to the file's name: links and playbooks rest on it."""
    if one.document.get("uid") != one.name:
        yield f"uid {one.document.get('uid')}"


def shape(one: Dashboard) -> Iterator[str]:
    """Grafana 10 and later can load it, all panels share the crosshair, none is exotic."""
    if one.document["schemaVersion"] not in SCHEMA_VERSIONS:
        yield f"schemaVersion {one.document['schemaVersion']}"
    if one.document["graphTooltip"] != 1:
        yield "the crosshair is not shared"
    yield from (f"panel type {row['type']}" for row in one.rows() if row["type"] not in TYPES)
    yield from (
        f"{name} is the server's to give" for name in ("id", "version") & one.document.keys()
    )


def sources(one: Dashboard) -> Iterator[str]:
    """Every query goes to the data source that the variable names."""
    for panel in one.panels():
        if not panel.get("targets"):
            yield f"{panel.get('title')} asks nothing"
        for place in (panel, *panel.get("targets", ())):
            if place.get("datasource") != SOURCE:
                yield f"{panel.get('title')}: {place.get('datasource')}"
    for other in (*one.variables(), *one.document["annotations"]["list"]):
        for place in (other, other.get("target", other)):
            if other.get("type") != "datasource" and place.get("datasource") != SOURCE:
                yield f"{other['name']}: {place.get('datasource')}"
    first = one.variables()[0]
    if (first["name"], first["type"], first["query"]) != ("datasource", "datasource", "influxdb"):
        yield "the first variable is not the data source"


def numbers(one: Dashboard) -> Iterator[str]:
    """Links to a panel and its alerts rest on its number."""
    counted = Counter(row["id"] for row in one.rows())
    yield from (f"panel id {number} twice" for number, times in counted.items() if times > 1)


def grid(one: Dashboard) -> Iterator[str]:
    """Nothing lies over another or beside the page."""
    for row in one.rows():
        at = row["gridPos"]
        if min(at["x"], at["y"]) < 0 or at["x"] + at["w"] > WIDTH:
            yield f"{row.get('title')} is beside the page"
        if min(at["w"], at["h"]) < 1:
            yield f"{row.get('title')} cannot be seen"
    for first, second in combinations(one.rows(), 2):
        if _meet(first["gridPos"], second["gridPos"]):
            yield f"{first.get('title')} and {second.get('title')} overlap"


def words(one: Dashboard) -> Iterator[str]:
    """Every panel says what it is, in which unit; titles leave units and times to the axes."""
    for panel in one.panels():
        if not all(panel.get(name, "").strip() for name in ("title", "description")):
            yield f"panel {panel['id']} has no title or no description"
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{panel.get('title')} has no unit"
        unknown = set(_values(panel["fieldConfig"], "unit")) | set(_overriding(panel, "unit"))
        yield from (f"{panel.get('title')}: unit {name}" for name in sorted(unknown - UNITS))
    for row in one.rows():
        if _UNITS.search(row.get("title") or ""):
            yield f"{row['title']}: a unit or a time in the title"
    yield from (f"{v['name']} says nothing" for v in one.variables() if not v.get("description"))


def bounds(one: Dashboard) -> Iterator[str]:
    """No query reads beyond its time, or gives every value there is."""
    for question in one.questions():
        text = question.flux
        reads, ranges = len(_SOURCE.findall(text)), len(_RANGE.findall(text))
        if reads != ranges:
            yield f"{question.owner}: {reads} sources and {ranges} ranges"
        if not reads and not re.search(r"start: v\.timeRangeStart,\s+stop: v\.timeRangeStop", text):
            yield f"{question.owner}: neither source nor range"
        if reads and not _REDUCED.search(text):
            yield f"{question.owner}: every value there is"
        if set(re.findall(r"\bbucket:\s*([^\s,)]+)", text)) - {"bucket", "rollup"}:
            yield f"{question.owner}: a bucket that is not chosen by the time range"


def names(one: Dashboard) -> Iterator[str]:
    """Measurements and fields are those that agents and the server declare."""
    for question in one.questions():
        text = question.flux
        measured = re.findall(r'r\._measurement == "(\w+)"', text)
        if not measured:
            yield f"{question.owner} names no measurement"
        declared = {field for name in measured for field in FIELDS.get(name, ())}
        yield from (f"{question.owner}: no {name}" for name in measured if name not in FIELDS)
        asked = re.findall(r'r\._field == "(\w+)"', text)
        for pattern in re.findall(r"r\._field =~ /\^\(([^)]*)\)", text):
            asked += pattern.split("|")
        for field in asked:
            if field not in declared and re.sub(f"{_ENDING}$", "", field) not in declared:
                yield f"{question.owner}: no field {field}"


def variables(one: Dashboard) -> Iterator[str]:
    """Variables that are used exist, before what uses them, and those that exist are used."""
    declared: list[str] = []
    for variable in one.variables():
        used = set(_VARIABLE.findall(json.dumps(variable.get("query"))))
        yield from (f"{variable['name']} before {name}" for name in _own(used) - set(declared))
        if variable["name"] in declared:
            yield f"{variable['name']} twice"
        declared.append(variable["name"])
    used = _own(set(_VARIABLE.findall(one.text)))
    yield from (f"no variable {name}" for name in sorted(used - set(declared)))
    yield from (f"{name} is not used" for name in sorted(set(declared) - used))


def servers(one: Dashboard) -> Iterator[str]:
    """Where servers can be chosen, all that is shown is of those."""
    if "server" not in {variable["name"] for variable in one.variables()}:
        return
    for question in one.questions():
        if question.owner.startswith("variable "):
            continue
        # of alerts, the few rows at the end are asked
        sources = 1 if '"alert"' in question.flux else len(_SOURCE.findall(question.flux))
        if question.flux.count("${server") < sources:
            yield f"{question.owner} is not of the servers that are chosen"


def order(one: Dashboard) -> Iterator[str]:
    """Hold the file to what a machine would write again, so that a difference is a change."""
    again = json.dumps(one.document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if one.text != again:
        yield "not sorted, or not indented by two"


def links(one: Dashboard, others: Mapping[str, Dashboard]) -> Iterator[str]:
    """Links lead to dashboards that exist, and set variables that those have."""
    for url in _values(one.document, "url"):
        address = urlsplit(url)
        target = others.get(address.path.removeprefix("/d/"))
        if target is None:
            yield f"{url} leads nowhere"
            continue
        if "${__url_time_range}" not in url:
            yield f"{url} forgets the time that is chosen"
        known = {variable["name"] for variable in target.variables()}
        given = {name.removeprefix("var-") for name, _ in parse_qsl(address.query)}
        yield from (f"{url}: no variable {name}" for name in sorted(given - known))
    for link in one.document["links"]:
        if not (link.get("keepTime") and link.get("includeVars")):
            yield f"{link['title']} forgets what is chosen"
    tags = {tag for link in one.document["links"] for tag in link["tags"]}
    yield from (f"no tag {tag}" for tag in tags - set(one.document["tags"]))


LINTS: tuple[Callable[[Dashboard], Iterator[str]], ...] = (
    *(uid, shape, sources, numbers, grid, words, bounds, names, variables, servers, order),
)


def _meet(first: dict[str, int], second: dict[str, int]) -> bool:
    return all(
        first[place] < second[place] + second[size] and second[place] < first[place] + first[size]
        for place, size in (("x", "w"), ("y", "h"))
    )


def _own(used: set[str]) -> set[str]:
    return {name for name in used if not name.startswith("__") and name != "url"}


def _overriding(panel: Mapping[str, Any], key: str) -> Iterator[str]:
    """Yield the values that a property of columns has."""
    for one in panel["fieldConfig"]["overrides"]:
        yield from (it["value"] for it in one["properties"] if it["id"] == key)


def _values(node: Any, key: str) -> Iterator[str]:
    """Yield the texts under a key, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and isinstance(value, str) and value:
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)
