"""One batch on its way into a store that may refuse part of it.

What is refused for ever (a type conflict, a time outside retention) is halved down to the single
points at fault. An answer that the store failed (5xx) may come from a sick store or from a point
that it stumbles over: after three identical ones single points of the batch are tried, and only
when the store takes one of those is the batch divided. A single point is given up for such an
answer only between two writes that the store took: no outage puts points into the quarantine.
Writing a point again is harmless.
"""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.errors import (
    StoreFailedError,
    StoreRejectedError,
    StoreTooLargeError,
    StoreUnavailableError,
)
from hostpulse_server.journal.records import point_document
from hostpulse_server.shipper.quarantine import POINT, QuarantinedEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostpulse_server.journal import Entry
    from hostpulse_server.store.base import Store
    from hostpulse_server.values.points import StorePoint

# numbers and addresses, which differ in two reports of one failure
_CHANGING = re.compile(r"\b(?:0x)?[0-9a-f]*[0-9][0-9a-f]*\b")

REPEATS = 3
PROBES = 3

REFUSED = "refused by the store"
TOO_LARGE = "too large for the store"
FAILS_ALONE = "the store fails over it"


class AttributedPoint(NamedTuple):
    """A point and the entry it came in."""

    point: StorePoint
    entry: Entry


class WriteBatch:
    """Points on their way; what was taken or given up so far is remembered between calls.

    ``is_whole``: that is nothing yet, so a batch made anew would be no worse.
    """

    def __init__(self, points: Sequence[AttributedPoint], size: int) -> None:
        parts = [points[start : start + size] for start in range(0, len(points), size)]
        self._parts = parts[::-1]  # the last is the next to go
        self.is_whole = True
        self._failure = ""
        self._repeats = 0
        self._taken: AttributedPoint | None = None
        self.aside: list[QuarantinedEntry] = []

    def send(self, store: Store, pause: Callable[[], bool]) -> bool:
        """Write until all is taken or given up (True), or until ``pause`` says so (False).

        Raises StoreUnavailableError: call again later.
        """
        while self._parts:
            try:
                self._send_next(store)
            except StoreFailedError:
                raise
            except StoreUnavailableError:
                self._failure = ""  # what was seen before an outage proves nothing after it
                raise
            if self._parts and pause():
                return False
        return True

    def _send_next(self, store: Store) -> None:
        part = self._parts[-1]
        try:
            _write(store, part)
        except StoreTooLargeError as error:
            self._divide(TOO_LARGE, error)
        except StoreRejectedError as error:
            self._divide(REFUSED, error)
        except StoreFailedError as error:
            self._isolate_failure(store, error)
        else:
            self._taken = part[0]
            self._next_part()

    def _next_part(self) -> Sequence[AttributedPoint]:
        self.is_whole = False
        return self._parts.pop()

    def _isolate_failure(self, store: Store, error: StoreFailedError) -> None:
        """Find out whether the store is sick, which raises ``error``, or this part is at fault."""
        failure = _CHANGING.sub("#", str(error))
        if failure != self._failure:
            self._failure, self._repeats, self._taken = failure, 0, None
        self._repeats += 1
        if self._repeats < REPEATS:
            raise error
        part = self._parts[-1]
        taken = self._taken or self._probe(store, part)
        if taken is None:
            raise error
        if len(part) > 1 or self._fails_alone(store, part, taken):
            self._divide(FAILS_ALONE, error)

    def _fails_alone(
        self, store: Store, part: Sequence[AttributedPoint], taken: AttributedPoint
    ) -> bool:
        """Return whether the store fails over one point while it takes another before and after."""
        try:
            _write(store, [taken])
            try:
                _write(store, part)
            except StoreFailedError:
                _write(store, [taken])
                return True
        except (StoreRejectedError, StoreTooLargeError):
            self._taken = None  # either has got another answer: begin anew
        return False

    def _probe(self, store: Store, part: Sequence[AttributedPoint]) -> AttributedPoint | None:
        """Return a point of ``part`` that the store takes by itself, ``None`` if it takes none."""
        for one in random.sample(part, min(PROBES, len(part) - 1)):
            try:
                _write(store, [one])
            except (StoreFailedError, StoreRejectedError, StoreTooLargeError):
                continue
            self._taken = one
            return one
        return None

    def _divide(self, reason: str, error: Exception) -> None:
        part = self._next_part()
        if len(part) > 1:
            middle = len(part) // 2
            self._parts += [part[middle:], part[:middle]]
        else:
            self.aside.append(_given_up(part[0], reason, str(error)))


def _write(store: Store, part: Sequence[AttributedPoint]) -> None:
    store.write([one.point for one in part])


def _given_up(one: AttributedPoint, reason: str, detail: str) -> QuarantinedEntry:
    point, entry = one
    return QuarantinedEntry(
        entry=entry.id,
        kind=POINT,
        received_ms=entry.received_ms,
        server_id=point.server_id,
        measurement=point.measurement,
        reason=reason,
        detail=detail,
        body=json.dumps(point_document(point), separators=(",", ":")).encode(),
    )
