"""Variables, intervals and macros go into a query as Grafana's documentation says.

What is quoted is of these pages:

- https://grafana.com/docs/grafana/v10.0/dashboards/variables/variable-syntax/
- https://grafana.com/docs/grafana/v8.5/variables/formatting-multi-value-variables/
- https://grafana.com/docs/grafana/v8.5/variables/variable-selection-options
- https://grafana.com/docs/grafana/v9.0/variables/variable-types/global-variables/
- https://grafana.com/docs/grafana/v8.2/datasources/influxdb/influxdb-flux/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dashboards.interpolation import (
    ALL,
    CustomAll,
    InterpolationError,
    Macros,
    duration,
    expand,
    interpolate,
    panel_interval_ms,
    selected,
)

if TYPE_CHECKING:
    from tests.dashboards.interpolation import Value

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# 2020-06-11T13:31:00Z and an hour later
RANGE = Macros(1_591_882_260_000, 1_591_885_860_000, 5_000, "grafana", 'the "org"')
SPECIAL = r"\^$*+?.()|[]{}/"
TEXTS = st.text(st.one_of(st.sampled_from(SPECIAL + "-#&~ \n"), st.characters()), min_size=1)


@pytest.mark.parametrize(
    ("text", "value", "result"),
    [
        ("apps.frontend.$server.requests.count", "web", "apps.frontend.web.requests.count"),
        ("apps.${server}2.requests", "web", "apps.web2.requests"),
        ("${server:regex}", ["test1.", "test2"], r"(test1\.|test2)"),
        ("${server:regex}", ["host1", "host2", "host3"], "(host1|host2|host3)"),
        ("${server:regex}", "test1.", r"test1\."),
        ("${server:regex}", ["test1."], r"test1\."),
        ("$server and ${server}", "web", "web and web"),
        ("no variable", "web", "no variable"),
    ],
)
def test_a_variable_is_replaced_by_its_value(text: str, value: Value, result: str) -> None:
    """In each syntax; the format ``regex`` escapes, and joins several values."""
    assert interpolate(text, {"server": value}) == result


@pytest.mark.parametrize(
    ("text", "value", "named"),
    [
        ("$sever", "web", "no variable sever"),
        ("${sever:regex}", "web", "no variable sever"),
        ("${__data.fields.server}", "web", "no variable __data.fields.server"),
        ("${server:glob}", "web", "no format glob"),
        ("${server:regexp}", CustomAll(".*"), "no format regexp"),
        ("[[server]]", "web", "deprecated"),
        ("[[server:regex]]", "web", "deprecated"),
        ("${server}", ["web", "db"], "server has several values"),
    ],
)
def test_what_cannot_be_replaced_is_an_error_that_names_it(
    text: str, value: Value, named: str
) -> None:
    """Grafana leaves some as they stand, and takes ``glob`` for an unknown format."""
    with pytest.raises(InterpolationError, match=re.escape(named)):
        interpolate(text, {"server": value})


def test_what_a_value_contains_is_not_replaced() -> None:
    """A name with a dollar in it is a name."""
    assert interpolate("$a", {"a": "${b}$__interval", "b": "x"}) == "${b}$__interval"


@pytest.mark.parametrize(
    ("variable", "choice", "result"),
    [
        ({}, ALL, r"(a\.b|c)"),
        ({"allValue": ""}, ALL, r"(a\.b|c)"),
        ({"allValue": ".*"}, ALL, ".*"),
        ({"allValue": ".*"}, ["a.b", "c"], r"(a\.b|c)"),
        ({"allValue": ".*"}, "a.b", r"a\.b"),
    ],
)
def test_all_is_every_option_or_the_custom_all_value(
    variable: dict[str, Any], choice: str | list[str], result: str
) -> None:
    """The custom all value "is never escaped"."""
    value = selected(variable, ["a.b", "c"], choice)
    assert interpolate("${server:regex}", {"server": value}) == result


def test_a_custom_all_value_needs_no_format() -> None:
    """It goes in as it is either way."""
    assert interpolate("$server", {"server": CustomAll("^.*/$")}) == "^.*/$"


@given(st.lists(TEXTS, min_size=1, max_size=5), st.lists(TEXTS, max_size=20))
def test_a_regex_matches_its_values_and_nothing_else(values: list[str], others: list[str]) -> None:
    """Whatever characters they have."""
    pattern = re.compile(interpolate("${server:regex}", {"server": values}))
    for one in (*values, *others, *(f"{value}x" for value in values)):
        assert bool(pattern.fullmatch(one)) == (one in values)


@given(TEXTS)
def test_a_regex_of_one_value_matches_that_value_alone(value: str) -> None:
    """It has no parentheses, so an alternative in it would show."""
    pattern = re.compile(interpolate("x${server:regex}y", {"server": value}))
    assert pattern.fullmatch(f"x{value}y")
    assert not pattern.fullmatch("x")


@pytest.mark.parametrize(
    ("flux", "result"),
    [
        (
            "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
            "range(start: 2020-06-11T13:31:00Z, stop: 2020-06-11T14:31:00Z)",
        ),
        ("aggregateWindow(every: v.windowPeriod)", "aggregateWindow(every: 5s)"),
        ("from(bucket: v.defaultBucket)", 'from(bucket: "grafana")'),
        ("buckets(org: v.organization)", r'buckets(org: "the \"org\"")'),
        ("every: $__interval, n: $__interval_ms", "every: 5s, n: 5000"),
        ("every: ${__interval}, n: ${__interval_ms}", "every: 5s, n: 5000"),
        (
            "map(fn: (v) => v.other + r.v.windowPeriod)",
            "map(fn: (v) => v.other + r.v.windowPeriod)",
        ),
        ("v.timeRangeStarts", "v.timeRangeStarts"),
    ],
)
def test_a_macro_is_replaced(flux: str, result: str) -> None:
    """Variables are replaced before, and leave macros as they are."""
    assert expand(interpolate(flux, {}), RANGE) == result


@pytest.mark.parametrize("macro", ["v.windowPeriod", "$__interval_ms", "v.defaultBucket"])
def test_a_macro_without_a_value_is_an_error_that_names_it(macro: str) -> None:
    """The query of a variable has no interval."""
    with pytest.raises(InterpolationError, match=re.escape(macro)):
        expand(macro, Macros(0, HOUR_MS))


def test_times_are_exact_to_the_millisecond() -> None:
    """A window that begins later misses a value."""
    macros = Macros(1_591_882_260_007, 1_591_882_260_120)
    text = expand("v.timeRangeStart v.timeRangeStop", macros)
    assert text == "2020-06-11T13:31:00.007Z 2020-06-11T13:31:00.120Z"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(1_200_000, "20m"), (5_000, "5s"), (1_500, "1500ms"), (7_200_000, "2h"), (DAY_MS, "1d")],
)
def test_an_interval_is_text_and_milliseconds(milliseconds: int, text: str) -> None:
    """It says: "If the $__interval is 20m then the $__interval_ms is 1200000"."""
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("days", "interval_ms"),
    [
        (1 / 24, 2_000),
        (1 / 4, 15_000),
        (1 / 2, 30_000),
        (1, 60_000),
        (2, 120_000),
        (7, 300_000),
        (30, 1_800_000),
        (90, HOUR_MS),
        (182, 3 * HOUR_MS),
        (365, 6 * HOUR_MS),
    ],
)
def test_a_panels_interval_is_its_range_by_its_points_rounded(
    days: float, interval_ms: int
) -> None:
    """As somebody saw it with 1528 points: https://wordpress.angerball.net/?p=203 ."""
    assert panel_interval_ms(int(days * DAY_MS), 1528) == interval_ms


def test_a_panels_interval_is_at_least_its_minimum() -> None:
    """It says: "A lower limit for the auto group by time interval"."""
    assert panel_interval_ms(HOUR_MS, 300, 10_000) == 10_000
    assert panel_interval_ms(HOUR_MS, 300, 60_000) == 60_000
    assert panel_interval_ms(DAY_MS, 300, 60_000) == 300_000
