"""The sentence that an alert is told by."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.formatting import SINGLE_LINE_LENGTH, figure
from hostpulse_server.rules import Rule, render_summary


def sentence(summary: str, **given_values: Any) -> str:
    """Return a rule's summary, filled in."""
    rule = Rule("disk_usage", "threshold", summary, "", "disk", "used_percent", labels={"a": "b"})
    known = {"value": 91.25, "threshold": 90.0, "severity": "critical", "server_id": "web-01"}
    return render_summary(rule, **{**known, **given_values})


def test_a_summary_may_name_all_that_the_docs_list() -> None:
    """Every variable, a tag by its name and in tags, labels of the server and the rule."""
    text = (
        "{{ value }} {{ threshold }} {{ server_id }} {{ server_name }} {{ severity }} {{ rule }} "
        "{{ measurement }} {{ field }} {{ mount }} {{ tags.mount }} {{ labels.env }} {{ labels.a }}"
    )
    reported = sentence(
        text, server_name="Web", tags={"mount": "/srv"}, labels={"env": "prod", "a": "c"}
    )
    assert reported == ("91.2 90 web-01 Web critical disk_usage disk used_percent /srv /srv prod b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((80.0, "80"), (80.04, "80"), (12.34, "12.3"), (-0.0, "0"), (-3.25, "-3.2")),
        *((0.0421, "0.042"), (1e-15, "0"), (12345678901.0, "12345678901"), (1e300, "1e+300")),
        *((math.nan, "nan"), (math.inf, "inf"), (0.999, "1")),
    ],
)
def test_a_number_reads_well(value: float, text: str) -> None:
    """One decimal, and no zeros that say nothing."""
    assert figure(value) == text
    assert sentence("{{ value }}", value=value) == text


def test_a_value_in_a_summary_can_be_told_from_its_threshold() -> None:
    """Not 90 % above 90 %."""
    text = "{{ value }} % > {{ threshold }} %, {{ '%.1f' | format(value) }}"
    assert sentence(text, value=90.04, threshold=90.0) == "90.04 % > 90 %, 90.0"


def test_arithmetic_in_a_summary_leaves_no_noise() -> None:
    """0.1 + 0.2 is 0.3."""
    assert sentence("{{ value + 0.2 }}", value=0.1) == "0.3"
    assert sentence("{{ (value / 1024) | round(2) }} KiB", value=2000.0) == "1.95 KiB"
    assert sentence("{{ '%.3f' | format(value) }}") == "91.250"


@pytest.mark.parametrize(
    "summary",
    [
        *("{{ value / 0 }}", "{{ 'a' + 1 }}", "{{ tags.x.y }}", "{{", "", "  "),
        *("{% for a in range(10**9) %}x{% endfor %}", "{{ ''.__class__.__mro__[1].x.y }}"),
    ],
)
def test_a_summary_that_cannot_be_filled_in_gives_way_to_a_plain_sentence(summary: str) -> None:
    """An alert is told whatever its sentence is like."""
    assert sentence(summary, tags={"mount": "/srv"}) == (
        "disk_usage on web-01, mount /srv: disk used_percent is 91.2 (threshold 90)"
    )
    assert sentence("", value=None, threshold=None) == "disk_usage on web-01"


@given(st.text(max_size=60), st.text(max_size=500), st.floats() | st.none())
def test_a_sentence_is_one_line_whatever_it_is_made_of(
    summary: str, mount: str, value: float | None
) -> None:
    """Printable, and no longer than a message bears."""
    reported = sentence(f"{summary} {{{{ mount }}}}", tags={"mount": mount}, value=value)
    assert reported.isprintable()
    assert 0 < len(reported) <= SINGLE_LINE_LENGTH


def test_a_value_of_a_tag_is_no_template() -> None:
    """A host's own words are never run."""
    assert sentence("{{ mount }}", tags={"mount": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}"


@pytest.mark.parametrize(
    ("value", "names", "text"),
    [
        (1.0, (), "1 process lacks"),
        (2.0, (), "2 processes lack"),
        (0.0, (), "0 processes lack"),
        (1.0, ("md0",), "md0 lacks"),
        (2.0, ("md0", "md1"), "md0, md1 lack"),
        (2.0, ("md0",), "2 processes lack"),
        (1.5, ("md0",), "1.5 processes lack"),
        (math.nan, ("md0",), "nan processes lack"),
        (math.inf, ("md0",) * 20, "inf processes lack"),
        (7.0, tuple("abcdefg"), "a, b, c, d, e and 2 more lack"),
        (200.0, tuple("abcdefghijklmnopqrst"), "a, b, c, d, e and 195 more lack"),
    ],
)
def test_what_is_counted_reads_well_for_one_and_for_many(
    value: float, names: tuple[str, ...], text: str
) -> None:
    """With names where they are known and as many as the value says."""
    summary = (
        "{{ names or value | counted('process', 'processes') }} "
        "{{ value | plural('lacks', 'lack') }}"
    )
    assert sentence(summary, value=value, threshold=0.5, names=names) == text
    assert sentence("{{ value | counted('unit') }}", value=1.0, threshold=0.5) == "1 unit"
