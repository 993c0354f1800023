"""Rules files as people get them wrong: every fault at once, with its place and what to write."""

from __future__ import annotations

import pytest

from hostpulse_server.errors import RulesError
from hostpulse_server.rules import Comparison, Level, LivenessLevel, load_texts

RULE = """\
rules:
  - name: cpu_usage
    measurement: cpu
    field: usage_percent
    levels: {warning: {above: 80, clear_below: 75}}
"""


def faults(*texts: str | bytes) -> list[str]:
    """Return what is wrong with files a.yml, b.yml, …."""
    with pytest.raises(RulesError) as caught:
        load_texts({f"{name}.yml": text for name, text in zip("abc", texts, strict=False)})
    return list(caught.value.faults)


def test_a_rule_reads_as_written_and_what_it_leaves_out_has_a_default() -> None:
    """The contract's example and the smallest rule."""
    rules = load_texts(
        {
            "a.yml": """
rules:
  - name: everything
    summary: "CPU {{ value }} %"
    runbook: docs/runbooks.md#x
    measurement: cpu
    field: usage_percent
    where: {core: 0}
    over: 1m
    aggregate: max
    only_if: [{field: steal_percent, below: 5}]
    abs: true
    for: 5m
    max_gap: 25s
    keep_firing_for: 1m30s
    levels:
      critical: {above: 95, clear_below: 90, for: 10s}
      warning: {above: 80}
    labels: {team: no}
  - {name: smallest, measurement: m, field: f, levels: {info: {below: 0}}}
"""
        }
    ).rules
    rule = rules["everything"]
    assert rule.levels == (
        Level("warning", "above", 80, None, 300_000),
        Level("critical", "above", 95, 90, 10_000),
    )
    assert rule.only_if == (Comparison("steal_percent", "below", 5),)
    assert (rule.where, rule.labels) == ({"core": "0"}, {"team": "no"})
    assert (rule.over_ms, rule.aggregate, rule.abs) == (60_000, "max", True)
    assert (rule.max_gap_ms, rule.keep_firing_ms) == (25_000, 90_000)
    small = rules["smallest"]
    assert small.levels == (Level("info", "below", 0, None, 0),)
    assert (small.over_ms, small.aggregate, small.max_gap_ms, small.enabled) == (
        *(0, "mean", None),
        True,
    )


FAULTY = {
    "name: Cpu": ('name: must be lower-case letters, digits and "_"',),
    "colour: red": ("colour: unknown key; known here: name,",),
    "sumary: x": ("sumary: unknown key; did you mean summary?",),
    "for: 5": ('for: must be a duration such as "10s", "5m" or "7d", not 5',),
    "for: -5m": ("for: must be a duration",),
    "max_gap: 0s": ("max_gap: must be at least 1 ms",),
    "over: 8d": ("over: must be at least 0 ms and at most 86400 s",),
    "edge: 1": ("edge: must be true or false, not 1",),
    "abs: 1": ("abs: must be true or false, not 1",),
    "aggregate: sum": ('aggregate: must be one of "mean", "min", "max", "increase"',),
    "aggregate: increase": ("aggregate: increase needs over",),
    "where: [core]": ("where: must be a mapping",),
    "where: {core: [a]}": ("where.core: must be a text, not a list",),
    "only_if: {field: x}": ("only_if: must be a list",),
    "only_if: [{field: x}]": ("only_if[1].above: neither above nor below is there",),
    "only_if: [{above: 1}]": ("only_if[1].field: is missing",),
    "summary: [a]": ("summary: must be a text in quotes, not a list",),
    'summary: "{{ valu }}"': ("summary: names the unknown variable valu; did you mean value?",),
    'summary: "{{ mount }}"': ("summary: names the unknown variable mount; known are value,",),
    'summary: "{{ value"': ("summary: is no template:",),
    'summary: "{{ value | shout }}"': ("summary: is no template: No filter named 'shout';",),
    'runbook: "a\\nb"': ("runbook: must be one line",),
    "kind: heartbeat": ('kind: must be one of "threshold", "liveness", "absent"',),
    "enabled: maybe": ("enabled: must be true or false, not the text 'maybe'",),
    "overrides: [{levels: {}}]": ("overrides[1].match: is missing",),
    "overrides: [{match: {server_id: a}}]": ("overrides[1]: changes nothing",),
    "overrides: [{match: {server_id: a}, for: 1}]": ("overrides[1].for: must be a duration",),
    "overrides: [{match: {server_id: a}, field: x}]": ("overrides[1].field: cannot be overridden",),
    "overrides: [{match: {server_id: a}, levels: {warning: {above: 70}}}]": (
        "overrides[1].levels.warning.clear_below: 75 is more than above, which is 70; write",
    ),
    "overrides: [{match: {server_id: a}, levels: {warning: null}}]": (
        "overrides[1].levels: holds no level",
    ),
    "for: 1m\n    for: 2m": ("for: is there twice, first in line 6; keep one",),
    "abs: !!python/object:x y": ("is not known here; leave it out",),
}


@pytest.mark.parametrize("line", FAULTY)
def test_a_wrong_key_is_named_with_its_place_and_what_to_write(line: str) -> None:
    """Each wrong line below an otherwise right rule."""
    found = faults(f"{RULE}    {line}\n")
    for expected in FAULTY[line]:
        assert any(expected in one for one in found), found
    assert all(one.startswith(("a.yml:2: ", "a.yml:6: ", "a.yml:7: ")) for one in found), found


LEVELS = {
    "{}": "levels: holds no level",
    "{fatal: {above: 1}}": "levels.fatal: unknown key; known here: info, warning, critical",
    "{warning: 80}": "levels.warning: must be a mapping",
    "{warning: {}}": "levels.warning.above: neither above nor below is there; write one of them",
    "{warning: {above: 1, below: 2}}": "levels.warning.below: both above and below are there",
    "{warning: {above: high}}": "levels.warning.above: must be a number, not the text 'high'",
    "{warning: {above: '80'}}": "levels.warning.above: must be a number, not the text '80'",
    "{warning: {above: 010}}": "levels.warning.above: is 8 in YAML, so write 8, not 010",
    "{warning: {above: 1:30}}": "levels.warning.above: is 90 in YAML, so write 90, not 1:30",
    "{warning: {above: .nan}}": "levels.warning.above: must be a number, not .nan",
    "{warning: {above: true}}": "levels.warning.above: must be a number, not true",
    "{warning: {above: 80, clear_below: 85}}": "levels.warning.clear_below: 85 is more than",
    "{warning: {below: 10, clear_above: 5}}": "levels.warning.clear_above: 5 is less than",
    "{warning: {above: 80, clear_above: 75}}": "clear_above: does not go with above; write clear_b",
    "{warning: {below: 80, clear_below: 75}}": "clear_below: does not go with below; write clear_a",
    "{warning: {above: 95}, critical: {above: 80}}": "levels.warning: above 95 is harder to reach",
    "{warning: {below: 5}, critical: {below: 10}}": "levels.warning: below 5 is harder to reach",
    "{warning: {above: 5}, critical: {below: 1}}": "levels.warning: is above 5 while critical is",
}


@pytest.mark.parametrize("levels", LEVELS)
def test_levels_that_do_not_fit_together_are_refused(levels: str) -> None:
    """Each set of levels of an otherwise right rule."""
    found = faults(f"rules: [{{name: a, measurement: m, field: f, levels: {levels}}}]")
    assert len(found) == 1, found
    assert found[0].startswith("a.yml:1: rule a: ")
    assert LEVELS[levels] in found[0]


def test_equal_thresholds_are_levels_when_the_higher_one_waits_longer() -> None:
    """Read-only for a minute is a warning, for ten it is critical."""
    text = "{warning: {above: 0, for: 1m}, critical: {above: 0, for: 10m}}"
    rules = load_texts({"a": f"rules: [{{name: a, measurement: m, field: f, levels: {text}}}]"})
    assert [level.for_ms for level in rules.rules["a"].levels] == [60_000, 600_000]


def test_all_faults_of_all_files_come_at_once_in_order() -> None:
    """Whoever fixes them does not go round by round."""
    found = faults(
        "rules:\n- {name: a, levels: {warning: {above: 1}}}\n- measurement: x\n  colour: red\n",
        "rule: []\n",
        "rules:\n  [",
    )
    assert [one.split(": ")[0] for one in found] == [
        *("a.yml:2", "a.yml:2"),  # measurement, field
        *("a.yml:3", "a.yml:3", "a.yml:3", "a.yml:4"),  # name, field, levels; colour
        *("b.yml:1", "c.yml:3"),
    ]
    assert found[-2] == "b.yml:1: rule: unknown key; did you mean rules?"
    assert found[-1].startswith("c.yml:3: is not YAML: ")


def test_a_second_rule_of_one_name_in_a_file_is_a_fault() -> None:
    """In one file it is a mistake, in a later file a change."""
    second = RULE.removeprefix("rules:\n")
    assert faults(RULE + second) == [
        "a.yml:6: rule cpu_usage: is there twice, first in line 2; keep one"
    ]


LIVENESS = {
    "": (
        LivenessLevel("warning", ("agent_stopped", "path_broken"), 600_000),
        LivenessLevel("critical", ("host_down", "silent"), 180_000),
    ),
    "levels: {critical: {above: 180}}": (
        LivenessLevel("critical", ("host_down", "agent_stopped", "path_broken", "silent"), 180_000),
    ),
    "for: 5m, levels: {critical: {}, warning: {verdicts: [silent], for: 1m}}": (
        LivenessLevel("warning", ("silent",), 60_000),
        LivenessLevel("critical", ("host_down", "agent_stopped", "path_broken", "silent"), 300_000),
    ),
}


@pytest.mark.parametrize("levels", LIVENESS)
def test_a_liveness_rule_says_how_long_which_silence_may_last(levels: str) -> None:
    """With its defaults."""
    text = ", ".join(filter(None, ("name: liveness", "kind: liveness", levels)))
    rule = load_texts({"a": f"rules: [{{{text}}}]"}).rules["liveness"]
    assert (rule.kind, rule.levels, rule.liveness) == ("liveness", (), LIVENESS[levels])


def test_a_liveness_rule_compares_no_field() -> None:
    """What has no meaning there is said."""
    found = faults(
        "rules:\n- {name: a, kind: liveness, field: f, over: 1m,\n"
        "   levels: {critical: {verdicts: [dead], above: 1, for: 3m}}}"
    )
    assert [one.split(": ")[2] for one in found] == [
        *("field", "over"),
        *("levels.critical.above", "levels.critical.verdicts"),
    ]


def test_an_absent_rule_says_of_what_and_for_how_long() -> None:
    """With its defaults: what a host had for a day, after five minutes, for a week."""
    text = "rules: [{name: a, kind: absent, measurement: disk, field: hung}]"
    rule = load_texts({"a": text}).rules["a"]
    assert rule.levels == (Level("warning", "above", 0.5, 0.5, 300_000),)
    assert (rule.present_for_ms, rule.forget_after_ms) == (86_400_000, 7 * 86_400_000)


def test_an_absent_rule_compares_no_value() -> None:
    """What has no meaning there, or is over before it fires, is said."""
    known = (
        *("name", "kind", "summary", "runbook", "for", "levels", "labels", "enabled"),
        *("measurement", "field", "where", "present_for", "forget_after"),
    )
    found = faults(
        "rules:\n- {name: a, kind: absent, field: f, max_gap: 1m, forget_after: 10m,\n"
        "   levels: {critical: {above: 1, for: 10m}}}"
    )
    assert sorted(one.split(": ", 2)[2] for one in found) == [
        "forget_after: must be longer than for, or the alert is over before it fires",
        "levels.critical.above: unknown key; a level of kind: absent has only for",
        f"max_gap: unknown key; of kind: absent only {', '.join(known)} and overrides",
        "measurement: is missing; name what to look at, such as cpu",
    ]


BROKEN = {
    "a tab": ("rules:\n\t- a", "is not YAML"),
    "not UTF-8": (b"rules: \xff", "is not YAML"),
    "deep nesting": ("[" * 500_000, "is nested more than 32 deep"),
    "a loop": ("rules: &a [*a]", "*a stands before the end of any &a"),
    "too large": ("#" * (2**20 + 1), "has more than 1 MiB"),
    "an aliases bomb": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        "holds too much",
    ),
    "two documents": ("rules: []\n---\nrules: []\n", "has a second document"),
    "a list": ("- name: a", "must be a mapping"),
    "a number that is none": ("rules: 0b_", "cannot be read; put a text in quotes"),
    "half a character": ("rules: \ud800", "is not YAML"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_rules_file_is_refused_at_once(name: str) -> None:
    """Neither crash nor endless work."""
    text, expected = BROKEN[name]
    assert expected in faults(text)[0]  # type: ignore[arg-type]


def test_a_fault_is_one_line_whatever_the_key_is_made_of() -> None:
    """Nothing of a file moves the cursor of whoever checks it, or fills the screen."""
    found = faults('"a\\e[31m\\nb": 1\n', f"? {'x' * 5000}\n: 1\n")
    assert found[0].startswith(r"a.yml:1: a\x1b[31m\nb: unknown key")
    assert len(found[1]) == 1000


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "rules: []", "rules:\ntests:\n"])
def test_a_file_may_hold_nothing(text: str) -> None:
    """A site's file starts empty."""
    assert load_texts({"a": text}).rules == {}


def test_anchors_save_writing() -> None:
    """Aliases and merge keys; what a mapping says itself comes before what it inherits."""
    rules = load_texts(
        {
            "a": """
rules:
  - &base
    name: first
    measurement: m
    field: f
    levels: &levels {warning: {above: 1}}
  - <<: *base
    name: second
  - {name: third, measurement: m, field: g, levels: *levels}
"""
        }
    ).rules
    assert list(rules) == ["first", "second", "third"]
    assert rules["second"].field == "f"
    assert rules["third"].levels == rules["first"].levels


def test_the_digest_names_the_content_and_not_how_it_is_written() -> None:
    """What follows the rules reloads only what is different."""
    same = load_texts({"b": "# a comment\n" + RULE.replace("above: 80", "above: 80  ")})
    other = load_texts({"b": RULE.replace("80", "81")})
    assert load_texts({"a": RULE}).digest == same.digest != other.digest
