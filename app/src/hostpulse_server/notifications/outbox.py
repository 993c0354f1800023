"""The outbox: messages on their way, in the state database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
    OutboxRow,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.notifications.channels.base import Notification, PartlyRefusedError

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
# what the outbox keeps beside a message: for which message it goes, when another was to go for it
STANDS_FOR: Final = "stands_for"
HANDED_MS: Final = "handed_ms"


def add(
    session: Session,
    notification: Notification,
    *,
    alert_ids: Sequence[int] = (),
    group_id: int | None = None,
    refused_by: Sequence[str] = (),
    stands_for: int | None = None,
) -> OutboxRow:
    """Put a message into the outbox of the channel that it names, to be sent at once; return it.

    ``stands_for`` is the message of another channel in place of which it goes.
    """
    document = notification.to_document()
    if stands_for is not None:
        document[STANDS_FOR] = stands_for
    row = OutboxRow(
        channel=notification.channel,
        group_id=group_id,
        kind=notification.kind,
        document=document,
        alert_ids=list(alert_ids),
        refused_by=list(refused_by),
        state="waiting",
        attempts=0,
        created_ms=notification.created_ms,
        next_ms=notification.created_ms,
        error="",
    )
    session.add(row)
    return row


def first(session: Session, channel: str) -> OutboxRow | None:
    """Return the message whose turn is next, whether it is time or not.

    A later message of an incident waits for an earlier one, so no resolution arrives first.
    """
    earlier = aliased(OutboxRow)
    has_earlier = sa.exists().where(
        earlier.channel == channel,
        earlier.state == "waiting",
        earlier.group_id == OutboxRow.group_id,
        earlier.id < OutboxRow.id,
    )
    return session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting", ~has_earlier)
        .order_by(OutboxRow.next_ms, OutboxRow.id)
        .limit(1)
    ).first()


def orphaned(session: Session, channels: Sequence[str]) -> Sequence[OutboxRow]:
    """Return messages that wait for channels that are no longer configured."""
    return session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.state == "waiting", OutboxRow.channel.not_in(channels))
        .order_by(OutboxRow.id)
    ).all()


def spent(session: Session, channel: str, now_ms: int) -> int:
    """Return how many messages of a channel wait or were sent within the last minute."""
    waiting = sa.select(sa.func.count()).where(
        OutboxRow.channel == channel, OutboxRow.state == "waiting"
    )
    return (session.scalar(waiting) or 0) + len(sent_lately(session, channel, now_ms))


def sent_lately(session: Session, channel: str, now_ms: int) -> Sequence[int]:
    """Return when a channel took messages within the last minute, ascending.

    Of a message that was sent ``next_ms`` is when: so an index finds it.
    """
    return session.scalars(
        sa.select(OutboxRow.next_ms)
        .where(
            OutboxRow.channel == channel,
            OutboxRow.state == "sent",
            OutboxRow.next_ms > now_ms - MINUTE_MS,
            OutboxRow.next_ms <= now_ms,  # the clock may have been set back
        )
        .order_by(OutboxRow.next_ms)
    ).all()


def overdue(session: Session, channel: str, before_ms: int) -> OutboxRow | None:
    """Return a message that was refused and has waited since before then, the oldest.

    ``None`` also where another channel was notified of one that still waits: once is enough.
    """
    other = aliased(OutboxRow)
    is_notified = sa.exists().where(
        other.channel == channel, other.state == "waiting", other.reported_ms.is_not(None)
    )
    return session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting", ~is_notified)
        .where(OutboxRow.created_ms <= before_ms, OutboxRow.attempts > 0, is_for_all())
        .order_by(OutboxRow.id)
        .limit(1)
    ).first()


def late(session: Session, channel: str, before_ms: int) -> Sequence[OutboxRow]:
    """Return messages about alerts that wait since before then and that no other goes for yet."""
    rows = session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting")
        .where(OutboxRow.created_ms <= before_ms)
        .order_by(OutboxRow.id)
    )
    return [
        row
        for row in rows
        if row.alert_ids
        and HANDED_MS not in row.document
        and not row.document.get("recipients")  # the others have it
    ]


def forget_handed(session: Session) -> None:
    """Let messages that wait, and that none goes for, be handed over anew."""
    waiting = session.scalars(sa.select(OutboxRow).where(OutboxRow.state == "waiting")).all()
    roots = {row.document.get(STANDS_FOR) for row in waiting}
    for row in waiting:
        if HANDED_MS in row.document and row.id not in roots:
            row.document = {name: one for name, one in row.document.items() if name != HANDED_MS}


def mark_reported(session: Session, channel: str, now_ms: int) -> None:
    """Have no notice about a channel that another message has just spoken of."""
    session.execute(
        sa.update(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting")
        .where(OutboxRow.reported_ms.is_(None))
        .values(reported_ms=now_ms)
        .execution_options(synchronize_session=False)
    )


def waits(session: Session, number: int | None) -> bool:
    """Return whether a message waits; none does under no number."""
    row = session.get(OutboxRow, number) if number is not None else None
    return row is not None and row.state == "waiting"


def standing_for(session: Session, row: OutboxRow) -> Sequence[OutboxRow]:
    """Return what else waits in place of the message that this one is, or goes for."""
    root = row.document.get(STANDS_FOR, row.id)
    return session.scalars(
        sa.select(OutboxRow).where(
            OutboxRow.state == "waiting",
            OutboxRow.id != row.id,
            OutboxRow.document[STANDS_FOR].as_integer() == root,
        )
    ).all()


def urgent(session: Session, channel: str, now_ms: int) -> OutboxRow | None:
    """Return a critical message that may go now, the oldest: the limit a minute is not for it.

    Nor for what has to go before it, as an earlier message of its incident.
    """
    earlier, later = aliased(OutboxRow), aliased(OutboxRow)
    has_earlier = sa.exists().where(
        earlier.channel == channel,
        earlier.state == "waiting",
        earlier.group_id == OutboxRow.group_id,
        earlier.id < OutboxRow.id,
    )
    has_critical = sa.exists().where(
        later.channel == channel,
        later.state == "waiting",
        later.group_id == OutboxRow.group_id,
        _is_critical(later),
    )
    return session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting", ~has_earlier)
        .where(OutboxRow.next_ms <= now_ms, sa.or_(_is_critical(OutboxRow), has_critical))
        .order_by(OutboxRow.id)
        .limit(1)
    ).first()


def _is_critical(row: Any) -> sa.ColumnElement[bool]:
    is_news = row.kind.in_(("firing", "update"))
    return sa.and_(is_news, row.document["severity"].as_string() == "critical")


def is_for_all(row: Any = OutboxRow) -> sa.ColumnElement[bool]:
    """Return the condition for what goes to all recipients of its channel, as almost all does."""
    left = row.document["recipients"].as_string()
    return sa.or_(left.is_(None), left == "[]")


def pull_back(session: Session, now_ms: int) -> None:
    """Let nothing wait for, or rest on, a time beyond now: the clock was set back.

    A message waits on where a channel may have asked for it, which is an hour at most.
    """
    is_wrong = sa.or_(OutboxRow.created_ms > now_ms, OutboxRow.next_ms > now_ms + HOUR_MS)
    _pull_back(
        session, OutboxRow, OutboxRow.next_ms, now_ms, OutboxRow.state == "waiting", is_wrong
    )
    group, log = AlertGroupRow, NotificationLogRow
    for table, column in (
        (group, group.opened_ms),
        (group, group.wanted_ms),
        (group, group.notified_ms),
        (log, log.notified_ms),
        (OutboxRow, OutboxRow.created_ms),
    ):
        _pull_back(session, table, column, now_ms)


def _pull_back(
    session: Session, table: Any, column: Any, now_ms: int, *which: sa.ColumnElement[bool]
) -> None:
    session.execute(
        sa.update(table)
        .where(column > now_ms, *which)
        .values({column: now_ms})
        .execution_options(synchronize_session=False)
    )


def hasten(session: Session, channel: str, now_ms: int) -> None:
    """Let all that was refused go now, but for what waits for some recipients only."""
    session.execute(
        sa.update(OutboxRow)
        .where(OutboxRow.channel == channel, OutboxRow.state == "waiting", is_for_all())
        .where(OutboxRow.attempts > 0, OutboxRow.next_ms > now_ms)
        .values(next_ms=now_ms)
        .execution_options(synchronize_session=False)
    )


def finish(session: Session, number: int, **values: Any) -> bool:
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
    known = session.scalars(sa.select(AlertRow.id).where(AlertRow.id.in_(alert_ids)))
    session.add_all(
        AlertEventRow(alert_id=number, at_ms=at_ms, kind=kind, document=document)
        for number in sorted(known)
    )


def keep_for_some(
    session: Session, row: OutboxRow, partly: PartlyRefusedError, now_ms: int
) -> None:
    """Try a message again for those that may yet take it; who never will is in the history."""
    for address, answer in partly.refused.items():
        refused = {"channel": row.channel, "recipient": address, "error": answer}
        note(session, row.alert_ids, "refused", now_ms, {**refused, "message": row.id})
    if partly.later:
        left = {**row.document, "recipients": list(partly.later)}
        session.add(
            OutboxRow(
                channel=row.channel,
                group_id=None,  # what follows is not held up for the others
                kind=row.kind,
                document=left,
                alert_ids=row.alert_ids,
                refused_by=row.refused_by,
                state="waiting",
                attempts=1,
                created_ms=row.created_ms,
                next_ms=now_ms + MINUTE_MS,
                error=f"not yet taken for {', '.join(partly.later)}",
            )
        )


def drop_overtaken(session: Session, row: OutboxRow) -> None:
    """Take back what waits for some recipients, when a later message about the same was sent."""
    older = session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel == row.channel, OutboxRow.state == "waiting")
        .where(OutboxRow.id < row.id, ~is_for_all())
    ).all()
    for one in older:
        if one.alert_ids and set(one.alert_ids) <= set(row.alert_ids):
            session.delete(one)


def forget_notified(session: Session, alert_ids: Sequence[int], channel: str) -> None:
    """Remove alerts from a channel's notification log: the message about them was not delivered."""
    session.execute(
        sa.delete(NotificationLogRow)
        .where(NotificationLogRow.channel == channel, NotificationLogRow.alert_id.in_(alert_ids))
        .execution_options(synchronize_session=False)
    )
