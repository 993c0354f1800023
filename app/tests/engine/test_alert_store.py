"""Conditions become rows, whatever the rows are already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from tests.support.clock import ManualClock

from hostpulse_server import state
from hostpulse_server.engine import alert_store, retention
from hostpulse_server.rules import Rule, RuleSet
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
    OutboxRow,
)
from hostpulse_server.values.alert import AlertIdentity, Condition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

NOW = 1_800_000_000_000
HOLD_MS = 3_600_000
DAY = 86_400_000
CONTEXT = alert_store.AlertContext(
    rules=RuleSet({}),
    name=lambda server_id: server_id,
    labels=lambda _server_id: {},
    standing=lambda _server_id: None,
    processes=lambda _server_id, _time_ms: (),
    now_ms=NOW,
)
PENDING = Condition(AlertIdentity("r", "web-01"), "pending", "warning", 1.0, 0.5, NOW - 5, NOW - 5)
FIRING = replace(PENDING, phase="firing", at_ms=NOW)
RESOLVED = replace(FIRING, phase="resolved", at_ms=NOW + 5, reason="cleared")
DROPPED = replace(PENDING, phase="dropped", at_ms=NOW + 5)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    """Give an empty state database."""
    engine = state.open_engine(f"sqlite:///{tmp_path}/state.db")
    state.upgrade(engine)
    yield engine
    engine.dispose()


def apply(database: Engine, *conditions: Condition) -> list[str]:
    """Write conditions in one transaction; return what changed."""
    with state.writing(database) as session:
        return [change.kind for change in alert_store.apply(session, conditions, CONTEXT)]


def states(database: Engine) -> list[str]:
    """Return the states of all alerts."""
    with state.reading(database) as session:
        return list(session.scalars(sa.select(AlertRow.state).order_by(AlertRow.id)))


@pytest.mark.parametrize(
    ("conditions", "kinds", "left"),
    [
        ([PENDING, FIRING, RESOLVED], ["pending", "firing", "resolved"], ["resolved"]),
        ([FIRING, RESOLVED, FIRING], ["firing", "resolved", "firing"], ["resolved", "firing"]),
        ([PENDING, DROPPED, PENDING], ["pending", "dropped", "pending"], ["pending"]),
        ([PENDING, RESOLVED], ["pending", "dropped"], []),
        ([FIRING, DROPPED], ["firing", "resolved"], ["resolved"]),
        ([FIRING, FIRING, PENDING], ["firing"], ["firing"]),
        ([RESOLVED, DROPPED], [], []),
    ],
)
def test_conditions_in_any_order_leave_one_active_row(
    database: Engine, conditions: list[Condition], kinds: list[str], left: list[str]
) -> None:
    """In one transaction, or each in its own."""
    assert apply(database, *conditions) == kinds
    assert states(database) == left
    with state.writing(database) as session:
        session.execute(sa.delete(AlertRow))
    assert [kind for one in conditions for kind in apply(database, one)] == kinds
    assert states(database) == left


def test_a_row_that_somebody_else_inserts_meanwhile_is_taken_for_ours(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unique index tells; only a database with row locks lets it come to that."""
    apply(database, PENDING)
    read = alert_store._active
    blind: Iterator[list[AlertRow] | None] = iter([[], None])

    def active(session: Any, fingerprints: Any) -> Any:
        return found if (found := next(blind)) is not None else read(session, fingerprints)

    monkeypatch.setattr(alert_store, "_active", active)
    assert apply(database, FIRING) == ["firing"]
    assert states(database) == ["firing"]


def test_two_active_rows_of_one_identity_cannot_be(database: Engine) -> None:
    """Whatever the programs do."""
    apply(database, FIRING)
    with state.reading(database) as session:
        row = session.execute(sa.text("SELECT * FROM alerts")).mappings().one()
    names = ", ".join(name for name in row if name != "id")
    copy = sa.text(f"INSERT INTO alerts ({names}) SELECT {names} FROM alerts")  # noqa: S608
    with pytest.raises(IntegrityError), state.writing(database) as session:
        session.execute(copy)


def test_a_thousand_hosts_are_written_at_once(database: Engine) -> None:
    """More than one statement may name."""
    many = [replace(FIRING, identity=AlertIdentity("r", f"web-{number}")) for number in range(1200)]
    assert apply(database, *many) == ["firing"] * 1200
    assert apply(database, *[replace(one, phase="resolved") for one in many]) == ["resolved"] * 1200


def expiry_guard(clock: ManualClock) -> ExpiryGuard:
    """Return what lets history expire, an hour after the start."""
    guard = ExpiryGuard(clock)
    clock.move(HOLD_MS / 1000)
    return guard


def test_a_clock_set_ahead_does_not_delete_the_history(database: Engine) -> None:
    """Not within an hour, and then a day of it."""
    for days in (80, 79, 1):
        apply(database, FIRING, replace(RESOLVED, at_ms=NOW - days * DAY))
    clock = ManualClock(NOW - HOLD_MS)
    guard = expiry_guard(clock)

    def left_after_purge() -> int:
        with state.writing(database) as session:
            retention.purge(session, guard)
            return session.scalar(sa.select(sa.func.count(AlertRow.id))) or 0

    assert left_after_purge() == 3
    clock.set(400 * DAY / 1000)
    assert left_after_purge() == 3
    clock.move(3600)
    assert [left_after_purge() for _ in range(3)] == [2, 2, 2]
    clock.move(3600)
    assert left_after_purge() == 1


def test_what_is_long_over_goes_in_portions(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With events and tellings; what is younger, or was not sent, stays."""
    monkeypatch.setattr(retention, "PORTION", 2)
    for at_ms in (NOW - 91 * DAY, NOW - 91 * DAY, NOW - 91 * DAY, NOW - 89 * DAY):
        apply(database, FIRING, replace(RESOLVED, at_ms=at_ms))
    apply(database, FIRING)

    def message(sent_ms: int | None, kind: str) -> OutboxRow:
        return OutboxRow(
            channel="c",
            kind="firing",
            document={},
            alert_ids=[],
            refused_by=[],
            state=kind,
            attempts=1,
            created_ms=0,
            next_ms=0,
            done_ms=sent_ms,
            error="",
        )

    def group(number: int, closed_ms: int | None) -> AlertGroupRow:
        return AlertGroupRow(
            incident=str(number),
            channel="c",
            key=str(number),
            opened_ms=0,
            messages=1,
            closed_ms=closed_ms,
        )

    with state.writing(database) as session:
        groups = [group(1, NOW - 2 * DAY), group(2, NOW - 2 * DAY), group(3, NOW), group(4, None)]
        session.add_all([message(NOW - 8 * DAY, "sent"), message(NOW, "sent")])
        session.add_all([message(None, "waiting"), message(NOW - 8 * DAY, "failed"), *groups])
        session.flush()
        session.add(
            NotificationLogRow(
                alert_id=4,
                channel="c",
                group_id=groups[0].id,
                severity="warning",
                over=True,
                notified_ms=0,
            )
        )
    guard = expiry_guard(ManualClock(NOW - HOLD_MS))
    for _ in range(4):
        with state.writing(database) as session:
            retention.purge(session, guard)
    with state.reading(database) as session:
        assert list(session.scalars(sa.select(AlertRow.id))) == [4, 5]
        assert set(session.scalars(sa.select(AlertEventRow.alert_id))) == {4, 5}
        kept = list(session.scalars(sa.select(OutboxRow.state)))
        assert sorted(kept) == ["failed", "sent", "waiting"]
        assert list(session.scalars(sa.select(AlertGroupRow.incident))) == ["1", "3", "4"]


@pytest.mark.parametrize("is_edge", [True, False])
def test_what_was_over_before_it_was_known_is_owed_where_the_rule_says_so(
    database: Engine, *, is_edge: bool
) -> None:
    """Its summary says the worst value; the value is that of its end."""
    rule = Rule("r", "threshold", "{{ value }} killed", "", "kernel", "kills", edge=is_edge)
    context = replace(CONTEXT, rules=RuleSet({"r": rule}))
    over = replace(RESOLVED, value=0.0, is_late=True, fired_ms=NOW, fired_value=2.0)
    with state.writing(database) as session:
        changes = alert_store.apply(session, [over], context)
        assert [(one.kind, one.is_owed) for one in changes] == [
            ("firing", False),
            ("resolved", is_edge),
        ]
        row = changes[-1].row
        assert (row.state, row.value, row.summary) == ("resolved", 0.0, "2 killed")
        assert row.evidence is not None
        assert row.evidence["worst"] == 2.0


def test_what_was_known_while_it_fired_is_not_owed(database: Engine) -> None:
    """Its end is told to those who heard of it."""
    rule = Rule("r", "threshold", "", "", "kernel", "kills", edge=True)
    context = replace(CONTEXT, rules=RuleSet({"r": rule}))
    with state.writing(database) as session:
        changes = alert_store.apply(session, [FIRING, RESOLVED], context)
        assert not any(one.is_owed for one in changes)
