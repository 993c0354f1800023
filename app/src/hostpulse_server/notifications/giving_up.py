"""Giving up on a channel: for one message, which another gets, or for all, which is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.notifications import fallback, outbox
from hostpulse_server.notifications.channels.base import Notification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.state.alert_models import OutboxRow


def give_up(
    session: Session,
    config: ServerConfig,
    row: OutboxRow,
    channels: Sequence[str],
    reason: str,
    now_ms: int,
) -> None:
    """Give up a message on its channel; the next channel gets it, with the reason at its top.

    Without a next channel its alerts count as never notified: those that still fire are notified
    again after ``group_interval``, and no resolution is sent.
    """
    done = {"state": "failed", "done_ms": now_ms, "attempts": row.attempts + 1, "error": reason}
    if not outbox.finish(session, row.id, **done):
        return
    failed = {"channel": row.channel, "kind": row.kind, "message": row.id, "error": reason}
    before = fallback.read(row, now_ms)
    other = instead_of(row, [*fallback.in_place_of(config, before), *channels])
    # the others of a mail have it, or another channel has it already and goes on trying
    is_done = bool(row.document.get("recipients") or outbox.standing_for(session, row))
    if other and not is_done:
        failed["instead"] = other
    outbox.note(session, row.alert_ids, "failed", now_ms, failed)
    if is_done:
        return
    if not other:
        if outbox.waits(session, row.document.get(outbox.STANDS_FOR)):
            return  # the channel that was to have it goes on trying
        if row.kind in ("firing", "update"):
            outbox.forget_notified(session, row.alert_ids, (*row.refused_by, row.channel)[0])
        return
    note = f"Channel {row.channel} did not take this: {reason}"
    message = fallback.noted(before, other, note, now_ms)
    fallback.pass_on(session, row, message, row.document.get(outbox.STANDS_FOR))


def report(
    session: Session,
    config: ServerConfig,
    row: OutboxRow,
    channels: Sequence[str],
    now_ms: int,
) -> None:
    """Notify another channel that one has taken nothing for long; its messages go on waiting."""
    other = instead_of(row, channels)
    if other:
        minutes = (now_ms - row.created_ms) // 60_000
        text = (
            f"Channel {row.channel} has not taken a message for {minutes} minutes. It is tried "
            f"again, nothing is lost: {row.error}"
        )
        outbox.add(session, notice(config, other, text, now_ms))


def notice(config: ServerConfig, channel: str, text: str, now_ms: int) -> Notification:
    """Return a text about hostpulse itself, for one channel."""
    return Notification(
        kind="notice",
        channel=channel,
        site=config.site.name,
        severity="warning",
        created_ms=now_ms,
        note=text,
        timezone=config.site.timezone,
    )


def instead_of(row: OutboxRow, channels: Sequence[str]) -> str:
    """Return the first other channel that has not refused this message, ``""`` if none."""
    out = {row.channel, *row.refused_by}
    return next((name for name in channels if name not in out), "")
