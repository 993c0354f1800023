"""What became of every sample that came: judged, waiting, passed over or left out, and why."""

from __future__ import annotations

import json
from typing import Any

from app.tests.evaluation.delivery import history
from app.tests.evaluation.watching import ORIGIN, SERVER, START_MS, STEP_MS, disk

from hostpulse_server.evaluation.accounting import StreamAccount, accounts_of, waiting_of
from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import RuleSet


def numbered(seq: int, stream: str = "a", at: int | None = None) -> Sample:
    """Return a sample; ``at`` is when it is taken and arrives, in steps."""
    time_ms = START_MS + (seq if at is None else at) * STEP_MS
    return Sample(time_ms, STEP_MS, [disk(1.0)], stream, seq, received_ms=time_ms)


def evaluated(*samples: Sample) -> Evaluator:
    """Return an evaluator that was handed these, and restarted after each."""
    evaluator = Evaluator(RuleSet({}), lambda _: {})
    for sample in samples:
        evaluator.add(SERVER, ORIGIN, sample)
        evaluator.collect_changes(SERVER, sample.received_ms, is_fresh=True)
        time_ms, document = evaluator.dump(SERVER, ORIGIN)
        if not document["order"].get("waiting"):
            evaluator = Evaluator(RuleSet({}), lambda _: {})
            evaluator.restore(SERVER, ORIGIN, time_ms, json.loads(json.dumps(document)))
    return evaluator


def accounts(evaluator: Evaluator) -> dict[str, StreamAccount]:
    """Return what is remembered."""
    document = json.loads(json.dumps(evaluator.dump(SERVER, ORIGIN)[1]))
    return {one.stream: one for one in accounts_of(document)}


def test_a_gap_is_passed_over_and_what_comes_later_is_late() -> None:
    """A repetition is neither."""
    on_time = [numbered(seq) for seq in (*range(1, 5), *range(8, 18))]
    late = [numbered(seq)._replace(received_ms=on_time[-1].received_ms) for seq in (6, 6, 3, 5)]
    account = accounts(evaluated(*on_time, *late))["a"]
    assert (account.evaluated, account.left_out) == (14, {"late": 2})
    assert (account.passed, account.late) == ([(5, 7)], [(5, 6)])
    assert account.ranges() == [(1, 4), (8, 17)]


def test_what_waits_behind_a_gap_is_said_to_wait() -> None:
    """Until it is passed over."""
    evaluator = evaluated(numbered(1), numbered(3), numbered(4))
    assert accounts(evaluator)["a"].evaluated == 1
    assert waiting_of(evaluator.dump(SERVER, ORIGIN)[1]) == ("a", [3, 4])


def test_samples_of_a_stream_that_was_left_are_counted() -> None:
    """Each stream has an account of its own."""
    samples = [numbered(1), numbered(2), numbered(1, "b", at=3), numbered(3, at=2)]
    found = accounts(evaluated(*samples))
    assert (found["a"].evaluated, found["a"].left_out) == (2, {"stream_left": 1})
    assert (found["b"].evaluated, found["b"].left_out) == (1, {})


def test_every_stored_sample_is_in_the_account() -> None:
    """Of drawn histories, whatever the way of their samples and however many are sent again."""
    compared = 0
    for seed in range(300):
        one = history(seed)
        evaluator = Evaluator(one.rules, lambda _: {})
        for batch in one.batches:
            for sample in batch.samples:
                evaluator.add(SERVER, ORIGIN, sample._replace(received_ms=batch.received_ms))
            evaluator.collect_changes(SERVER, batch.received_ms, is_fresh=True)
        document: Any = evaluator.dump(SERVER, ORIGIN)[1]
        account = next(iter(accounts_of(document)), StreamAccount("stream"))
        _, waiting = waiting_of(document)
        late = account.left_out.pop("late", 0)
        if not account.left_out:  # else a clock that was set made one look renumbered
            assert account.evaluated + late + len(waiting) == len(one.stored), seed
            compared += 1
    assert compared > 280
