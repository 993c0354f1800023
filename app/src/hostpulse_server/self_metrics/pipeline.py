"""Pipeline metrics from two readings: rates, and how long the journal has room. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hostpulse_server.values.server_metrics import GROWTH_SECONDS, KEEPS_UP_SECONDS, MOST_HOURS

if TYPE_CHECKING:
    from collections.abc import Mapping


class Rates:
    """Turns counts since ever into counts a second."""

    def __init__(self) -> None:
        self._then = 0.0
        self._before: dict[str, float] = {}

    def per_second(self, now: float, counts: Mapping[str, float]) -> dict[str, float]:
        """Return the rate of each count since the last call; ``now`` is monotonic seconds.

        One that is new or went backwards has no rate: never a negative one, never a spike.
        """
        past = now - self._then
        rates = {
            name: (count - self._before[name]) / past
            for name, count in counts.items()
            if past > 0 and count >= self._before.get(name, float("inf"))
        }
        self._then, self._before = now, dict(counts)
        return rates


class Room:
    """How long the journal can go on as it does now before samples are refused."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def hours_left(self, now: float, used: int, room: int, lag: float) -> float | None:
        """Return hours until ``room`` bytes are taken, at the growth of ``used`` bytes so far.

        MOST_HOURS while the store keeps up (``lag`` seconds behind), or catches up; ``None``
        while it does not and growth is not known yet; 0 where samples are refused already.
        """
        if lag < KEEPS_UP_SECONDS:
            self._looks.clear()
        while self._looks and now - self._looks[0][0] > GROWTH_SECONDS:
            self._looks.popleft()
        self._looks.append((now, used))
        if room <= 0:
            return 0.0
        if lag < KEEPS_UP_SECONDS:
            return MOST_HOURS
        then, before = self._looks[0]
        if now <= then:
            return None
        growth = (used - before) / (now - then)
        return min(MOST_HOURS, room / growth / 3600) if growth > 0 else MOST_HOURS
