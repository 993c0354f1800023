"""Reads how often alerts changed lately, and writes who was notified that they flap.

The history is that of the rows as they are now: what samples that came late showed never to have
been, and what was over before it was known, is no change that anybody saw; nor is an end that a
person made. Events of the kinds ``flapping`` and ``steady`` hold what a channel knows, so that it
is the same after a restart.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
)
from hostpulse_server.values.alert import BY_PEOPLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from hostpulse_server.notifications.planner.state import FlapSettings, PlannedMessage

FLAPPING: Final = "flapping"
STEADY: Final = "steady"
_MOST: Final = 5000  # alerts of which it is known whether they flap
_UNSEEN: Final = (*BY_PEOPLE, "rule_changed")  # ends that are no change of what is watched


def changes(
    session: Session, settings: FlapSettings, now_ms: int
) -> tuple[Mapping[str, list[int]], set[int]]:
    """Return when alerts changed that may flap, by fingerprint, and the newest of their ids."""
    if settings.window == 0:
        return {}, set()
    since_ms = now_ms - settings.span_ms
    # each has a beginning and at most one end within the window
    least = max(2, math.ceil(settings.low * settings.window / 2))
    frequent = (
        sa.select(AlertRow.fingerprint)
        .where(AlertRow.fired_ms > since_ms)
        .group_by(AlertRow.fingerprint)
        .order_by(AlertRow.fingerprint)
        .having(sa.func.count() >= least)
    )
    prints = list(session.scalars(frequent))
    if not prints:
        return {}, set()
    is_late = sa.exists().where(
        AlertEventRow.alert_id == AlertRow.id,
        AlertEventRow.kind == "firing",
        AlertEventRow.document["late"].as_boolean(),
    )
    rows = session.execute(
        sa.select(
            AlertRow.id,
            AlertRow.fingerprint,
            AlertRow.fired_ms,
            AlertRow.resolved_ms,
            AlertRow.reason,
        )
        .where(AlertRow.fired_ms > since_ms, AlertRow.fingerprint.in_(prints[:_MOST]))
        .where(AlertRow.reason != "revised", ~is_late)
        .order_by(AlertRow.fired_ms, AlertRow.id)
    )
    found: defaultdict[str, list[int]] = defaultdict(list)
    newest: dict[str, int] = {}
    for number, fingerprint, fired_ms, resolved_ms, reason in rows:
        newest[fingerprint] = number
        if reason in _UNSEEN:
            found[fingerprint].clear()  # it is looked at anew
            continue
        ends = () if resolved_ms is None else (resolved_ms,)
        found[fingerprint] += [time for time in (fired_ms, *ends) if time <= now_ms]
    return {name: sorted(times) for name, times in found.items()}, set(newest.values())


def known(session: Session) -> frozenset[tuple[str, str]]:
    """Return the channels and fingerprints that an open group was notified of as flapping."""
    rows = session.execute(
        sa.select(
            NotificationLogRow.channel,
            AlertRow.fingerprint,
            AlertEventRow.kind,
            AlertEventRow.document["channel"].as_string(),
        )
        .join(AlertGroupRow, AlertGroupRow.id == NotificationLogRow.group_id)
        .join(AlertRow, AlertRow.id == NotificationLogRow.alert_id)
        .join(AlertEventRow, AlertEventRow.alert_id == AlertRow.id)
        .where(AlertGroupRow.closed_ms.is_(None), AlertEventRow.kind.in_((FLAPPING, STEADY)))
        .order_by(AlertEventRow.id)
    )
    last = {
        (channel, fingerprint): kind
        for channel, fingerprint, kind, notified in rows
        if channel == notified
    }
    return frozenset(one for one, kind in last.items() if kind == FLAPPING)


def note(session: Session, message: PlannedMessage, now_ms: int) -> None:
    """Note what a channel is notified of."""
    for kind, flaps in ((FLAPPING, message.begun), (STEADY, message.steady)):
        session.add_all(
            AlertEventRow(
                alert_id=flap.alert.id,
                at_ms=now_ms,
                kind=kind,
                document={"channel": message.group.channel, "changes": len(flap.times)},
            )
            for flap in flaps
        )
