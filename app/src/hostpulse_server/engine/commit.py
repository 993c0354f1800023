"""The one transaction of a turn: alerts, progress, cursor and outbox change together or not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, IntegrityError

from hostpulse_server.engine import alert_store, checkpoint, retention, transitions
from hostpulse_server.notifications import outbox
from hostpulse_server.registry.machines import mark_conflicts
from hostpulse_server.state import writing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Engine as Database
    from sqlalchemy.orm import Session

    from hostpulse_server.engine.alert_store import AlertChange, AlertContext
    from hostpulse_server.engine.checkpoint import EngineCursor, OriginProgress
    from hostpulse_server.notifications import Dispatcher, DispatchTurn
    from hostpulse_server.runtime.expiry import ExpiryGuard
    from hostpulse_server.state.alert_models import AlertRow
    from hostpulse_server.values.alert import Condition
    from hostpulse_server.values.points import StorePoint

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TurnBatch:
    """What a transaction writes.

    ``ended`` are servers that no longer count; as ``conflicts`` two machines report.
    ``are_orphans_possible`` asks to resolve alerts whose rule or server is gone,
    ``is_tending`` to purge a portion of the rows past retention,
    ``is_clock_set`` to let nothing wait for a time that a clock gave which was wrong,
    ``is_refreshing`` to give firing alerts their current values.
    """

    cursor: EngineCursor
    context: AlertContext
    conditions: Sequence[Condition] = ()
    progress: Sequence[OriginProgress] = ()
    ended: Collection[str] = ()
    conflicts: Collection[str] = ()
    notices: Sequence[str] = ()
    are_orphans_possible: bool = False
    is_tending: bool = False
    is_clock_set: bool = False
    is_refreshing: bool = False


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What came of it: points of the transitions, and what the dispatcher's turn came to.

    ``turn`` is ``None`` if it failed: then the batch's notices are to be written again.
    """

    points: Sequence[StorePoint]
    turn: DispatchTurn | None


class TurnCommitter:
    """Writes batches. Raises StateUnavailableError; then nothing was written."""

    def __init__(self, database: Database, dispatcher: Dispatcher, expiry: ExpiryGuard) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._expiry = expiry
        self._is_failing = False
        self._refreshed_id = 0

    def commit(self, batch: TurnBatch) -> TurnOutcome:
        """Write a batch and let the dispatcher decide who is notified."""
        now_ms = batch.context.now_ms
        with writing(self._database) as session:
            changes = _apply(session, batch.conditions, batch.context)
            if batch.are_orphans_possible:
                orphans = alert_store.orphans(session, batch.context)
                changes += _apply(session, orphans, batch.context)
            checkpoint.forget(session, batch.ended)
            checkpoint.save_progress(session, batch.progress)
            checkpoint.save_cursor(session, batch.cursor)
            mark_conflicts(session, batch.conflicts, now_ms)
            if batch.is_tending:
                retention.purge(session, self._expiry)
            if batch.is_refreshing:
                self._refreshed_id = alert_store.refresh_some(
                    session, batch.context, self._refreshed_id
                )
            points = transitions.points(changes)
            if batch.is_clock_set:
                outbox.pull_back(session, now_ms)
            if owed := [one.row for one in changes if one.is_owed]:
                self._owe(session, owed, now_ms)
            turn = self._dispatch(session, batch.notices, batch.context)
        return TurnOutcome(points, turn)

    def _owe(self, session: Session, rows: Sequence[AlertRow], now_ms: int) -> None:
        """Note edges that nobody has heard of; as for turns, a mistake costs no more than that."""
        try:
            with session.begin_nested():
                self._dispatcher.owe(session, rows, now_ms)
        except Exception as error:
            _raise_if_unavailable(error)
            log.exception("alerts that are over are notified to nobody: %d", len(rows))

    def _dispatch(
        self, session: Session, notices: Sequence[str], context: AlertContext
    ) -> DispatchTurn | None:
        """Let the dispatcher have its turn; its mistakes must not cost what evaluation found."""
        now_ms, refresh = context.now_ms, partial(alert_store.refresh, context=context)
        try:
            with session.begin_nested():
                for text in notices:
                    self._dispatcher.notice(session, text, now_ms)
                turn = self._dispatcher.turn(session, now_ms, refresh)
        except Exception as error:
            _raise_if_unavailable(error)
            if not self._is_failing:
                log.exception("notifications wait: planning them failed")
            self._is_failing = True
            return None
        self._is_failing = False
        return turn


def _apply(
    session: Session, conditions: Sequence[Condition], context: AlertContext
) -> list[AlertChange]:
    """Write conditions; one that cannot be written must not hold up the others for ever."""
    try:
        return alert_store.apply(session, conditions, context)
    except Exception as error:  # noqa: BLE001 - as above
        _raise_if_unavailable(error)
    changes: list[AlertChange] = []
    for condition in conditions:
        try:
            changes += alert_store.apply(session, [condition], context)
        except Exception as error:
            _raise_if_unavailable(error)
            log.exception("an alert was not written: %s", condition.identity)
    return changes


def _raise_if_unavailable(error: Exception) -> None:
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        raise error
