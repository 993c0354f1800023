"""Retry policy, without I/O: meaning of a response, backoff, batch size and choice of URL."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_S = 1.0
CAP_S = 60.0
MAX_RETRY_AFTER_S = 600.0
BACK_TO_FIRST_S = 300.0
BATCH = 100

DONE = "done"  # stored by the server
SMALLER = "smaller"  # too large: send fewer at once
BAD = "bad"  # this request holds invalid data
HOLD = "hold"  # an operator must act first: keep everything, retry slowly
RETRY = "retry"  # the same request may succeed later

_HOLD_ADVICE = {
    401: "the server does not know this key: register the host again (playbooks/site.yml)",
    403: "the key may not write for this server_id: check server_id, that the server is enabled "
    "and that this host's address is allowed",
    404: "no hostpulse API at this URL: check server.urls",
    409: "another machine uses the same server_id: give each its own",
}


class Outcome(NamedTuple):
    """What to do after a response; ``retry_after`` in seconds if the server asked for it."""

    action: str
    advice: str = ""
    retry_after: float | None = None


def classify(status: int, retry_after: float | None) -> Outcome:
    """Return what HTTP ``status`` means for the samples that were sent."""
    if 200 <= status < 300:  # noqa: PLR2004 -- the class of success
        return Outcome(DONE)
    if status == 413:  # noqa: PLR2004 -- content too large
        return Outcome(SMALLER)
    if status in (400, 422):
        return Outcome(BAD)
    if status in (408, 425, 429) or status >= 500:  # noqa: PLR2004 -- the class of server errors
        return Outcome(RETRY, f"the server answers {status}", retry_after)
    advice = _HOLD_ADVICE.get(status, "check server.urls and any proxy between")
    return Outcome(HOLD, f"the server answers {status}: {advice}", retry_after)


def is_receipt(body: bytes) -> bool:
    """Return whether the body of a 2xx confirms that samples were accepted.

    A captive portal or a proxy may answer 200, too, although nothing was stored.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and "accepted" in answer


def parse_retry_after(text: str | None, now_s: float) -> float | None:
    """Return the seconds a Retry-After header asks for: a number or a date; else ``None``."""
    if not text:
        return None
    text = text.strip()
    if text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 -- rare, and a big import

    date = parsedate_tz(text)
    return min(max(0.0, mktime_tz(date) - now_s), MAX_RETRY_AFTER_S) if date else None


def random_unit() -> float:
    """Return a random number in [0, 1); the ``random`` module would cost memory."""
    return int.from_bytes(os.urandom(6), "big") / 2.0**48


class Backoff:
    """Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"), 1 s to 60 s."""

    def __init__(self, random: Callable[[], float] = random_unit) -> None:
        self._random = random
        self.failures = 0

    def failed(self, retry_after: float | None = None, *, slow: bool = False) -> float:
        """Return the seconds to wait after one more failure.

        ``retry_after`` is a floor, spread by up to the same again so that hosts do not come back
        together; ``slow`` waits at least half the cap.
        """
        ceiling = min(CAP_S, BASE_S * 2.0 ** min(self.failures, 16))
        self.failures += 1
        if retry_after is not None:
            return retry_after + self._random() * min(max(retry_after, BASE_S), CAP_S)
        if slow:
            return CAP_S / 2 + self._random() * CAP_S / 2
        return self._random() * ceiling

    def succeeded(self) -> None:
        """Reset the backoff."""
        self.failures = 0


class BatchSize:
    """Number of oldest samples to send at once; a binary search isolates a bad sample.

    After a batch of ``n`` was refused, one of those ``n`` is suspect: halves are sent until it is
    alone in its batch, then the size is back to the full one.
    """

    def __init__(self, full: int = BATCH) -> None:
        self._full = self._allowed = full
        self._suspects = 0

    @property
    def limit(self) -> int:
        """Samples the next batch may hold, at least one."""
        if self._suspects:
            return max(1, min(self._allowed, (self._suspects + 1) // 2))
        return self._allowed

    def succeeded(self, count: int) -> None:
        """Record that the server accepted ``count`` of the oldest samples."""
        self._suspects = max(0, self._suspects - count)
        self._allowed = min(self._full, self._allowed + 1)

    def refused(self, count: int) -> None:
        """Record that one of ``count`` samples is bad; a batch of one ends the search."""
        self._suspects = count if count > 1 else 0

    def too_large(self, count: int) -> None:
        """Record that ``count`` samples were too large for one request."""
        self._allowed = max(1, count // 2)


class Endpoints:
    """Choice of URL: in order, keeping one that works, back to the first after five minutes."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self._index = 0
        self._left_first_at = 0.0
        self._tried = 0

    def current(self, now: float) -> str:
        """Return the URL to use at monotonic time ``now``."""
        if self._index and not self._tried and now - self._left_first_at >= BACK_TO_FIRST_S:
            self._index = 0
        return self.urls[self._index]

    def failed(self, now: float) -> bool:
        """Move to the next URL; return whether one is left to try in this round."""
        if self._index == 0:
            self._left_first_at = now
        self._index = (self._index + 1) % len(self.urls)
        self._tried = (self._tried + 1) % len(self.urls)
        return self._tried != 0

    def succeeded(self) -> None:
        """Begin a new round."""
        self._tried = 0
