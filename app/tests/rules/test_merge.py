"""Rules of several files, and overrides within one: what holds where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.golden import golden

from hostpulse_server.errors import RulesError
from hostpulse_server.rules import RuleSet, load, load_texts
from hostpulse_server.rules.merge import merge
from hostpulse_server.rules.yaml_nodes import Node, parse

if TYPE_CHECKING:
    from pathlib import Path

PACK = """
rules:
  - name: cpu_usage
    measurement: cpu
    field: usage_percent
    where: {core: total}
    for: 5m
    labels: {team: base, kind: load}
    levels:
      warning: {above: 80, clear_below: 75}
      critical: {above: 95, clear_below: 90}
    overrides:
      - match: {server_id: "build-*", label.env: prod*}
        levels: {warning: {above: 90}, critical: null}
      - match: {server_id: "build-*"}
        enabled: false
      - match: {core: "tot*", label.env: test}
        for: 1h
        labels: {team: testers}
"""

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)


def node_of(document: Any) -> Node:
    """Return a document as the reader has it."""
    node, wrong = parse("a.yml", yaml.safe_dump(document))
    assert not wrong
    return node


def plain(node: Node) -> Any:
    """Return a node's value without places."""
    if node.table is not None:
        return {key: plain(one) for key, one in node.table.items()}
    return [plain(one) for one in node.value] if isinstance(node.value, list) else node.value


def expected(base: Any, changes: Any) -> Any:
    """Say in the shortest way what laying over means."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {
        key: expected(base[key], value) if key in base else value for key, value in changes.items()
    }


@given(documents, documents)
def test_mappings_are_joined_key_by_key_and_all_else_is_replaced(base: Any, changes: Any) -> None:
    """At any depth, and neither side is changed by it."""
    below, above = node_of(base), node_of(changes)
    joined = merge(below, above)
    assert plain(joined) == expected(base, changes)
    assert (plain(below), plain(above)) == (base, changes)
    assert plain(merge(joined, above)) == plain(joined)


def levels_at(rules: RuleSet, server_id: str, **labels: str) -> dict[str, Any] | None:
    """Return the thresholds of cpu_usage on a server."""
    rule = rules.effective("cpu_usage", server_id, {"core": "total"}, labels)
    return None if rule is None else {one.severity: one.threshold for one in rule.levels}


def test_the_first_override_that_matches_counts() -> None:
    """By server, tag and label; a level that is null there is no level."""
    rules = load_texts({"pack": PACK})
    assert levels_at(rules, "web-01") == {"warning": 80, "critical": 95}
    assert levels_at(rules, "build-1", env="production") == {"warning": 90}
    assert levels_at(rules, "build-1", env="test") is None
    assert levels_at(rules, "BUILD-1") == {"warning": 80, "critical": 95}
    tested = rules.effective("cpu_usage", "web-01", {"core": "total"}, {"env": "test"})
    assert tested is not None
    assert tested.labels == {"team": "testers", "kind": "load"}
    assert {level.for_ms for level in tested.levels} == {3_600_000}


def test_a_rule_holds_only_for_its_own_series() -> None:
    """A tag that is not there matches no glob."""
    rules = load_texts({"pack": PACK})
    assert rules.effective("cpu_usage", "web-01", {"core": "0"}, {}) is None
    assert rules.effective("cpu_usage", "web-01", {}, {}) is None


def test_a_later_file_changes_a_threshold_and_nothing_else() -> None:
    """A site's file names the rule and what is different."""
    site = "rules:\n- name: cpu_usage\n  levels: {warning: {above: 85}}\n"
    rules = load_texts({"pack": PACK, "site": site})
    changed, before = rules.rules["cpu_usage"], load_texts({"pack": PACK}).rules["cpu_usage"]
    assert [(one.threshold, one.clear) for one in changed.levels] == [(85, 75), (95, 90)]
    assert [one.match for one in changed.overrides] == [one.match for one in before.overrides]
    assert changed.where == before.where
    assert levels_at(rules, "web-01") == {"warning": 85, "critical": 95}


def test_a_later_file_may_disable_a_rule_or_take_a_key_away() -> None:
    """A null takes away what was there."""
    site = "rules:\n- {name: cpu_usage, for: null, where: {core: null}, overrides: null}\n"
    rule = load_texts({"pack": PACK, "site": site}).rules["cpu_usage"]
    assert ({one.for_ms for one in rule.levels}, rule.where, rule.overrides) == ({0}, {}, ())
    off = load_texts({"pack": PACK, "site": "rules: [{name: cpu_usage, enabled: false}]"})
    assert levels_at(off, "web-01") is None


def test_a_fault_between_files_names_them_all() -> None:
    """The threshold of one under the clear_below of the other."""
    site = "rules:\n- name: cpu_usage\n  levels: {warning: {above: 70}}\n"
    with pytest.raises(RulesError) as caught:
        load_texts({"pack.yml": PACK, "site.yml": site})
    (fault,) = caught.value.faults
    assert fault.startswith("pack.yml:10: rule cpu_usage: levels.warning.clear_below: ")
    assert "write at most 70 (the rule is made up of pack.yml:3, site.yml:2)" in fault
    assert f"{fault}\n" == golden(__file__, "fault-between-files.txt", f"{fault}\n")


def test_what_a_rule_needs_may_come_from_any_file() -> None:
    """Only the whole is judged."""
    texts = {"a": "rules: [{name: x, measurement: m}]", "b": "rules: [{name: x, field: f}]"}
    with pytest.raises(RulesError) as caught:
        load_texts(texts)
    assert [fault.split(": ")[2] for fault in caught.value.faults] == ["levels"]
    rules = load_texts({**texts, "c": "rules: [{name: x, levels: {info: {above: 1}}}]"})
    assert rules.rules["x"].field == "f"


def test_files_come_in_the_order_of_patterns_and_names(tmp_path: Path) -> None:
    """A file that two patterns name is read once; a glob may name none, a path must exist."""
    rule = "rules: [{{name: x, measurement: m, field: f, levels: {{info: {{above: {0}}}}}}}]"
    for number, name in enumerate(("20-site.yml", "10-pack.yml", "30-host.yml")):
        (tmp_path / name).write_text(rule.format(number))
    every, pack = f"{tmp_path}/*.yml", f"{tmp_path}/10-pack.yml"

    def threshold(*patterns: str) -> float:
        return load(patterns).rules["x"].levels[0].threshold

    assert threshold(every) == 2
    assert threshold(every, pack) == 2
    assert threshold(f"{tmp_path}/2*.yml", pack) == 1
    assert load([f"{tmp_path}/*.yaml"]).rules == {}
    with pytest.raises(RulesError, match=r"none\.yml: cannot be read: No such file"):
        load([every, f"{tmp_path}/none.yml"])
