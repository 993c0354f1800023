"""Fallback delivery: another channel gets what one has not taken for long."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from hostpulse_server.notifications import outbox
from hostpulse_server.notifications.channels.base import Notification
from hostpulse_server.notifications.routing import channels_for
from hostpulse_server.state import reading
from hostpulse_server.state.alert_models import OutboxRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine as Database
    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig

# messages about one thing are put into the outboxes of its channels within so long
_TOGETHER_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_NEWS: Final = ("firing", "update")


def late(session: Session, config: ServerConfig, channel: str, now_ms: int) -> list[OutboxRow]:
    """Return messages of a channel that another one is to get, by ``alerts.fallback_after``."""
    least = min(dataclasses.astuple(config.alerts.fallback_after))
    rows = outbox.late(session, channel, now_ms - round(least * 1000))
    return [row for row in rows if row.created_ms + after_ms(config, row) <= now_ms]


def after_ms(config: ServerConfig, row: OutboxRow) -> int:
    """Return for how long a message waits for its channel alone."""
    after = config.alerts.fallback_after
    is_critical = row.document.get("severity") == "critical"
    return round((after.critical if is_critical else after.default) * 1000)


def hand_over(session: Session, config: ServerConfig, row: OutboxRow, now_ms: int) -> None:
    """Let another channel have a message that waits; the first that takes it is the only one.

    None does where a channel of the same alerts has taken its own message about them.
    """
    document = {**row.document, outbox.HANDED_MS: now_ms}
    if not outbox.finish(session, row.id, document=document):
        return
    if _is_known(session, row):
        return
    before = read(row, now_ms)
    other = next(
        (
            name
            for name in in_place_of(config, before)
            if name not in {row.channel, *row.refused_by} and not _has_waiting(session, row, name)
        ),
        "",
    )
    if not other:
        return
    minutes = (now_ms - row.created_ms) // 60_000
    note = (
        f"Channel {row.channel} has not taken this for {minutes} minutes: "
        f"{row.error or 'it takes nothing'}"
    )
    message = noted(before, other, note, now_ms)
    pass_on(session, row, message, row.document.get(outbox.STANDS_FOR, row.id))
    handed = {"channel": row.channel, "kind": row.kind, "message": row.id, "instead": other}
    outbox.note(session, row.alert_ids, "fallback", now_ms, {**handed, "error": row.error})
    outbox.mark_reported(session, row.channel, now_ms)


def noted(message: Notification, channel: str, note: str, now_ms: int) -> Notification:
    """Return a message for another channel, with why it goes there at its top."""
    text = f"{note}\n{message.note}" if message.note else note
    return dataclasses.replace(message, channel=channel, created_ms=now_ms, note=text)


def pass_on(
    session: Session, row: OutboxRow, message: Notification, stands_for: int | None
) -> None:
    """Put a message that a channel does not take into the outbox of another one."""
    outbox.add(
        session,
        message,
        alert_ids=row.alert_ids,
        group_id=row.group_id,
        refused_by=[*row.refused_by, row.channel],
        stands_for=stands_for,
    )


def withdraw(session: Session, row: OutboxRow, now_ms: int) -> None:
    """Take back what waits in place of a message that was sent, and what it went for.

    Where another channel heard of a beginning in its place, that one hears of the end, too.
    """
    for one in outbox.standing_for(session, row):
        session.delete(one)
    root = row.document.get(outbox.STANDS_FOR)
    if root is not None:
        done = {"state": "failed", "done_ms": now_ms}
        error = OutboxRow.error + f"; channel {row.channel} has the message"
        outbox.finish(session, root, **done, error=error)
    elif row.kind == "resolved" and row.group_id is not None and not row.refused_by:
        others = session.scalars(
            sa.select(OutboxRow.channel)
            .where(OutboxRow.group_id == row.group_id, OutboxRow.channel != row.channel)
            .where(OutboxRow.state.in_(("sent", "waiting")))
            .distinct()
        ).all()
        for name in others:
            notification = dataclasses.replace(read(row, now_ms), channel=name)
            outbox.add(
                session,
                notification,
                alert_ids=row.alert_ids,
                group_id=row.group_id,
                stands_for=row.id,
            )


def in_place_of(config: ServerConfig, message: Notification) -> list[str]:
    """Return who may get a message, in order: its route, ``alerts.fallback``, its severity's."""
    return list(dict.fromkeys(_in_place_of(config, message)))


def _in_place_of(config: ServerConfig, message: Notification) -> Iterator[str]:
    for one in message.alerts:
        names = channels_for(config, one.severity, one.rule, one.server_id, one.labels)
        if message.channel in names:
            at = names.index(message.channel)
            names = (*names[at + 1 :], *names[:at])
        yield from names
    yield from config.alerts.fallback
    for route in config.routes:
        if fnmatchcase(message.severity, route.match.get("severity", "*")):
            yield from route.channels


def _is_known(session: Session, row: OutboxRow) -> bool:
    """Return whether a channel has taken its own message of the kind, about all these alerts."""
    covered = {
        number
        for other in _about_the_same(session, row)
        if other.state == "sent"
        for number in other.alert_ids
    }
    return covered >= set(row.alert_ids)


def _has_waiting(session: Session, row: OutboxRow, channel: str) -> bool:
    return any(
        one.state == "waiting" and one.channel == channel for one in _about_the_same(session, row)
    )


def _about_the_same(session: Session, row: OutboxRow) -> list[OutboxRow]:
    kinds = _NEWS if row.kind in _NEWS else (row.kind,)
    root = row.document.get(outbox.STANDS_FOR, row.id)
    began_ms = session.scalar(sa.select(OutboxRow.created_ms).where(OutboxRow.id == root))
    rows = session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.channel != row.channel, OutboxRow.state.in_(("sent", "waiting")))
        .where(OutboxRow.kind.in_(kinds))
        .where(OutboxRow.created_ms >= (began_ms or row.created_ms) - _TOGETHER_MS)
    )
    return [one for one in rows if not set(one.alert_ids).isdisjoint(row.alert_ids)]


def is_stuck(config: ServerConfig, database: Database, now_ms: int) -> bool:
    """Return whether a message waits twice ``fallback_after`` and no channel took any meanwhile.

    Nor took another its own message about the same.
    """
    least = min(dataclasses.astuple(config.alerts.fallback_after))
    with reading(database) as session:
        sent_ms = session.scalar(
            sa.select(sa.func.max(OutboxRow.next_ms)).where(
                OutboxRow.state == "sent", OutboxRow.next_ms <= now_ms
            )
        )
        rows = session.scalars(
            sa.select(OutboxRow).where(
                sa.or_(
                    OutboxRow.state == "waiting",
                    sa.and_(
                        OutboxRow.state == "failed",
                        OutboxRow.done_ms > now_ms - _DAY_MS,
                        OutboxRow.created_ms > (sent_ms or 0),
                    ),
                ),
                OutboxRow.created_ms <= now_ms - round(2000 * least),
            )
        )
        return any(
            max(row.created_ms, sent_ms or 0) + 2 * after_ms(config, row) <= now_ms
            and not row.document.get("recipients")
            and (row.created_ms > (sent_ms or 0) or not _is_known(session, row))
            for row in rows
        )


def read(row: OutboxRow, now_ms: int) -> Notification:
    """Return a message; one that cannot be read is spoken of instead."""
    try:
        return Notification.from_document(row.document)
    except (KeyError, TypeError, ValueError):
        return Notification(
            kind="notice",
            channel=row.channel,
            site="",
            severity="warning",
            created_ms=now_ms,
            note=f"Message {row.id} cannot be read; see: hostpulse-server alerts list",
        )
