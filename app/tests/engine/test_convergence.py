"""The rows of alerts are a function of the stored samples, through the journal and the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.evaluation.delivery import SERVER, START_MS, Row, history, in_order

from hostpulse_server.journal.records import SAMPLES, SamplesRecord

if TYPE_CHECKING:
    from app.tests.engine.conftest import AlertsSite
    from app.tests.evaluation.delivery import History

    from hostpulse_server.evaluation.timeline import Sample
    from hostpulse_server.rules import RuleSet

HISTORIES = [one for seed in range(32) if not (one := history(seed)).has_steps]
RESTART_EVERY = 7


class InForce:
    """Rules that are in force from the start, and stay so."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self._is_new = True

    def turn(self) -> RuleSet | None:
        """Return them once."""
        is_new, self._is_new = self._is_new, False
        return self.rules if is_new else None

    def report(self, document: dict[str, Any]) -> list[str]:
        """Nothing is wrong with them."""
        del document
        return []


@pytest.mark.parametrize("one", HISTORIES, ids=lambda one: f"{one.seed}-{one.way}")
def test_the_rows_are_those_of_the_samples_in_order(
    site: AlertsSite, one: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over delays, repetitions, lost samples, and an engine that is restarted again and again."""
    use(site, one.rules, monkeypatch)
    for number, batch in enumerate(one.batches):
        site.clock.ms = max(site.clock.ms, batch.received_ms)
        send(site, batch.samples)
        site.drain()
        if number % RESTART_EVERY == RESTART_EVERY - 1:
            site.restart()
            use(site, one.rules, monkeypatch)
            site.run(1)
    # one more, of a host that has nothing else to send
    last = one.stored[-1]
    final = last._replace(
        seq=last.seq + 1,
        time_ms=last.time_ms + last.interval_ms,
        mono_ms=(last.mono_ms or 0) + last.interval_ms,
        points=[*last.points, {"measurement": "agent", "fields": {"spool_samples": 0}}],
    )
    one.stored.append(final)
    site.clock.ms = max(site.clock.ms, final.time_ms)
    send(site, (final,))
    site.run(2)
    assert rows(site) == in_order(one)
    one.stored.pop()


def use(site: AlertsSite, rules: RuleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put these rules in force instead of the site's files."""
    monkeypatch.setattr(site.engine, "_rules", InForce(rules))
    site.clock.ms = max(site.clock.ms, START_MS)


def send(site: AlertsSite, samples: tuple[Sample, ...]) -> None:
    """Append samples as the api does."""
    documents = [
        {
            "seq": sample.seq,
            "time": sample.time_ms,
            "interval_ms": sample.interval_ms,
            "mono_ms": sample.mono_ms,
            "points": list(sample.points),
        }
        for sample in samples
    ]
    agent = {"version": "0.1.0", "stream": samples[0].stream}
    record = SamplesRecord(SERVER, site.clock.ms, agent, documents)
    site.journal.append(record.encode(), SAMPLES, site.clock.ms)


def rows(site: AlertsSite) -> list[Row]:
    """Return the lines of history."""
    found = [
        Row(
            row["rule"],
            tuple(sorted(json.loads(row["tags"]).items())),
            row["severity"],
            row["started_ms"],
            row["fired_ms"],
            row["resolved_ms"],
            row["reason"],
        )
        for row in site.rows("alerts")
        if row["fired_ms"] is not None
    ]
    return sorted(found, key=lambda row: (row.rule, row.tags, row.fired_ms))
