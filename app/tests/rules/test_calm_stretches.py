"""A backtest passes over calm samples, and finds what it finds when it evaluates each of them."""

from __future__ import annotations

import random
from dataclasses import astuple
from typing import TYPE_CHECKING

from hostpulse_server.rule_testing.backtest import Backtest, BacktestHost, JointBacktest
from hostpulse_server.rule_testing.sample_history import SampleHistory, stretches
from hostpulse_server.rules import load_texts
from hostpulse_server.store.base import Series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.rule_testing.sample_history import Stretch
    from hostpulse_server.rules import RuleSet
    from hostpulse_server.store.base import RawQuery, Store
    from hostpulse_server.values.points import Tags

SERVER = "web-01"
HOSTS = {SERVER: BacktestHost(interval_ms=60_000)}
HOUR_MS = 3_600_000
CALM = 50.0
RULES = """\
rules:
  - {name: plain, measurement: m, field: a, for: 5m, levels: {warning: {above: 80}}}
  - {name: low, measurement: m, field: a, levels: {critical: {below: 10, clear_above: 15}}}
  - {name: mean, measurement: m, field: a, over: 30m, levels: {warning: {above: 60}}}
  - {name: least, measurement: n, field: b, over: 5m, aggregate: min, levels: {info: {above: 55}}}
  - {name: swing, measurement: n, field: b, abs: true, levels: {warning: {above: 66}}}
  - {name: count, measurement: n, field: c, over: 90m, aggregate: increase,
     levels: {info: {above: 1}, warning: {above: 2}}}
  - {name: both, measurement: n, field: b, levels: {warning: {above: 46}},
     only_if: [{field: c, above: 3}]}
"""


def history(seed: int) -> list[Series]:
    """Return two days of a host that is well for hours; much changes where stretches begin."""
    rng = random.Random(seed)  # noqa: S311 - no secrets
    columns: dict[tuple[str, Tags, str], list[tuple[int, float]]] = {}
    level, other, count, is_away, is_silent = CALM, CALM, 0.0, False, False
    for number in range(2 * 24 * 60):
        often = 5 if number % 20 == 0 else 1
        if rng.random() < (0.004 * often if level == CALM else 0.1):
            level = rng.choice((CALM, CALM, 20, 65, 79, 85, 5, 57))
        if rng.random() < (0.002 * often if other == CALM else 0.1):
            other = rng.choice((CALM, 65, 75, -75))
        count += rng.choice((1, 2, 3)) * (rng.random() < 0.001 * often)
        is_away ^= rng.random() < (0.03 if is_away else 0.0007) * often
        is_silent ^= rng.random() < (0.05 if is_silent else 0.0005)
        if is_silent:
            continue
        tags = (("disk", "x"),)
        values: list[tuple[tuple[str, Tags, str], float]] = [(("m", (), "a"), level + rng.random())]
        if not is_away:
            values += [(("n", tags, "b"), other * 0.9), (("n", tags, "c"), count)]
        for key, value in values:
            columns.setdefault(key, []).append((number * 60_000, value))
    return [Series(SERVER, m, name, tags, points) for (m, tags, name), points in columns.items()]


def pieces(seed: int) -> list[Stretch]:
    """Return a history in stretches of some minutes up to an hour, so that borders are many."""
    rng = random.Random(seed)  # noqa: S311 - no secrets
    series, low = history(seed), 0
    found: list[Stretch] = []
    while low < 48 * HOUR_MS:
        high = low + rng.choice((20, 20, 40, 60)) * 60_000
        found += stretches(series, low, high)
        low = high
    return found


def found(backtest: Backtest) -> list[tuple[object, ...]]:
    """Return the episodes."""
    return [astuple(spell) for spell in backtest.spells]


def over(parts: Iterable[Stretch], rules: RuleSet, *, is_each: bool) -> Backtest:
    """Return a backtest over all parts; ``is_each`` evaluates every sample of them."""
    backtest = Backtest(rules, HOSTS)
    for part in parts:
        if is_each:
            backtest.samples(SERVER, part.samples())
        else:
            backtest.stretch(SERVER, part)
    return backtest


def test_what_is_passed_over_changes_nothing() -> None:
    """Over means, minima, increases, absolute values, conditions, gaps and series that vanish."""
    rules = load_texts({"a.yml": RULES})
    evaluated = samples = spells = 0
    for seed in range(20):
        parts = pieces(seed)
        quick, whole = (over(parts, rules, is_each=is_each) for is_each in (False, True))
        assert found(quick) == found(whole), seed
        evaluated, samples = evaluated + quick.evaluated, samples + whole.evaluated
        spells += len(whole.spells)
    assert spells > 500
    assert evaluated < 0.8 * samples


class CountingStore:
    """Answers with one calm series an hour long, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[RawQuery] = []

    def raw(self, query: RawQuery) -> list[Series]:
        """Return the samples of a page."""
        self.asked.append(query)
        points = [(time_ms, 50.0) for time_ms in range(query.start_ms, query.end_ms, 60_000)]
        return [Series(query.server_id, "m", "a", (), points)]


def test_both_sides_are_of_one_read_of_what_rules_look_at() -> None:
    """A page is read once, and a rule that both sides have is evaluated once."""
    first = load_texts({"a.yml": RULES})
    second = load_texts({"b.yml": RULES.replace("above: 80", "above: 45")})
    store = CountingStore()
    joint = JointBacktest([first, second], HOSTS)
    reading: Store = store  # type: ignore[assignment]
    history = SampleHistory(reading, joint.rules.values(), 0, 24 * HOUR_MS)
    assert list(joint.run(history, [SERVER])) == [SERVER] * history.pages
    assert [(one.start_ms, one.end_ms) for one in store.asked] == [
        (hour * HOUR_MS, (hour + 6) * HOUR_MS) for hour in (0, 6, 12, 18)
    ]
    assert {name: set(names) for name, names in store.asked[0].fields.items()} == {
        "m": {"a"},
        "n": {"b", "c"},
        "system": {"uptime_seconds"},
    }
    assert len(joint.rules) == len(first.rules) + 1
    before, after = joint.spells()
    assert before == ()
    assert [(one.identity.rule, one.from_ms) for one in after] == [("plain", 300_000)]
