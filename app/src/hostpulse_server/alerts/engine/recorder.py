"""The one transaction of a turn: alerts, progress, cursor and outbox change together or not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, IntegrityError

from hostpulse_server.alerts.engine import ledger, progress, tending, transitions
from hostpulse_server.state import writing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Engine as Database
    from sqlalchemy.orm import Session

    from hostpulse_server.alerts.dispatch import Dispatcher, Turn
    from hostpulse_server.alerts.engine.ledger import Change, Context
    from hostpulse_server.alerts.engine.progress import Cursor, Progress
    from hostpulse_server.alerts.model import Condition
    from hostpulse_server.store.base import StorePoint

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """What a transaction writes.

    ``ended`` are servers that no longer count; ``are_orphans_possible`` asks for the ends of alerts
    that no rule or server stands behind, ``is_tending`` for a portion of what is long over to go.
    """

    cursor: Cursor
    context: Context
    conditions: Sequence[Condition] = ()
    progress: Sequence[Progress] = ()
    ended: Collection[str] = ()
    notices: Sequence[str] = ()
    are_orphans_possible: bool = False
    is_tending: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: points of the transitions, and what the dispatcher's turn came to.

    ``turn`` is ``None`` if it failed: then the batch's notices are to be written again.
    """

    points: Sequence[StorePoint]
    turn: Turn | None


class Recorder:
    """Writes batches. Raises StateUnavailableError; then nothing was written."""

    def __init__(self, database: Database, dispatcher: Dispatcher) -> None:
        self._database = database
        self._dispatcher = dispatcher
        self._is_failing = False

    def commit(self, batch: Batch) -> Outcome:
        """Write a batch and let the dispatcher decide who is told."""
        now_ms = batch.context.now_ms
        with writing(self._database) as session:
            changes = _apply(session, batch.conditions, batch.context)
            if batch.are_orphans_possible:
                orphans = ledger.orphans(session, batch.context)
                changes += _apply(session, orphans, batch.context)
            progress.forget(session, batch.ended)
            progress.save_progress(session, batch.progress)
            progress.save_cursor(session, batch.cursor)
            if batch.is_tending:
                tending.tend(session, now_ms)
            points = transitions.points(changes)
            turn = self._dispatch(session, batch.notices, now_ms)
        return Outcome(points, turn)

    def _dispatch(self, session: Session, notices: Sequence[str], now_ms: int) -> Turn | None:
        """Let the dispatcher have its turn; its mistakes must not cost what evaluation found."""
        try:
            with session.begin_nested():
                for text in notices:
                    self._dispatcher.notice(session, text, now_ms)
                turn = self._dispatcher.turn(session, now_ms)
        except Exception as error:
            _raise_if_unavailable(error)
            if not self._is_failing:
                log.exception("notifications wait, deciding who is told of what failed")
            self._is_failing = True
            return None
        self._is_failing = False
        return turn


def _apply(session: Session, conditions: Sequence[Condition], context: Context) -> list[Change]:
    """Write conditions; one that cannot be written must not hold up the others for ever."""
    try:
        return ledger.apply(session, conditions, context)
    except Exception as error:  # noqa: BLE001 - as above
        _raise_if_unavailable(error)
    changes: list[Change] = []
    for condition in conditions:
        try:
            changes += ledger.apply(session, [condition], context)
        except Exception as error:
            _raise_if_unavailable(error)
            log.exception("an alert was not written: %s", condition.identity)
    return changes


def _raise_if_unavailable(error: Exception) -> None:
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        raise error
