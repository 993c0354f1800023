"""The dashboards are what the generator makes, and hold to the lints, which find what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.dashboards import lint
from tests.dashboards.committed import FOLDER, Dashboard, dashboards
from tools.dashboards import thresholds
from tools.dashboards.__main__ import FOLDER as WRITTEN
from tools.dashboards.__main__ import generated, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALL = {one.name: one for one in dashboards()}
EACH = pytest.mark.parametrize("name", ALL)
DETAIL = "hostpulse-server-detail"


def test_what_is_committed_is_what_is_generated() -> None:
    """After a change: ``make dashboards``."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    made = generated()
    assert committed.keys() == made.keys()
    for name, text in made.items():
        assert committed[name] == text, f"{name} is not what the generator makes"


def test_they_are_written_where_they_are_committed() -> None:
    """``make dashboards`` names no folder."""
    assert WRITTEN == FOLDER


def test_a_dashboard_that_is_no_more_generated_goes(tmp_path: Path) -> None:
    """Or it would stay in everybody's Grafana for ever."""
    (tmp_path / "former.json").write_text("{}")
    main(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(generated())


@EACH
@pytest.mark.parametrize("check", lint.LINTS, ids=lambda check: check.__name__)
def test_a_dashboard_is_in_order(name: str, check: Callable[[Dashboard], Any]) -> None:
    """Each lint says in its own words why."""
    assert list(check(ALL[name])) == []


@EACH
def test_links_lead_somewhere(name: str) -> None:
    """To dashboards that exist, with variables that those have."""
    assert list(lint.links(ALL[name], ALL)) == []


def test_the_overview_leads_to_a_server() -> None:
    """A click on its name, in a table or on a line, opens its page at the same time."""
    urls = list(lint._values(ALL["hostpulse-overview"].document, "url"))
    servers = ("${__data.fields.server_id}", "${__field.labels.server_id}")
    for server in servers:
        assert any(f"/d/{DETAIL}?var-server={server}&" in url for url in urls)
    assert all("${__url_time_range}" in url for url in urls)


def test_a_panel_that_is_empty_on_a_new_estate_says_why() -> None:
    """No backup before the first night, no share of packets where there are next to none."""
    panels = {one["title"]: one for board in ALL.values() for one in board.panels()}
    for title in ("Backups", "Packet loss", "Firing alerts", "History", "Durations"):
        assert panels[title]["fieldConfig"]["defaults"].get("noValue"), title


def test_thresholds_come_from_the_rules_file() -> None:
    """Above or below, in the order of their values."""
    rules = thresholds.rules().rules
    above = [(step.value, step.color) for step in thresholds.of_rule("cpu_usage").build().steps]
    warning, critical = (level.threshold for level in rules["cpu_usage"].levels)
    assert above == [(None, "green"), (warning, "orange"), (critical, "red")]
    below = thresholds.of_rule("certificate_expiry").build().steps
    warning, critical = (level.threshold for level in rules["certificate_expiry"].levels)
    assert [(step.value, step.color) for step in below] == [
        (None, "red"),
        (critical, "orange"),
        (warning, "green"),
    ]


def _panel(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["panels"] if one["type"] == "timeseries")
    return found


def _spoil(document: dict[str, Any], old: str, new: str) -> None:
    target = _panel(document)["targets"][0]
    assert old in target["query"]
    target["query"] = target["query"].replace(old, new)


# what is done to a dashboard, and the lint that finds it
SPOILT: dict[str, tuple[Callable[[dict[str, Any]], object], Callable[[Dashboard], Any]]] = {
    "a uid of its own": (lambda it: it.update(uid="x"), lint.uid),
    "a newer schema": (lambda it: it.update(schemaVersion=42), lint.shape),
    "no crosshair": (lambda it: it.update(graphTooltip=0), lint.shape),
    "an exotic panel": (lambda it: _panel(it).update(type="grafana-clock-panel"), lint.shape),
    "a number of the server's": (lambda it: it.update(version=7), lint.shape),
    "a fixed data source": (
        lambda it: _panel(it)["targets"][0].update(datasource={"uid": "P951FEA4DE68E13C5"}),
        lint.sources,
    ),
    "a variable's fixed data source": (
        lambda it: it["templating"]["list"][1].update(datasource=None),
        lint.sources,
    ),
    "an annotation's fixed data source": (
        lambda it: it["annotations"]["list"][0]["target"].update(datasource={"uid": "P9"}),
        lint.sources,
    ),
    "nothing asked": (lambda it: _panel(it).pop("targets"), lint.sources),
    "a number twice": (lambda it: _panel(it).update(id=1), lint.numbers),
    "one over another": (lambda it: _panel(it)["gridPos"].update(y=0), lint.grid),
    "one beside the page": (lambda it: _panel(it)["gridPos"].update(w=25), lint.grid),
    "one above the page": (lambda it: _panel(it)["gridPos"].update(y=-100), lint.grid),
    "one of no height": (lambda it: _panel(it)["gridPos"].update(h=0), lint.grid),
    "no title": (lambda it: _panel(it).pop("title"), lint.words),
    "a blank description": (lambda it: _panel(it).update(description=" "), lint.words),
    "a unit of nobody's": (
        lambda it: _panel(it)["fieldConfig"]["defaults"].update(unit="furlong"),
        lint.words,
    ),
    "a column's unit of nobody's": (
        lambda it: _panel(it)["fieldConfig"]["overrides"].append(
            {"properties": [{"id": "unit", "value": "furlong"}]}
        ),
        lint.words,
    ),
    "no description": (lambda it: _panel(it).pop("description"), lint.words),
    "no unit": (lambda it: _panel(it)["fieldConfig"]["defaults"].pop("unit"), lint.words),
    "a unit in a title": (lambda it: _panel(it).update(title="CPU (percent)"), lint.words),
    "a time in a title": (lambda it: _panel(it).update(title="CPU, last 24h"), lint.words),
    "no range": (
        lambda it: _spoil(it, "range(start: v.timeRangeStart, stop: v.timeRangeStop)", "range()"),
        lint.bounds,
    ),
    "no windows": (lambda it: _spoil(it, "aggregateWindow", "window"), lint.bounds),
    "raw for ever": (lambda it: _spoil(it, "bucket: bucket", 'bucket: "x"'), lint.bounds),
    "raw for ever, close": (
        lambda it: _spoil(it, "bucket: bucket", 'bucket:"hostpulse_raw"'),
        lint.bounds,
    ),
    "no such measurement": (lambda it: _spoil(it, '== "cpu"', '== "cpus"'), lint.names),
    "no such field": (lambda it: _spoil(it, "(user_", "(users_"), lint.names),
    "no such variable": (lambda it: _spoil(it, "${server}", "${host}"), lint.variables),
    "no such variable, written otherwise": (
        lambda it: _spoil(it, "${server}", "[[nope]]"),
        lint.variables,
    ),
    "a variable twice": (
        lambda it: it["templating"]["list"].append(it["templating"]["list"][-1]),
        lint.variables,
    ),
    "all servers": (
        lambda it: _spoil(it, '    |> filter(fn: (r) => r.server_id == "${server}")\n', ""),
        lint.servers,
    ),
    "a variable for nothing": (
        lambda it: it["templating"]["list"].append({"name": "more"}),
        lint.variables,
    ),
    "a variable too early": (lambda it: it["templating"]["list"].reverse(), lint.variables),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_lint_finds(fault: str) -> None:
    """A lint that finds nothing wrong in what is wrong is worth nothing."""
    spoil, check = SPOILT[fault]
    document = json.loads(ALL[DETAIL].text)
    spoil(document)
    assert list(check(Dashboard(DETAIL, json.dumps(document), document)))


def test_a_lint_finds_an_unsorted_file() -> None:
    """As an export from Grafana is."""
    document = json.loads(ALL[DETAIL].text)
    backwards = dict(reversed(document.items()))
    text = json.dumps(backwards, indent=2) + "\n"
    assert list(lint.order(Dashboard(DETAIL, text, backwards)))


NOW = "${__url_time_range}"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        (f"/d/hostpulse-nothing?{NOW}", "leads nowhere"),
        (f"/d/{DETAIL}?var-host=x&{NOW}", "no variable host"),
        (f"/d/{DETAIL}?var-server=x", "forgets the time"),
    ],
)
def test_a_lint_finds_a_link(url: str, fault: str) -> None:
    """To no dashboard, to one without that variable, or to another time."""
    document = {**ALL[DETAIL].document, "more": {"url": url}}
    (found,) = lint.links(Dashboard(DETAIL, "", document), ALL)
    assert fault in found


@pytest.mark.parametrize("name", ["keepTime", "includeVars"])
def test_a_lint_finds_a_menu_that_forgets(name: str) -> None:
    """What is chosen goes with whoever goes to another dashboard."""
    document = json.loads(ALL[DETAIL].text)
    document["links"][0][name] = False
    assert list(lint.links(Dashboard(DETAIL, "", document), ALL))


@pytest.mark.parametrize("check", lint.LINTS, ids=lambda check: check.__name__)
def test_a_lint_stands_a_panel_that_lacks_what_another_lint_finds(
    check: Callable[[Dashboard], Any],
) -> None:
    """A fault is a line, not an error of the lint's own."""
    document = json.loads(ALL[DETAIL].text)
    _panel(document).pop("title")
    del document["panels"][-1]["targets"]
    list(check(Dashboard(DETAIL, json.dumps(document), document)))
