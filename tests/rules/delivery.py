"""How the requests of a made-up fleet reach the server: all at once, or late, in part, or never."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.rules.fleet import INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.rules.fleet import Fleet, Said

# an agent sends its backlog in requests of so many samples
BATCH: Final = 5
BOOT_MS: Final = 500_000


@dataclass(frozen=True)
class Span:
    """From a second of the day to another; ``every_s`` apart, ``for_s`` long, where given."""

    start_s: int
    end_s: int
    every_s: int = 0
    for_s: int = 0

    def __contains__(self, time_s: int) -> bool:
        """Return whether a second of the day is in it."""
        if not self.start_s <= time_s < self.end_s:
            return False
        return not self.every_s or (time_s - self.start_s) % self.every_s < self.for_s


@dataclass(frozen=True)
class Disturbances:
    """What is wrong between the hosts and people on a day; hosts by number, times in seconds.

    ``cut`` hosts reach the server afterwards, the newest first. ``losing`` hosts lose a part of
    their samples for good. ``clocks`` of hosts are off by seconds. The server's clock is off by
    ``server_clock_s`` within ``server_clock``. ``away`` is when the channel takes nothing.
    ``silences`` are of hosts.
    """

    cut: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    losing: Mapping[int, float] = field(default_factory=dict)
    clocks: Mapping[int, tuple[Span, int]] = field(default_factory=dict)
    server_clock: Span = Span(0, 0)
    server_clock_s: int = 0
    away: Span = Span(0, 0)
    silences: Mapping[int, Span] = field(default_factory=dict)


class Delivery:
    """Takes what hosts say, and gives the requests that arrive."""

    def __init__(self, fleet: Fleet, disturbances: Disturbances, start_ms: int) -> None:
        self._fleet = fleet
        self._disturbances = disturbances
        self._start_ms = start_ms
        self._rng = random.Random(11)  # noqa: S311  # made-up losses
        self._seqs: defaultdict[int, int] = defaultdict(int)
        self._held: defaultdict[int, list[str]] = defaultdict(list)

    def requests(self, said: Said) -> Iterator[bytes]:
        """Yield the requests of a host that arrive when it has said this."""
        cut = self._disturbances.cut.get(said.host, ())
        sample = self._sample(said) if said.points else ""
        if any(said.time_s in span for span in cut):
            self._held[said.host] += [sample] if sample else []
            return
        if sample and self._rng.random() < self._disturbances.losing.get(said.host, 0.0):
            return
        yield self._request(said, [sample] if sample else [])
        held = self._held.pop(said.host, [])
        while held:
            yield self._request(said, held[-BATCH:], has_events=False)
            del held[-BATCH:]

    def _sample(self, said: Said) -> str:
        self._seqs[said.host] += 1
        span, offset_s = self._disturbances.clocks.get(said.host, (Span(0, 0), 0))
        time_s = said.time_s + (offset_s if said.time_s in span else 0)
        return json.dumps(
            {
                "seq": self._seqs[said.host],
                "time": self._start_ms + time_s * 1000,
                "mono_ms": BOOT_MS + said.time_s * 1000,
                "interval_ms": INTERVAL_S * 1000,
                "points": said.points,
            },
            separators=(",", ":"),
        )

    def _request(self, said: Said, samples: list[str], *, has_events: bool = True) -> bytes:
        head = {
            "server_id": self._fleet.hosts[said.host].name,
            "agent": {"version": "0.1.0", "stream": f"stream-{said.host}"},
            "events": list(said.events) if has_events else [],
        }
        return f'{json.dumps(head)[:-1]},"samples":[{",".join(samples)}]}}'.encode()
