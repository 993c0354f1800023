"""The ``tests:`` of rules files: what they say of a rule, and how they fail."""

from __future__ import annotations

import pytest

from hostpulse_server.errors import RulesError
from hostpulse_server.rule_testing.runner import CaseOutcome, run
from hostpulse_server.rules.loading import read_bundle

CPU = """\
rules:
  - name: cpu_usage
    measurement: cpu
    field: usage_percent
    where: {core: total}
    for: 5m
    max_gap: 25s
    levels:
      warning: {above: 80, clear_below: 75}
      critical: {above: 95, clear_below: 90, for: 1m}
    overrides:
      - match: {server_id: "build-*"}
        levels: {warning: {above: 90}}
      - match: {label.env: test}
        enabled: false
tests:
  - rule: cpu_usage
"""

PASSING = {
    "the contract's example": (
        "series: {interval: 10s, values: 90x31 50x1}",
        "[{at: 5m, state: firing, severity: warning}, {at: 5m10s, state: resolved}]",
    ),
    "one sample too few": ("series: {interval: 10s, values: 90x30 50x1}", "[]"),
    "each level on its own clock": (
        "series: {interval: 10s, values: 99x31 92x2 91 74}",
        "[{at: 1m, state: firing, severity: critical}, {at: 5m40s, state: resolved}]",
    ),
    "and falls back to the lower one": (
        "series: {interval: 10s, values: 99x31 89}",
        (
            "[{at: 1m, state: firing, severity: critical}, "
            "{at: 5m10s, state: firing, severity: warning}]"
        ),
    ),
    "of a gap over max_gap nothing counts": (
        "series: {interval: 10s, values: 90x20 _x3 90x30}",
        "[{at: 5m40s, state: firing, severity: warning}]",
    ),
    "a gap over for starts anew": ("series: {interval: 10s, values: 90x20 _x30 90x30}", "[]"),
    "a gap within it does not": (
        "series: {interval: 10s, values: 90x20 _ 90x10}",
        "[{at: 5m, state: firing, severity: warning}]",
    ),
    "the host is there and the series is not": (
        "series: {interval: 10s, values: 90x31 -x9}",
        "[{at: 5m, state: firing, severity: warning}, {at: 5m50s, state: resolved}]",
    ),
    "the host is silent": (
        "series: {interval: 10s, values: 90x31 _x60}",
        "[{at: 5m, state: firing, severity: warning}]",
    ),
    "an override": ("series: {interval: 10s, values: 90x99, server_id: build-7}", "[]"),
    "a label": ("series: {interval: 10s, values: 99x99, labels: {env: test}}", "[]"),
    "another series": ("series: {interval: 10s, values: 99x99, tags: {core: 0}}", "[]"),
    "another interval": (
        "series: {interval: 1m, values: 90x6}",
        "[]",
    ),
}

SWAP = """\
rules:
  - name: swapping
    measurement: swap
    field: in
    only_if: [{field: out, above: 10}]
    levels: {warning: {above: 5}}
tests:
  - rule: swapping
    series: {interval: 10s, values: 9x6, also: {out: 1x2 20x2 -x2}}
    expect: [{at: 20s, state: firing, severity: warning}, {at: 40s, state: resolved}]
"""


def outcome(text: str) -> CaseOutcome:
    """Run the one test of a file."""
    (case,) = read_bundle({"a.yml": text}).cases
    return run(case)


def cpu(series: str, expect: str) -> CaseOutcome:
    """Run one test of the rule above."""
    return outcome(f"{CPU}    {series}\n    expect: {expect}\n")


@pytest.mark.parametrize("name", PASSING)
def test_a_test_that_expects_what_happens_passes(name: str) -> None:
    """By the state machine that runs live."""
    done = cpu(*PASSING[name])
    assert done.is_passed, list(done.side_by_side())


def test_other_fields_of_the_point_take_part() -> None:
    """``only_if`` looks at the same point; a field that is missing there makes it false."""
    done = outcome(SWAP)
    assert done.is_passed, list(done.side_by_side())


@pytest.mark.parametrize(
    ("expect", "shown"),
    [
        ("[]", [("-", "5m firing warning"), ("-", "5m10s resolved")]),
        (
            "[{at: 5m, state: firing, severity: critical}]",
            [("5m firing critical", "5m firing warning"), ("-", "5m10s resolved")],
        ),
        (
            "[{at: 5m, state: firing, severity: warning}, {at: 5m20s, state: resolved}]",
            [("5m firing warning", "5m firing warning"), ("5m20s resolved", "5m10s resolved")],
        ),
        (
            (
                "[{at: 5m, state: firing, severity: warning}, {at: 5m10s, state: resolved}, "
                "{at: 6m, state: resolved}]"
            ),
            [
                *(("5m firing warning", "5m firing warning"), ("5m10s resolved", "5m10s resolved")),
                ("6m resolved", "-"),
            ],
        ),
    ],
)
def test_a_test_fails_by_any_difference(expect: str, shown: list[tuple[str, str]]) -> None:
    """Time, state, severity, too much and too little."""
    done = cpu("series: {interval: 10s, values: 90x31 50x1}", expect)
    assert not done.is_passed
    assert list(done.side_by_side()) == shown


def test_a_silent_host_is_judged_second_by_second() -> None:
    """Liveness by what the host's address answers."""
    text = """
rules: [{name: live, kind: liveness}]
tests:
  - rule: live
    series: {interval: 10s, values: 1x6 _x80 1x5, answers: false}
    expect: [{at: 3m50s, state: firing, severity: critical}, {at: 14m20s, state: resolved}]
  - rule: live
    series: {interval: 10s, values: 1x6 _x80 1x5, answers: true}
    expect: [{at: 10m50s, state: firing, severity: warning}, {at: 14m20s, state: resolved}]
  - {rule: live, series: {interval: 10s, values: 1x6 _x16 1x5}, expect: []}
"""
    outcomes = [run(case) for case in read_bundle({"a.yml": text}).cases]
    assert [one.is_passed for one in outcomes] == [True] * 3, outcomes


def test_a_test_sees_the_rules_of_its_own_file_and_those_before() -> None:
    """A site that changes a threshold does not break the tests of what it changes."""
    fires = "[{at: 5m, state: firing, severity: warning}]"
    test = f"series: {{interval: 10s, values: 90x31}}\n    expect: {fires}\n"
    site = (
        "rules:\n- name: cpu_usage\n  levels: {warning: {above: 91}}\n"
        "tests:\n- {rule: cpu_usage, series: {interval: 10s, values: 90x31}, expect: []}\n"
    )
    bundle = read_bundle({"pack": f"{CPU}    {test}", "site": site})
    assert [run(case).is_passed for case in bundle.cases] == [True, True]
    before = read_bundle({"tests": site[site.index("tests:") :], "pack": f"{CPU}    {test}"})
    assert [run(case).is_passed for case in before.cases] == [False, True]


FAULTY = {
    "": "expect: is missing; list every transition, [] for none",
    "expect: []": "series: is missing",
    "series: {interval: 10s}\n    expect: []": "series.values: is missing",
    "series: {values: 90y3}\n    expect: []": "series.values: '90y3' is no part of a series",
    "series: {values: 90, interval: 10}\n    expect: []": "series.interval: must be a duration",
    "series: {values: 90, value: 1}\n    expect: []": "series.value: unknown key; did you mean",
    "series: {values: 9, also: {x: q}}\n    expect: []": "series.also.x: 'q' is no part",
    "series: {values: 9}\n    expect: [{at: 5m, state: firing}]": "expect[1].severity: is missing",
    "series: {values: 9}\n    expect: [{at: 5m}]": "expect[1].state: is missing",
    "series: {values: 9}\n    expect: [{at: 5m, state: on}]": "expect[1].state: must be one of",
    "series: {values: 9}\n    expect: 5m": "expect: must be a list",
}


@pytest.mark.parametrize("lines", FAULTY)
def test_a_wrong_test_is_a_fault_of_the_file(lines: str) -> None:
    """Said by the check, before anything runs."""
    with pytest.raises(RulesError) as caught:
        read_bundle({"a.yml": f"{CPU}    {lines}\n"})
    assert any(FAULTY[lines] in fault for fault in caught.value.faults), caught.value.faults


def test_a_test_of_no_rule_is_a_fault() -> None:
    """With the name that was meant."""
    with pytest.raises(RulesError) as caught:
        read_bundle({"a.yml": CPU.replace("rule: cpu_usage", "rule: cpu_usag")})
    assert "tests[1].rule: there is no rule 'cpu_usag'; did you mean cpu_usage?" in str(
        caught.value
    )
