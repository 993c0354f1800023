"""Which rules hold for a series, found by an index; and what an edit leaves as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tests.evaluation.watching import Watched, above, disk, rule, rules
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostpulse_server.evaluation.compiled import Compiler
from hostpulse_server.evaluation.rule_index import RuleIndex
from hostpulse_server.rules import Override, RuleSet

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER = "web-01"
GLOBS = st.sampled_from(["a", "ab", "a*", "*b", "?b", "[ab]*", "*", "a.b", "[a", "", "[!a]*"])
VALUES = st.sampled_from(["a", "ab", "b", "a.b", "axb", "[a", "A"])
WHERE = st.dictionaries(st.sampled_from(["mount", "device"]), GLOBS, max_size=2)
MATCH = st.dictionaries(
    st.sampled_from(["mount", "server_id", "label.env"]), st.just("*") | GLOBS, max_size=2
)


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    """Return rules with overrides that disable them or look elsewhere."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        name = f"rule_{number}"
        where = draw(WHERE)
        overrides = tuple(
            Override(
                draw(MATCH),
                rule(
                    above("warning", 50 + each),
                    name=name,
                    where=draw(st.sampled_from([where, {"mount": "b"}])),
                    enabled=draw(st.booleans()),
                ),
            )
            for each in range(draw(st.integers(0, 3)))
        )
        found.append(rule(name=name, where=where, overrides=overrides, enabled=draw(st.booleans())))
    return rules(*found)


ELSEWHERE = rule(where={"mount": "a"}, overrides=(Override({}, rule(where={"mount": "b"})),))


@settings(max_examples=300)
@example(given_rules=rules(ELSEWHERE), server_id="a", tags={"mount": "b"}, labels={})
@given(
    given_rules=rule_sets(),
    server_id=VALUES,
    tags=st.dictionaries(st.sampled_from(["mount", "device"]), VALUES),
    labels=st.dictionaries(st.sampled_from(["env"]), VALUES),
)
def test_an_index_finds_what_holds(
    given_rules: RuleSet, server_id: str, tags: Mapping[str, str], labels: Mapping[str, str]
) -> None:
    """The same rules as when each is asked, in the same order, together and one by one."""
    effective = {
        name: given_rules.effective(name, server_id, tags, labels) for name in given_rules.rules
    }
    index = RuleIndex(given_rules.rules.values())
    overrides = index.overrides(server_id, labels)
    found = [variant.rule for variant in index.variants("disk", tags, overrides)]
    assert list(map(id, found)) == [id(one) for one in effective.values() if one is not None]
    for name, one in effective.items():
        variant = index.variant(name, tags, overrides)
        assert (variant and variant.rule) is one


def test_what_an_edit_does_not_concern_stays_compiled() -> None:
    """Rules are compared by what they say, not by when they were read."""
    kept, other = rule(name="kept", where={"mount": "/"}), rule(name="other", where={"mount": "/x"})
    before = Compiler(rules(kept, other))
    layout = before.plan(SERVER, [disk(1)], {})
    concerned = before.plan(SERVER, [disk(1, mount="/x")], {})
    again = rule(name="kept", where={"mount": "/"})
    changed = rule(above("warning", 90), name="other", where={"mount": "/x"})
    after = Compiler(rules(again, changed), before)
    assert (after.changed, after.touched) == ({"other"}, {"disk"})
    assert after.plan(SERVER, [disk(1)], {}) is layout
    found = after.plan(SERVER, [disk(1, mount="/x")], {})
    assert found is not concerned
    assert [one.high for one in found.compiled_rules] == [90]


def test_labels_that_change_find_other_overrides() -> None:
    """What was found for a server holds as long as its labels do."""
    lower = Override({"label.env": "test"}, rule(above("warning", 50)))
    compiler = Compiler(rules(rule(overrides=(lower,))))
    found = [
        compiler.plan(SERVER, [disk(1)], labels).compiled_rules[0].high
        for labels in ({}, {"env": "test"}, {"env": "prod"})
    ]
    assert found == [80, 50, 80]


def test_an_edit_keeps_clocks_and_trends_of_what_it_does_not_concern() -> None:
    """A host without the measurement of the rule that was edited goes on as if there was none."""
    waiting = rule(above("warning", 80, for_ms=30_000))
    watched = Watched.under(waiting, rule(name="memory", measurement="memory"))
    for value in (10, 20, 90, 91):
        watched.add(disk(value))
    lower = rule(above("warning", 5), name="memory", measurement="memory")
    watched.reload(rule(above("warning", 80, for_ms=30_000)), lower)
    watched.add(disk(92))
    watched.add(disk(93))
    assert watched.reported == [(20, "pending", "warning"), (50, "firing", "warning")]
    assert watched.conditions[-1].trend == (10, 20, 90, 91, 92, 93)


def test_a_rule_that_is_added_or_edited_is_in_force_with_the_next_sample() -> None:
    """On a host that has its measurement, whether or not another rule looked at it."""
    watched = Watched.under(rule())
    watched.add(disk(70))
    cpu = rule(above("warning", 2), name="cpu", measurement="cpu", field="usage_percent")
    watched.reload(rule(), cpu)
    watched.add(disk(70))
    watched.reload(rule(above("warning", 60)), cpu)
    watched.add(disk(70))
    assert watched.reported == [(10, "firing", "warning"), (20, "firing", "warning")]
    assert [one.identity.rule for one in watched.conditions] == ["cpu", "disk_usage"]
