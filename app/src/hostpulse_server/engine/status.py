"""Status of the alert engine, for doctor, ``/metrics`` and the server's own measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from hostpulse_server.engine.checkpoint import EngineCursor, load_cursor
from hostpulse_server.notifications.outbox import is_for_all
from hostpulse_server.state import reading
from hostpulse_server.state.alert_models import AlertRow, OutboxRow
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Engine as Database
    from sqlalchemy.orm import Session

# a notification that waits for longer than this, or that failed within it, is trouble
LONG_MS = 600_000
LATELY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Status of the engine by its state database.

    ``firing`` counts alerts by severity, ``faults`` by kind. ``waiting`` and ``failed`` are
    notifications. ``trouble`` names a channel that takes none, ``""`` while all do.
    """

    cursor: EngineCursor
    firing: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    failed: int = 0
    trouble: str = ""

    def position_in(self, epoch: str) -> int:
        """Return up to where the journal of ``epoch`` is evaluated; 0 in another than was met."""
        return self.cursor.position if self.cursor.epoch == epoch else 0

    @property
    def rules(self) -> int:
        """How many rules are in force."""
        return int(self.cursor.document.get("rules", 0))

    @property
    def rules_fault(self) -> str:
        """What is wrong with the rules files."""
        return str(self.cursor.document.get("rules_fault", ""))

    @property
    def faults(self) -> Mapping[str, int]:
        """Entries and samples passed over, by kind."""
        found: Mapping[str, int] = self.cursor.document.get("faults", {})
        return found


class EngineStatusReader:
    """Reads the state database; raises StateUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, now_ms: int) -> EngineStatus | None:
        """Return how it goes, ``None`` before the engine's first commit."""
        firing = (
            sa.select(AlertRow.severity, sa.func.count())
            .where(AlertRow.state == "firing")
            .group_by(AlertRow.severity)
        )
        messages = (
            sa.select(OutboxRow.state, sa.func.count())
            .where(OutboxRow.state != "sent")
            .group_by(OutboxRow.state)
        )
        with reading(self._database) as session:
            cursor = load_cursor(session)
            if cursor is None:
                return None
            counts = dict.fromkeys(SEVERITIES, 0) | _pairs(session.execute(firing))
            outbox = _pairs(session.execute(messages))
            trouble = _trouble(session, now_ms)
        return EngineStatus(
            cursor, counts, outbox.get("waiting", 0), outbox.get("failed", 0), trouble
        )

    def firing_by_server(self) -> dict[str, int]:
        """Return how many alerts fire on each server; one without any is absent."""
        statement = (
            sa.select(AlertRow.server_id, sa.func.count())
            .where(AlertRow.state == "firing")
            .group_by(AlertRow.server_id)
        )
        with reading(self._database) as session:
            return _pairs(session.execute(statement))


def _trouble(session: Session, now_ms: int) -> str:
    """Return the error of a channel that took nothing for long, or lately refused for good.

    A channel that has taken a message since it refused one is healthy; where some recipients were
    refused, one that has taken one for all.
    """
    later = aliased(OutboxRow)
    has_taken = sa.exists().where(
        later.channel == OutboxRow.channel,
        later.state == "sent",
        later.next_ms >= OutboxRow.done_ms,  # of one that was sent: when, and in the index
    )
    bad = session.scalar(
        sa.select(OutboxRow)
        .where(
            sa.or_(
                sa.and_(OutboxRow.state == "waiting", OutboxRow.created_ms < now_ms - LONG_MS),
                sa.and_(
                    OutboxRow.state == "failed",
                    OutboxRow.done_ms > now_ms - LATELY_MS,
                    ~has_taken,
                ),
            )
        )
        .order_by(OutboxRow.id.desc())
        .limit(1)
    )
    if bad:
        return f"channel {bad.channel}: {bad.error or 'no answer yet'}"
    whole = aliased(OutboxRow)
    is_last = ~sa.exists().where(
        whole.channel == OutboxRow.channel,
        whole.state == "sent",
        whole.next_ms >= OutboxRow.next_ms,
        whole.id > OutboxRow.id,
        is_for_all(whole),
    )
    partly = session.scalar(
        sa.select(OutboxRow)
        .where(OutboxRow.state == "sent", OutboxRow.next_ms > now_ms - LATELY_MS)
        .where(OutboxRow.error != "", is_last)
        .order_by(OutboxRow.id.desc())
        .limit(1)
    )
    return f"channel {partly.channel}: {partly.error}" if partly else ""


def _pairs(rows: Iterable[Any]) -> dict[str, int]:
    return {name: count for name, count in rows}  # noqa: C416 - rows are no tuples to mypy
