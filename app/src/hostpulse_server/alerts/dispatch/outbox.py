"""The outbox: messages on their way, in the state database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.channels.base import Notification

# of the words about hostpulse itself no rate is kept
_COUNTED = ("firing", "update", "repeat", "resolved")
_VIA = "instead of "


def add(
    session: Session,
    notification: Notification,
    now_ms: int,
    *,
    group_id: int | None = None,
    alert_ids: Sequence[int] = (),
    via: str = "",
) -> None:
    """Queue a message; ``via`` names the channels that did not take it."""
    session.add(
        OutboxRow(
            channel=notification.channel,
            group_id=group_id,
            kind=notification.kind,
            document=notification.to_document(),
            alert_ids=list(alert_ids),
            state="waiting",
            attempts=0,
            created_ms=now_ms,
            next_ms=now_ms,
            error=_VIA + via if via else "",
        )
    )


def refused_by(row: OutboxRow) -> list[str]:
    """Return the channels that did not take this message before."""
    return row.error.removeprefix(_VIA).split(", ") if row.error.startswith(_VIA) else []


def sent_since(session: Session, since_ms: int) -> dict[str, list[int]]:
    """Return channel → when messages were queued for it, ascending."""
    rows = session.execute(
        sa.select(OutboxRow.channel, OutboxRow.created_ms)
        .where(OutboxRow.created_ms > since_ms, OutboxRow.kind.in_(_COUNTED))
        .order_by(OutboxRow.id)
    )
    found: dict[str, list[int]] = {}
    for channel, created_ms in rows:
        found.setdefault(channel, []).append(created_ms)
    return found


def first(session: Session, channel: str) -> OutboxRow | None:
    """Return the message whose turn is next, whether it is time or not."""
    return session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting")
        .order_by(OutboxRow.next_ms, OutboxRow.id)
        .limit(1)
    ).first()


def strays(session: Session, channels: Sequence[str]) -> Sequence[OutboxRow]:
    """Return messages that wait for channels that are no longer configured."""
    return session.scalars(
        sa.select(OutboxRow).where(OutboxRow.state == "waiting", OutboxRow.channel.not_in(channels))
    ).all()


def settle(session: Session, number: int, **values: Any) -> bool:
    """Change a message that still waits; return whether it did."""
    done = session.execute(
        sa.update(OutboxRow)
        .where(OutboxRow.id == number, OutboxRow.state == "waiting")
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]  # of an UPDATE


def note(
    session: Session, alert_ids: Sequence[int], kind: str, at_ms: int, document: dict[str, Any]
) -> None:
    """Write into the history of alerts what became of a message about them."""
    known = set(session.scalars(sa.select(AlertRow.id).where(AlertRow.id.in_(alert_ids))))
    session.add_all(
        AlertEventRow(alert_id=number, at_ms=at_ms, kind=kind, document=document)
        for number in alert_ids
        if number in known
    )
