"""One alert's timeline: what it did, and for each channel when it was notified, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hostpulse_server.state.alert_models import AlertRow, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.state.alert_models import AlertEventRow

_OF_ALERT: Final = {"firing": "fired", "severity": "level"}
_OF_CHANNEL: Final = {
    "suppressed": "suppressed",
    "suppressed_many": "suppressed",
    "told": "notified",
    "fallback": "fallback",
    "refused": "refused",
    "failed": "failed",
    "flapping": "flapping",
    "steady": "steady",
}
_REASONS: Final = {
    "silence": "silence {by}",
    "inhibition": "inhibited by alert {by}{other}",
    "group_wait": "waits for the rest of its group (group_wait)",
    "group_interval": "its group was notified a short while ago (group_interval)",
    "messages_per_minute": "the channel has had its messages_per_minute",
    "flap": "it flaps, and the channel was told so",
    "no_route": "no route matches it",
    "level": "{severity} is not notified without a route for it",
}


@dataclass(frozen=True, slots=True)
class Destinations:
    """The channels of the configuration, and those that an alert is routed to now."""

    channels: Sequence[str]
    routed: Sequence[str]


def timeline(
    session: Session, row: AlertRow, events: Sequence[AlertEventRow], to: Destinations
) -> dict[str, Any]:
    """Return ``alert``, its own entries, and ``channels``, each with its state and entries.

    An entry has ``at``, ``kind``, ``text`` and, where it has an end, ``until``. States are those of
    ``_state``.
    """
    own = [_of_alert(event) for event in events if event.kind not in _OF_CHANNEL]
    texts = _Texts(session, row)
    waiting = _waiting(session, row)
    of_channels = [(event, _channels(event)) for event in events if event.kind in _OF_CHANNEL]
    named = [name for _, names in of_channels for name in names]
    names = dict.fromkeys([*to.channels, *named, *(one.channel for one in waiting)])
    channels = []
    for name in names:
        entries = [texts.of_channel(event) for event, known in of_channels if name in known]
        entries += [_of_outbox(one) for one in waiting if one.channel == name]
        everywhere = [texts.of_channel(event) for event, known in of_channels if not known]
        entries = sorted([*entries, *everywhere], key=lambda one: one["at"])
        state = _state(entries, is_routed=name in to.routed)
        channels.append({"channel": name, "state": state, "entries": entries})
    return {"alert": own, "channels": channels}


def _channels(event: AlertEventRow) -> Sequence[str]:
    """Return the channels that an event is about; none is all."""
    document = event.document
    channels: Sequence[str] = document.get("channels", ())
    return channels or ([document["channel"]] if "channel" in document else [])


def _state(entries: Sequence[Mapping[str, Any]], *, is_routed: bool) -> str:
    """Return what became of an alert on a channel.

    ``notified`` once it confirmed a message; else by what happened last: ``waiting`` in the outbox,
    ``suppressed``, ``failed``; ``not_routed`` by the routes of now, ``unknown`` if nothing is.
    """
    kinds = [one["kind"] for one in entries]
    if "notified" in kinds:
        return "notified"
    if kinds:
        return str(kinds[-1])
    return "unknown" if is_routed else "not_routed"


def _of_alert(event: AlertEventRow) -> dict[str, Any]:
    details = event.document
    parts = [details.get(name) for name in ("severity", "reason")]
    if details.get("by"):
        parts += [f"by {details['by']}", details.get("comment")]
    if details.get("late"):
        parts.append("known late")
    text = ", ".join(str(part) for part in parts if part)
    return _entry(event.at_ms, _OF_ALERT.get(event.kind, event.kind), text, details.get("until"))


def _of_outbox(row: Any) -> dict[str, Any]:
    tries = f"; tries: {row.attempts}, {row.error}" if row.attempts else ""
    return _entry(row.created_ms, "waiting", f"message {row.id} is in the outbox{tries}")


def _entry(at_ms: int, kind: str, text: str, until_ms: int | None = None) -> dict[str, Any]:
    entry = {"at": at_ms, "kind": kind, "text": text}
    return entry if until_ms is None else {**entry, "until": until_ms}


def _waiting(session: Session, row: AlertRow) -> list[Any]:
    statement = sa.select(
        OutboxRow.id,
        OutboxRow.channel,
        OutboxRow.created_ms,
        OutboxRow.attempts,
        OutboxRow.error,
        OutboxRow.alert_ids,
    ).where(OutboxRow.state == "waiting")
    found = session.execute(statement.order_by(OutboxRow.id))
    return [one for one in found if row.id in one.alert_ids]


class _Texts:
    """Words for what happened on a channel."""

    def __init__(self, session: Session, row: AlertRow) -> None:
        self._session = session
        self._row = row

    def of_channel(self, event: AlertEventRow) -> dict[str, Any]:
        details = event.document
        kind = _OF_CHANNEL[event.kind]
        if kind == "suppressed":
            return _entry(event.at_ms, kind, self._reason(details), details.get("until"))
        if kind in {"flapping", "steady"}:
            return _entry(event.at_ms, kind, "")
        if kind == "refused":
            return _entry(event.at_ms, kind, f"for {details['recipient']}: {details['error']}")
        if kind in {"failed", "fallback"}:
            instead = f"; it went to {details['instead']}" if details.get("instead") else ""
            return _entry(event.at_ms, kind, f"{details.get('error', '')}{instead}")
        message = f", message {details['message']}" if "message" in details else ""
        return _entry(event.at_ms, kind, f"{details.get('kind', '')}{message}".lstrip(", "))

    def _reason(self, details: Mapping[str, Any]) -> str:
        reason, by = details["reason"], details.get("by")
        if reason == "no_route" and by is not None:
            return f"route {by} names no channel"
        other = ""
        if reason == "inhibition":
            row = self._session.get(AlertRow, by)
            other = f", {row.rule} on {row.server_id or '-'}" if row else ""
        words = _REASONS.get(reason, reason)
        return str(words).format(by=by, other=other, severity=self._row.severity)
