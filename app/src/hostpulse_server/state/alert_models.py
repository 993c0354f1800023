"""Tables of alerts. A change here needs a migration in ``migrations/versions``.

Times are epoch milliseconds. Nothing here refers to ``servers``: history outlives a removed host.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from hostpulse_server.state.models import Base


class AlertCursorRow(Base):
    """One row: how far the engine has come in the journal, and what it knows about itself.

    ``skipped`` counts entries that the journal dropped before the engine read them. ``alive_ms`` is
    when the engine last worked. ``document`` is the engine's: faults of the rules in force, since
    when ingest works, …
    """

    __tablename__ = "alert_cursor"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epoch: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    alive_ms: Mapped[int] = mapped_column(BigInteger)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)


class AlertProgressRow(Base):
    """What evaluation remembers of one server.

    ``origin`` is ``samples``, ``internal`` (what the server measures about the host) or
    ``liveness``. ``time_ms`` is the time of the newest sample evaluated. ``document`` is the
    evaluator's: windows, clocks, levels that hold.
    """

    __tablename__ = "alert_progress"

    server_id: Mapped[str] = mapped_column(String(253), primary_key=True)
    origin: Mapped[str] = mapped_column(String(16), primary_key=True)
    time_ms: Mapped[int] = mapped_column(BigInteger)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)


class AlertRow(Base):
    """One alert, from pending to resolved; the newest of a fingerprint may be active.

    ``state`` is ``pending``, ``firing`` or ``resolved``; a row that was only pending is deleted.
    ``labels`` are the server's and the rule's at the time it fired. ``evidence`` holds ``lines``,
    ``trend``, ``processes``, ``facts``.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        # One active alert an identity, whatever the programs do.
        Index(
            "ux_alerts_active",
            "fingerprint",
            unique=True,
            sqlite_where=text("resolved_ms IS NULL"),
            postgresql_where=text("resolved_ms IS NULL"),
        ),
        Index("ix_alerts_state", "state"),
        Index("ix_alerts_server_id", "server_id"),
        Index("ix_alerts_fired_ms", "fired_ms"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    fingerprint: Mapped[str] = mapped_column(String(32))
    rule: Mapped[str] = mapped_column(String(64))
    server_id: Mapped[str] = mapped_column(String(253))
    tags: Mapped[dict[str, str]] = mapped_column(JSON)
    measurement: Mapped[str] = mapped_column(String(64))
    field: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None] = mapped_column(Float)
    threshold: Mapped[float | None] = mapped_column(Float)
    summary: Mapped[str] = mapped_column(Text)
    runbook: Mapped[str] = mapped_column(Text)
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    started_ms: Mapped[int] = mapped_column(BigInteger)
    fired_ms: Mapped[int | None] = mapped_column(BigInteger)
    resolved_ms: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(32))
    acknowledged_by: Mapped[str | None] = mapped_column(String(255))
    acknowledged_ms: Mapped[int | None] = mapped_column(BigInteger)
    acknowledged_until_ms: Mapped[int | None] = mapped_column(BigInteger)
    comment: Mapped[str] = mapped_column(Text)


class AlertEventRow(Base):
    """An event of an alert, for its history.

    ``kind``: ``firing``, ``severity``, ``resolved``, ``acknowledged``, ``unacknowledged``, ``told``
    (confirmed by the channel), ``fallback`` (another channel gets it), ``refused`` (by one
    recipient), ``failed`` (the channel will never take it), ``flapping`` or ``steady`` (what the
    channel in the document was last notified of), ``suppressed`` (why channels are not notified)
    or ``suppressed_many``, the same of all that the ``alerts`` of the ``document`` name.
    ``document`` has the particulars.
    """

    __tablename__ = "alert_events"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - how SQLAlchemy reads it

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), index=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    document: Mapped[dict[str, Any]] = mapped_column(JSON)


class AlertGroupRow(Base):
    """Alerts that a channel is notified of together: an incident, from first alert to last end.

    ``key`` is JSON, an array of the values of ``alerts.group_by`` or, where that is "auto", an
    object of what its alerts have in common. ``wanted_ms`` is since when there is
    something to send, ``notified_ms`` when it was sent last, ``messages`` how many there were.
    """

    __tablename__ = "alert_groups"
    __table_args__ = (
        Index(
            "ux_alert_groups_open",
            "channel",
            "key",
            unique=True,
            sqlite_where=text("closed_ms IS NULL"),
            postgresql_where=text("closed_ms IS NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    incident: Mapped[str] = mapped_column(String(32), unique=True)
    channel: Mapped[str] = mapped_column(String(255))
    key: Mapped[str] = mapped_column(String(1024))
    opened_ms: Mapped[int] = mapped_column(BigInteger)
    wanted_ms: Mapped[int | None] = mapped_column(BigInteger)
    notified_ms: Mapped[int | None] = mapped_column("told_ms", BigInteger)
    messages: Mapped[int] = mapped_column(Integer)
    closed_ms: Mapped[int | None] = mapped_column(BigInteger)


class NotificationLogRow(Base):
    """What a channel was last notified of: an alert's severity, or ``over`` once it had ended."""

    __tablename__ = "alert_tellings"
    __table_args__ = (Index("ix_alert_tellings_over", "over", "told_ms"),)

    alert_id: Mapped[int] = mapped_column(
        ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True
    )
    channel: Mapped[str] = mapped_column(String(255), primary_key=True)
    group_id: Mapped[int] = mapped_column(
        ForeignKey("alert_groups.id", ondelete="CASCADE"), index=True
    )
    severity: Mapped[str] = mapped_column(String(16))
    over: Mapped[bool]
    notified_ms: Mapped[int] = mapped_column("told_ms", BigInteger)


class OutboxRow(Base):
    """A message on its way to a channel.

    ``state``: ``waiting`` (``next_ms`` is when to try), ``sent`` (``next_ms`` is when) or
    ``failed`` (for good). ``document`` is a Notification, meant for the channel that it names;
    ``alert_ids`` are the alerts it is about, ``refused_by`` the channels that did not take it
    before. ``reported_ms`` is when another channel was notified that this one takes nothing.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_waiting", "channel", "state", "next_ms"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    channel: Mapped[str] = mapped_column(String(255))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("alert_groups.id", ondelete="SET NULL"))
    kind: Mapped[str] = mapped_column(String(16))
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    alert_ids: Mapped[list[int]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    next_ms: Mapped[int] = mapped_column(BigInteger)
    done_ms: Mapped[int | None] = mapped_column(BigInteger)
    reported_ms: Mapped[int | None] = mapped_column(BigInteger)
    refused_by: Mapped[list[str]] = mapped_column(JSON)
    error: Mapped[str] = mapped_column(Text)


class SilenceRow(Base):
    """Alerts whose properties match these globs are muted between the two times."""

    __tablename__ = "silences"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - how SQLAlchemy reads it

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    matchers: Mapped[dict[str, str]] = mapped_column(JSON)
    start_ms: Mapped[int] = mapped_column(BigInteger)
    end_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    comment: Mapped[str] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(255))
    created_ms: Mapped[int] = mapped_column(BigInteger)
