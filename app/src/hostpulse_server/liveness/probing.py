"""Probes the addresses of silent hosts, a few at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from hostpulse_server.liveness.model import Probe
from hostpulse_server.liveness.probe import Reachability, reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.runtime.clock import Clock

AT_ONCE: Final = 16
EVERY_SECONDS: Final = 15.0

log = logging.getLogger(__name__)


class HostProber:
    """A Prober that asks by ICMP echo, where the kernel lets it, and by TCP.

    Its threads end when no host is left to probe, and never keep the process from ending: a
    resolver may take its time.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        ask: Callable[[str], Reachability] = reach,
        at_once: int = AT_ONCE,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._clock = clock
        self._ask = ask
        self._at_once = at_once
        self._every_seconds = every_seconds
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: deque[tuple[str, str, object]] = deque()
        # server → token of the question under way, whose answer counts only while that stands
        self._tokens: dict[str, object] = {}
        self._asked: dict[str, tuple[str, float]] = {}
        self._answers: dict[str, Probe] = {}

    def ask(self, server_id: str, address: str) -> None:
        """Have a host asked, unless that is under way or was done a moment ago."""
        now = self._clock.monotonic()
        with self._lock:
            before, at = self._asked.get(server_id, ("", now))
            if before == address and (server_id in self._tokens or now - at < self._every_seconds):
                return
            self._asked[server_id] = (address, now)
            token = self._tokens[server_id] = object()
            self._waiting.append((server_id, address, token))
            if self._threads < self._at_once:
                self._threads += 1
                threading.Thread(target=self._work, name="liveness-probe", daemon=True).start()

    def answer(self, server_id: str) -> Probe | None:
        """Return the newest answer, ``None`` before the first."""
        return self._answers.get(server_id)

    def forget(self, server_id: str) -> None:
        """Drop what is known of a host: it reports again."""
        with self._lock:
            self._tokens.pop(server_id, None)
            self._asked.pop(server_id, None)
            self._answers.pop(server_id, None)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                server_id, address, token = self._waiting.popleft()
                if self._tokens.get(server_id) is not token:
                    continue
            found = self._reach(address)
            now_ms, now = self._clock.now_ms(), self._clock.monotonic()
            with self._lock:
                if self._tokens.get(server_id) is token:
                    del self._tokens[server_id]
                    self._asked[server_id] = (address, now)
                    self._answers[server_id] = Probe(now_ms, found.is_answering, found.lines)

    def _reach(self, address: str) -> Reachability:
        try:
            return self._ask(address)
        except Exception as error:
            # a host that could not be probed is still silent, and must be reported
            log.exception("probing %s failed", address)
            return Reachability(None, (f"asking {address} failed: {error}",))
