"""Whatever a file holds, reading it ends in rules or in a RulesError."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.errors import RulesError
from hostpulse_server.rules.loading import read_bundle
from hostpulse_server.rules.summary import render_summary

KEYS = (
    *("rules", "tests", "name", "kind", "summary", "runbook", "measurement", "field", "where"),
    *("over", "aggregate", "only_if", "abs", "for", "max_gap", "edge", "keep_firing_for", "levels"),
    *("warning", "critical", "above", "below", "clear_below", "clear_above", "verdicts", "match"),
    *("overrides", "labels", "enabled", "rule", "series", "interval", "values", "expect", "at"),
    *("state", "severity", "server_id", "label.env", "<<", "also", "tags"),
)
FIXED = ("name", "measurement", "field", "levels", "rules", "tests")
scalars = (
    st.sampled_from(("a", "liveness", "5m", "0s", "90x3 _x2", "{{ value }}", "{{", "firing", "*"))
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=2), inner)
    ),
    max_leaves=12,
)
# right in the main, so that reading comes far, with anything in any place
rules = st.fixed_dictionaries(
    {
        "name": st.sampled_from(("a", "b")),
        "measurement": st.just("cpu"),
        "field": st.just("usage_percent"),
        "levels": st.just({"warning": {"above": 80, "clear_below": 75}}) | values,
    },
    optional={key: values for key in KEYS if key not in FIXED},
)
files = st.fixed_dictionaries(
    {"rules": st.lists(rules, max_size=2)},
    optional={"tests": st.lists(values, max_size=2) | values},
)


def read(*texts: str | bytes) -> None:
    """Read files; only a RulesError with faults that say where may come of it."""
    try:
        bundle = read_bundle({f"{number}.yml": text for number, text in enumerate(texts)})
    except RulesError as error:
        faults = error.faults
    else:
        faults = ()
        for rule in bundle.rules.rules.values():
            reported = render_summary(
                rule, value=1.0, threshold=2.0, severity="warning", server_id="web-01"
            )
            assert reported
            bundle.rules.effective(rule.name, "web-01", {"core": "total"}, {"env": "prod"})
    assert all(re.match(r"\d\.yml:\d+: .", fault) for fault in faults)


@given(st.binary(max_size=200) | st.text(st.sampled_from(" \n-:[]{}&*!|>'\"%@a1,?#<"), max_size=80))
def test_arbitrary_bytes_are_rules_or_faults(text: bytes | str) -> None:
    """Also what looks like YAML."""
    read(text)


@given(st.lists(files | values, min_size=1, max_size=2))
def test_arbitrary_documents_are_rules_or_faults(documents: list[Any]) -> None:
    """Known keys in every place, wrong values under them, laid over each other."""
    texts = []
    for document in documents:
        with suppress(yaml.YAMLError):
            texts.append(yaml.safe_dump(document, allow_unicode=True))
    read(*texts)
