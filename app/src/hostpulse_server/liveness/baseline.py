"""Learns which hosts answer to probes at all, by probing them now and then while they report."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from hostpulse_server.liveness.host_state import CONFIRMATIONS, Baseline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.liveness.host_state import HostState
    from hostpulse_server.liveness.model import Probe, Prober

EVERY_SECONDS: Final = 3600.0
# of the whole fleet; after a pause no more than so many at once
PER_SECOND: Final = 1.0
AT_ONCE: Final = 10
# when a host is probed again that answered before and does not now
AGAIN_SECONDS: Final = 30.0
# a host that reports within this time after a probe was up when it was probed
LATEST_MS: Final = 30_000


class BaselineLearner:
    """Of one thread. Each host is probed once per ``every_seconds``, one a second of all of them.

    ``prober`` is one of its own, so that silent hosts never wait for those that report.
    """

    def __init__(self, prober: Prober, every_seconds: float = EVERY_SECONDS) -> None:
        self._prober = prober
        self._every_seconds = every_seconds
        self._fleet: Mapping[str, HostState] = {}
        self._queue: deque[str] = deque()
        self._due: dict[str, float] = {}
        self._again: dict[str, float] = {}
        self._waiting: dict[str, Probe | None] = {}
        self._misses: dict[str, int] = {}
        self._budget = float(AT_ONCE)
        self._at = float("-inf")

    def turn(self, fleet: Mapping[str, HostState], now: float) -> list[str]:
        """Probe whose turn it is; return the hosts of which something else is known now."""
        if fleet is not self._fleet:
            self._register(fleet)
        self._budget = min(AT_ONCE, self._budget + max(0.0, now - self._at) * PER_SECOND)
        self._at = now
        self._ask(now)
        return [one for one in list(self._waiting) if self._learn(one, now)]

    def _register(self, fleet: Mapping[str, HostState]) -> None:
        self._fleet = fleet
        for server_id in self._due.keys() - fleet.keys():
            del self._due[server_id]
            self._again.pop(server_id, None)
            self._misses.pop(server_id, None)
            if server_id in self._waiting:
                del self._waiting[server_id]
                self._prober.forget(server_id)
        new = [server_id for server_id in fleet if server_id not in self._due]
        # those of which nothing is known first
        new.sort(key=lambda one: fleet[one].answers_while_up is not None)
        self._due.update(dict.fromkeys(new, 0.0))
        self._queue = deque([*new, *(one for one in self._queue if one in fleet)])

    def _ask(self, now: float) -> None:
        """Probe those that are due, as far as the rate allows."""
        for server_id, at in list(self._again.items()):
            if at <= now and self._budget >= 1:
                del self._again[server_id]
                self._probe(server_id)
        for _ in range(len(self._queue)):
            server_id = self._queue[0]
            if self._budget < 1 or self._due[server_id] > now:
                return
            self._queue.rotate(-1)
            self._due[server_id] = now + self._every_seconds
            self._probe(server_id)

    def _probe(self, server_id: str) -> None:
        known = self._fleet[server_id]
        if known.server and known.server.address and known.last_seen_ms and known.rules:
            self._budget -= 1
            self._prober.ask(server_id, known.server.address)
            self._waiting[server_id] = None

    def _learn(self, server_id: str, now: float) -> bool:
        """Take an answer into account; return whether it changes what is known of a host."""
        known, probe = self._fleet[server_id], self._waiting[server_id]
        if probe is None:
            probe = self._waiting[server_id] = self._prober.answer(server_id)
        if probe is None or known.server is None:
            return False
        if probe.is_answering is False and known.last_seen_ms <= probe.at_ms:
            return False  # unless it reports afterwards, it may be down
        del self._waiting[server_id]
        self._prober.forget(server_id)
        if not self._is_evidence(server_id, known, probe, now):
            return False
        before = known.answers_while_up
        known.baseline = Baseline(bool(probe.is_answering), known.server.address or "")
        return before is not probe.is_answering

    def _is_evidence(self, server_id: str, known: HostState, probe: Probe, now: float) -> bool:
        """Return whether what a probe found is to be believed."""
        if probe.is_answering is not False:
            self._misses.pop(server_id, None)
            return probe.is_answering is True  # where nobody could be asked, that is our fault
        if known.last_seen_ms - probe.at_ms > max(known.shortest_ms, LATEST_MS):
            return False  # it was down in between
        if not known.answers_while_up:
            return True
        misses = self._misses[server_id] = self._misses.get(server_id, 0) + 1
        if misses < CONFIRMATIONS:
            self._again[server_id] = now + AGAIN_SECONDS
            return False
        del self._misses[server_id]
        return True
