"""Actions on alerts: acknowledge and silence, by the API, the page or the command line.

Everything works within a transaction of the caller; the engine takes notice within a second.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from hostpulse_server.errors import (
    AlertOverError,
    InvalidItemError,
    UnknownAlertError,
    UnknownSilenceError,
)
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, SilenceRow
from hostpulse_server.values.alert import SEVERITIES
from hostpulse_server.values.matchers import NOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ACKNOWLEDGED_MS: Final = DAY_MS  # unless the operator gives another
MAX_ACKNOWLEDGED_MS: Final = 30 * DAY_MS
MAX_SILENCED_MS: Final = 366 * DAY_MS
MAX_ID: Final = 2**31 - 1  # as the narrowest database keeps them
MAX_COMMENT: Final = 1000
MAX_MATCHERS: Final = 32
MAX_GLOB: Final = 1024  # a tag's value, each character escaped
_MAX_BY: Final = 255
_MATCHED = re.compile(r"(?:label\.)?[a-z][a-z0-9_]{0,63}!?")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, when and why."""

    by: str
    now_ms: int
    comment: str = ""


def acknowledge(
    session: Session,
    alert_id: int,
    act: Act,
    until_ms: int | None = None,
    *,
    may_be_over: bool = False,
) -> AlertRow:
    """Acknowledge an active alert, anew if it is already; by default for a day.

    One that ``may_be_over`` flaps: the next of it is acknowledged as it is. Raises
    UnknownAlertError, AlertOverError, and InvalidItemError for a wrong end or comment.
    """
    until_ms = act.now_ms + ACKNOWLEDGED_MS if until_ms is None else until_ms
    faults = _faults_of_comment(act.comment)
    if until_ms <= act.now_ms:
        faults["/until"] = ["must be in the future"]
    elif until_ms > act.now_ms + MAX_ACKNOWLEDGED_MS:
        faults["/until"] = ["must be at most 30 days ahead"]
    _refuse(faults)
    values = {
        "acknowledged_by": act.by[:_MAX_BY],
        "acknowledged_ms": act.now_ms,
        "acknowledged_until_ms": until_ms,
        "comment": act.comment,
    }
    details = {"until": until_ms, "comment": act.comment}
    event = _event("acknowledged", alert_id, act, details)
    return _change(session, alert_id, values, event, may_be_over=may_be_over)


def unacknowledge(
    session: Session, alert_id: int, act: Act, *, may_be_over: bool = False
) -> AlertRow:
    """End an alert's acknowledgement; without one nothing changes.

    Raises UnknownAlertError and AlertOverError.
    """
    row = (any_alert if may_be_over else active_alert)(session, alert_id)
    if row.acknowledged_by is None:
        return row
    values = {
        "acknowledged_by": None,
        "acknowledged_ms": None,
        "acknowledged_until_ms": None,
        "comment": "",
    }
    event = _event("unacknowledged", alert_id, act, {})
    return _change(session, alert_id, values, event, may_be_over=may_be_over)


def _change(
    session: Session,
    alert_id: int,
    values: Mapping[str, object],
    event: AlertEventRow,
    *,
    may_be_over: bool,
) -> AlertRow:
    read = any_alert if may_be_over else active_alert
    read(session, alert_id)
    # the engine may end the alert meanwhile: what is over stays as it ended
    session.execute(
        sa.update(AlertRow)
        .where(
            AlertRow.id == alert_id,
            sa.true() if may_be_over else AlertRow.resolved_ms.is_(None),
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    row = read(session, alert_id)
    session.add(event)
    session.flush()
    log.info("alert %d %s by %s", alert_id, event.kind, event.document["by"])
    return row


def _event(kind: str, alert_id: int, act: Act, details: Mapping[str, object]) -> AlertEventRow:
    document = {"by": act.by[:_MAX_BY], **details}
    return AlertEventRow(alert_id=alert_id, at_ms=act.now_ms, kind=kind, document=document)


def any_alert(session: Session, alert_id: int) -> AlertRow:
    """Return an alert as it is in the database now; raises UnknownAlertError."""
    row = None
    if alert_id <= MAX_ID:
        row = session.get(AlertRow, alert_id, populate_existing=True)
    if row is None:
        raise UnknownAlertError(f"there is no alert {alert_id}")
    return row


def active_alert(session: Session, alert_id: int) -> AlertRow:
    """Return an alert that is not over; raises UnknownAlertError and AlertOverError."""
    row = any_alert(session, alert_id)
    if row.resolved_ms is not None:
        raise AlertOverError(f"alert {alert_id} is over; there is nothing left to acknowledge")
    return row


def silence(
    session: Session, matchers: Mapping[str, str], start_ms: int, end_ms: int, act: Act
) -> SilenceRow:
    """Mute the alerts that match between the two times.

    Raises InvalidItemError naming every fault.
    """
    faults = _faults_of_matchers(matchers) | _faults_of_comment(act.comment)
    narrowing = (glob for name, glob in matchers.items() if not name.endswith(NOT))
    is_of_all = all(set(glob) == {"*"} for glob in narrowing)
    if matchers and is_of_all and not act.comment.strip():
        faults["/comment"] = ["is required for a silence of everything, or of all but something"]
    if end_ms <= start_ms:
        faults["/end"] = ["must be after start"]
    elif end_ms <= act.now_ms:
        faults["/end"] = ["must be in the future"]
    elif end_ms - start_ms > MAX_SILENCED_MS:
        faults["/end"] = ["must be at most 366 days after start"]
    _refuse(faults)
    row = SilenceRow(
        matchers=dict(matchers),
        start_ms=start_ms,
        end_ms=end_ms,
        comment=act.comment,
        created_by=act.by[:_MAX_BY],
        created_ms=act.now_ms,
    )
    session.add(row)
    session.flush()
    log.info("silence %d of %s made by %s", row.id, dict(matchers), row.created_by)
    return row


def any_silence(session: Session, silence_id: int) -> SilenceRow:
    """Return a silence; raises UnknownSilenceError."""
    row = session.get(SilenceRow, silence_id) if silence_id <= MAX_ID else None
    if row is None:
        raise UnknownSilenceError(f"there is no silence {silence_id}")
    return row


def end_silence(session: Session, silence_id: int, act: Act) -> SilenceRow:
    """End a silence now, one to come before it begins; raises UnknownSilenceError."""
    row = any_silence(session, silence_id)
    if row.end_ms > act.now_ms:
        row.start_ms = min(row.start_ms, act.now_ms)
        row.end_ms = act.now_ms
        session.flush()
        log.info("silence %d ended by %s", silence_id, act.by)
    return row


def _faults_of_matchers(matchers: Mapping[str, str]) -> dict[str, list[str]]:
    if not matchers:
        return {
            "/matchers": ["must name at least one of rule, severity, server_id, a tag, a label"]
        }
    if len(matchers) > MAX_MATCHERS:
        return {"/matchers": [f"must be at most {MAX_MATCHERS}"]}
    return {
        # a name may hold anything here: as a JSON pointer writes it
        f"/matchers/{name.replace('~', '~0').replace('/', '~1')}": [fault]
        for name, glob in matchers.items()
        if (fault := _fault_of_matcher(name, glob))
    }


def _fault_of_matcher(name: str, glob: str) -> str:
    if not _MATCHED.fullmatch(name):
        return "must be rule, severity, server_id, a tag's name, a label's name or label.NAME"
    is_empty = (
        not glob and name.removesuffix(NOT) != "server_id"
    )  # what belongs to no host has an empty one
    if is_empty or len(glob) > MAX_GLOB or not glob.isprintable():
        return f"must be a glob of 1-{MAX_GLOB} characters without control characters"
    if name.removesuffix(NOT) == "severity" and not any(
        fnmatchcase(one, glob) for one in SEVERITIES
    ):
        return f"matches none of {', '.join(SEVERITIES)}"
    return ""


def _faults_of_comment(comment: str) -> dict[str, list[str]]:
    if len(comment) > MAX_COMMENT:
        return {"/comment": [f"must be at most {MAX_COMMENT} characters"]}
    if not comment.replace("\n", "").replace("\t", "").isprintable():
        return {"/comment": ["must not hold control characters"]}
    return {}


def _refuse(faults: dict[str, list[str]]) -> None:
    if faults:
        raise InvalidItemError(faults)
