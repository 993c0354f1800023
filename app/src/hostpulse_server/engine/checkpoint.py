"""The engine's checkpoint in the state database: its cursor and the snapshot of evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from hostpulse_server.state.alert_models import AlertCursorRow, AlertProgressRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

_ROW = 1

# both SQLite and PostgreSQL know this form; the models' own would be a statement for each
_UPSERT = sa.text(
    "INSERT INTO alert_progress (server_id, origin, time_ms, document) "
    "VALUES (:server_id, :origin, :time_ms, :document) "
    "ON CONFLICT (server_id, origin) DO UPDATE "
    "SET time_ms = excluded.time_ms, document = excluded.document"
).bindparams(sa.bindparam("document", type_=sa.JSON()))


@dataclass(slots=True)
class EngineCursor:
    """The last entry of the journal of ``epoch`` that is done; the row's docstring has the rest."""

    epoch: str = ""
    position: int = 0
    skipped: int = 0
    alive_ms: int = 0
    document: dict[str, Any] = field(default_factory=dict)


class OriginProgress(NamedTuple):
    """What is remembered of one server and origin, up to the sample of ``time_ms``."""

    server_id: str
    origin: str
    time_ms: int
    document: Mapping[str, Any]


def load_cursor(session: Session) -> EngineCursor | None:
    """Return the cursor, ``None`` before the engine's first commit."""
    row = session.get(AlertCursorRow, _ROW)
    if row is None:
        return None
    return EngineCursor(row.epoch, row.position, row.skipped, row.alive_ms, dict(row.document))


def save_cursor(session: Session, cursor: EngineCursor) -> None:
    """Write the cursor."""
    session.merge(
        AlertCursorRow(
            id=_ROW,
            epoch=cursor.epoch,
            position=cursor.position,
            skipped=cursor.skipped,
            alive_ms=cursor.alive_ms,
            document=dict(cursor.document),
        )
    )


def load_progress(session: Session) -> list[OriginProgress]:
    """Return all that is remembered."""
    row = AlertProgressRow
    columns = sa.select(row.server_id, row.origin, row.time_ms, row.document)
    return [OriginProgress(*found) for found in session.execute(columns)]


def save_progress(session: Session, progress: Sequence[OriginProgress]) -> None:
    """Write these; others stay."""
    if progress:
        session.execute(_UPSERT, [one._asdict() for one in progress])


def forget(session: Session, server_ids: Iterable[str]) -> None:
    """Forget all about servers."""
    for server_id in server_ids:
        session.execute(sa.delete(AlertProgressRow).where(AlertProgressRow.server_id == server_id))
