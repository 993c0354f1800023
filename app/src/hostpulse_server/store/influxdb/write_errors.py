"""What an answer of InfluxDB means for the batch, pure: one row an answer, one error a meaning.

https://docs.influxdata.com/influxdb/v2/write-data/troubleshoot/ and the tests say what 2.9 sends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from hostpulse_server.errors import (
    HostpulseError,
    StoreFailedError,
    StoreMisconfiguredError,
    StoreRejectedError,
    StoreTooLargeError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_TEXT = 300
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")
_SECONDS = re.compile(r"[0-9]{1,6}")
_NO_ORGANIZATION = "failed to decode request body: organization name"
_OK = range(200, 300)
_REDIRECTS = range(300, 400)
_OF_THE_ENGINE = range(500, 600)


@dataclass(frozen=True, slots=True)
class ErrorPosition:
    """Who was asked for what: names for messages, as the configuration has them."""

    url: str
    org: str
    bucket: str
    token_file: str


@dataclass(frozen=True, slots=True)
class WriteResponse:
    """An HTTP answer; ``retry_after`` is the header as it came."""

    status: int
    body: str = ""
    retry_after: str | None = None


def of_write(answer: WriteResponse, place: ErrorPosition) -> HostpulseError | None:
    """Return the error of a write's response, ``None`` when all points are kept."""
    status = answer.status
    if status in _OK:
        return None
    code, said = _read(answer.body)
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY) and code:
        return StoreRejectedError(f"InfluxDB refuses points: {said}")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return StoreTooLargeError(f"InfluxDB takes no request of this size: {said}")
    return _of_any(answer, said, place, "write to")


def of_query(answer: WriteResponse, place: ErrorPosition) -> HostpulseError | None:
    """Return the error of a query's response, ``None`` for 2xx."""
    if answer.status in _OK:
        return None
    code, said = _read(answer.body)
    if answer.status == HTTPStatus.BAD_REQUEST and code:
        if _NO_ORGANIZATION in said:  # a write gets 404
            return _of_any(WriteResponse(HTTPStatus.NOT_FOUND), said, place, "read")
        return StoreFailedError(f"InfluxDB cannot run a query: {said}")
    return _of_any(answer, said, place, "read")


def of_silence(
    error: BaseException, place: ErrorPosition, *, certificate: bool = False
) -> HostpulseError:
    """Return the error for no response at all; ``certificate``: TLS is what failed."""
    reason = _shortened(str(error)) or type(error).__name__
    if certificate:
        return StoreMisconfiguredError(
            f"no trust in InfluxDB at {place.url}: {reason}; let store.influxdb.ca_file name the "
            "authority that signed its certificate, and url the name in it"
        )
    return StoreUnavailableError(
        f"InfluxDB at {place.url} does not answer: {reason}; is it running, and is "
        "store.influxdb.url right?"
    )


def _of_any(answer: WriteResponse, said: str, place: ErrorPosition, does: str) -> HostpulseError:
    status = answer.status
    advice = _ADVICE.get(status)
    if advice is not None:
        return StoreMisconfiguredError(f"InfluxDB at {place.url}: {advice(place, does)} ({said})")
    if status in _WAIT:
        return StoreUnavailableError(
            f"InfluxDB at {place.url} {_WAIT[status]} ({status}: {said})",
            _seconds(answer.retry_after),
        )
    if status in _OF_THE_ENGINE:
        return StoreFailedError(
            f"InfluxDB at {place.url} failed ({status}: {said}); its log says why",
            _seconds(answer.retry_after),
        )
    kind = "sends us elsewhere" if status in _REDIRECTS else "does not answer as InfluxDB 2 does"
    return StoreMisconfiguredError(
        f"{place.url} {kind} ({status}: {said}); let store.influxdb.url be the address of InfluxDB"
    )


_ADVICE: dict[int, Callable[[ErrorPosition, str], str]] = {
    HTTPStatus.UNAUTHORIZED: lambda place, _: (
        f"the token in {place.token_file} is not known or may not do this; put a live one there"
    ),
    HTTPStatus.FORBIDDEN: lambda place, does: (
        f"the token in {place.token_file} may not {does} bucket {place.bucket}; put one there "
        "that may"
    ),
    HTTPStatus.NOT_FOUND: lambda place, does: (
        f"organization {place.org} or bucket {place.bucket} is not there, or the token in "
        f"{place.token_file} may not {does} it; run playbooks/site.yml or correct [store.influxdb]"
    ),
}
_WAIT: dict[int, str] = {
    HTTPStatus.REQUEST_TIMEOUT: "gave up waiting for us",
    HTTPStatus.TOO_MANY_REQUESTS: "has too much to do",
    HTTPStatus.BAD_GATEWAY: "is not behind its proxy",
    HTTPStatus.SERVICE_UNAVAILABLE: "is not ready",
    HTTPStatus.GATEWAY_TIMEOUT: "is not quick enough for its proxy",
}


def _read(body: str) -> tuple[str, str]:
    """Return InfluxDB's own code ("" when something else answered) and a text to show."""
    try:
        document = json.loads(body)
        code, message = str(document["code"]), str(document.get("message", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", _shortened(body) or "no reason given"
    return code, _shortened(message) or code


def _shortened(text: str) -> str:
    plain = _UNPRINTABLE.sub(" ", text).strip()
    return plain if len(plain) <= _LONGEST_TEXT else plain[:_LONGEST_TEXT] + "…"


def _seconds(header: str | None) -> float | None:
    """Return Retry-After in seconds; its form as a date is left to our own back-off."""
    return float(header) if header and _SECONDS.fullmatch(header.strip()) else None
