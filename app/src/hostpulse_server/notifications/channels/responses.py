"""Classifies HTTP responses to a message. Pure: it knows no socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.channels.base import ChannelError
from hostpulse_server.notifications.channels.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_OK: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
_OF_THE_SERVER: Final = range(500, 600)
_NOT_TAKEN: Final = (429, 503)  # these say so; others may come after a message was taken
_PASSING: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.LOCKED,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
)
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_LONGEST_WAIT: Final = 3600.0  # an alert that waits longer than this is better tried in between
_SHOWN: Final = 200
_FIXES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "it does not understand the message",
    HTTPStatus.UNAUTHORIZED: "the address holds no valid secret any more",
    HTTPStatus.FORBIDDEN: "it refuses us; see what is allowed to post there",
    HTTPStatus.NOT_FOUND: "there is nothing at this address; put the right one into the file",
    HTTPStatus.METHOD_NOT_ALLOWED: "nothing is posted to this address; put the right one into "
    "the file",
    HTTPStatus.GONE: "the address was taken back; put a new one into the file",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the message is too large for it",
}


@dataclass(frozen=True, slots=True)
class ChannelResponse:
    """An answer as it came; ``body`` may be cut."""

    status: int
    body: str = ""
    retry_after: str = ""


def judge(answer: ChannelResponse, now_ms: int, fixes: Mapping[str, str] | None = None) -> None:
    """Return for a response that confirms; raise the ChannelError of any other.

    ``fixes`` maps words of a body to what to do about them.
    """
    status = answer.status
    if status in _OK:
        return
    said = one_line(answer.body, _SHOWN)
    what = f"it answers {status}{f' ({said})' if said else ''}"
    if status in _REDIRECTS:
        raise ChannelError(
            f"it answers {status}, a redirect, and those are not followed; put the address that "
            "takes messages into the file",
            permanent=True,
        )
    if status in _PASSING or status in _OF_THE_SERVER:
        raise ChannelError(
            what,
            retry_after=seconds(answer.retry_after, now_ms),
            maybe_taken=status not in _NOT_TAKEN,
        )
    words = set(re.findall(r"[a-z_]+", said.lower()))
    known = next((fix for word, fix in (fixes or {}).items() if word in words), "")
    fix = known or _FIXES.get(status, "")
    raise ChannelError(f"{what}: {fix}" if fix else what, permanent=True)


def seconds(header: str, now_ms: int) -> float | None:
    """Return how long a Retry-After asks for: seconds or an HTTP date; ``None`` if neither."""
    header = header.strip()
    if _SECONDS.fullmatch(header):
        wait = float(header)
    else:
        try:
            date = parsedate_to_datetime(header)
            date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
            wait = date.timestamp() - now_ms / 1000
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, wait), _LONGEST_WAIT)
