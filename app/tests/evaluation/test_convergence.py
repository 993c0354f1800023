"""The history of alerts is a function of the rules and the stored samples, and of nothing else."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from app.tests.evaluation.delivery import SERVER, delivered, history, in_order

from hostpulse_server.rule_testing.backtest import Backtest, BacktestHost

LONG = os.environ.get("HOSTPULSE_TRIALS") == "long"
HISTORIES = 10_000 if LONG else 600
PORTIONS = 4


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_whatever_the_way_the_history_is_that_of_samples_in_order(
    portion: int, untraced: None
) -> None:
    """Over order, delay, repetition, restarts, looks, lost samples and clocks that are set."""
    differing = Counter[str]()
    first = None
    for seed in range(portion, HISTORIES, PORTIONS):
        one = history(seed)
        if delivered(one) != in_order(one):
            differing[one.way] += 1
            first = seed if first is None else first
    assert not differing, f"{differing.total()} differ: {dict(differing)}, the first is {first}"


def test_a_backtest_over_the_stored_samples_says_the_same() -> None:
    """It reads them from the store, without their numbers."""
    compared = 0
    for seed in range(400):
        one = history(seed)
        if one.has_steps:
            continue  # the store knows no clock but the samples' own
        backtest = Backtest(one.rules, {SERVER: BacktestHost()})
        backtest.samples(SERVER, ((sample.time_ms, sample.points) for sample in one.stored))
        found = {
            (it.identity.rule, it.identity.tags, it.from_ms, it.until_ms) for it in backtest.spells
        }
        lines = {(it.rule, it.tags, it.fired_ms, it.resolved_ms) for it in in_order(one)}
        assert found == lines, seed
        compared += len(lines)
    assert compared > 500
