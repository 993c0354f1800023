"""The sender: a thread that brings samples to the server, the newest first, and keeps at it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent import delivery, log, wire
from hostpulse_agent.delivery import Backoff, BatchSize, Endpoints, Verdict
from hostpulse_agent.errors import SecretError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_agent.clock import Clock, ServerClock
    from hostpulse_agent.config import ServerConfig
    from hostpulse_agent.log import Troubles
    from hostpulse_agent.spool import Spool
    from hostpulse_agent.spoolfile import Row
    from hostpulse_agent.transport import Response, Transport

FACTS_EVERY_S = 3600.0
MAX_PACKED = 700 << 10  # of samples in a batch, each packed alone: an upper bound of the body
MAX_RAW = 6 << 20
GIVE_UP_AFTER = 3  # samples dropped as bad in a row before the server itself is suspected
FAREWELL_S = 3.0


class Hands(NamedTuple):
    """What the sender works with, made by the service."""

    spool: Spool
    transport: Transport
    clock: Clock
    server_clock: ServerClock
    troubles: Troubles
    read_key: Callable[[], str]
    facts: Callable[[], dict[str, Any]]


class Tally:
    """Figures of the sender, cumulative since the start; read by other threads."""

    def __init__(self) -> None:
        self.sent = 0
        self.failures = 0
        self.last_ack_ms: int | None = None  # host's wall clock
        self.last_ack_seq: int | None = None
        self.url = ""


class Sender:
    """Sends until ``stop``. ``step`` is one decision and at most one round of requests."""

    def __init__(self, header: wire.Header, server: ServerConfig, hands: Hands) -> None:
        self._header = header
        self._timeout = server.timeout
        self._hands = hands
        self._endpoints = Endpoints(server.urls)
        self._backoff = Backoff()
        self._size = BatchSize()
        self.tally = Tally()
        self._fresh_id = 0  # the newest sample that had its turn as such
        self._was_fresh = False
        self._not_before = 0.0
        self._facts_due = 0.0
        self._bad_in_a_row = 0
        self._wake = threading.Condition()
        self._work = False
        self._farewell: str | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    # -- other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def notice(self) -> None:
        """Say that a sample was spooled."""
        with self._wake:
            self._work = True
            self._wake.notify()

    def stop(self, reason: str, deadline_s: float = FAREWELL_S + 2.0) -> None:
        """Have a ``stopping`` event sent, best effort, and the thread ended."""
        with self._wake:
            self._farewell = reason
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    # -- the thread

    def _run(self) -> None:
        try:
            while self._farewell is None:
                self._pause(self._guarded_step())
            self._say_farewell(self._farewell)
        finally:
            self._hands.transport.close()

    def _guarded_step(self) -> float | None:
        try:
            return self.step()
        except Exception as error:  # noqa: BLE001 -- the thread must outlive any fault of a step
            self._hands.troubles.begin("sender", f"sending failed: {error!r}; trying on")
            return delivery.CAP_S

    def _pause(self, seconds: float | None) -> None:
        """Wait for work (``None``), or ``seconds`` during which new work changes nothing."""
        with self._wake:
            if self._farewell is not None:
                return
            if seconds is None:
                self._wake.wait_for(lambda: self._work or self._farewell is not None)
            elif seconds > 0:
                self._wake.wait_for(lambda: self._farewell is not None, seconds)

    def step(self) -> float | None:
        """Send one batch if it is time; return the seconds to wait, ``None``: until new work."""
        now = self._hands.clock.monotonic()
        if now < self._not_before:
            return self._not_before - now
        with self._wake:
            self._work = False
        extra = self._facts(now)
        rows, fresh = self._choose(greet=bool(extra) and not self.tally.url)
        if not rows and not extra:
            return None
        self._was_fresh = fresh
        if rows:
            self._fresh_id = max(self._fresh_id, rows[-1].id)
        try:
            verdict = self._deliver(rows, extra)
            self._act(verdict, rows, extra, fresh=fresh)
        finally:
            self._hands.spool.release(rows)  # whatever was not acknowledged or rejected
        return max(0.0, self._not_before - self._hands.clock.monotonic())

    def _choose(self, *, greet: bool) -> tuple[list[Row], bool]:
        """Take the newest sample if it had no turn yet, else some of the oldest.

        ``greet``: nothing was ever sent; the server's clock is asked before samples go.
        """
        if greet:
            return [], False
        spool = self._hands.spool
        # In turns, so that samples that come as fast as they go do not starve the backlog.
        row = None if self._was_fresh and len(spool) > 1 else spool.newest(self._fresh_id)
        if row is not None:
            return [row], True
        return spool.oldest(self._size.limit, MAX_PACKED, MAX_RAW), False

    def _facts(self, now: float) -> dict[str, Any]:
        if now < self._facts_due:
            return {}
        try:
            facts = self._hands.facts()
        except Exception as error:  # noqa: BLE001 -- a host that hides a fact still sends samples
            self._hands.troubles.begin("facts", f"the host's facts cannot be collected: {error!r}")
            facts = {}
        return {"facts": facts}

    def _deliver(self, rows: list[Row], extra: dict[str, Any]) -> Verdict:
        """Post to the URLs in order until one gives an answer worth heeding."""
        clock, verdict = self._hands.clock, Verdict(delivery.RETRY)
        stream = rows[0].stream if rows else self._hands.spool.stream.id
        packed = [row.packed for row in rows]
        body = wire.envelope(self._header, stream, int(clock.wall_ms()), extra, packed)
        while self._farewell is None:
            url = self._endpoints.current(clock.monotonic())
            verdict = self._post(url, body, rows)
            if verdict.action != delivery.RETRY:
                self._endpoints.succeeded()
                self.tally.url = url
                return verdict
            if not self._endpoints.failed(clock.monotonic()):
                return verdict
        return verdict

    def _post(self, url: str, body: bytes, rows: list[Row], timeout: float = 0.0) -> Verdict:
        clock = self._hands.clock
        sent_ms = clock.boot_ms()
        try:
            key = self._hands.read_key()
            response = self._hands.transport.post(url, key, body, timeout or self._timeout)
        except SecretError as error:
            return Verdict(delivery.HOLD, str(error))
        except TransportError as error:
            return Verdict(delivery.RETRY, str(error))
        wait = delivery.parse_retry_after(response.retry_after, clock.wall_ms() / 1000)
        verdict = delivery.classify(response.status, wait)
        if verdict.action == delivery.DONE:
            if delivery.is_receipt(response.body):
                self._accept(response, rows, sent_ms)
                return verdict
            verdict = Verdict(
                delivery.RETRY, "the answer is not hostpulse's: check server.urls and any proxy"
            )
        advice = verdict.advice or f"the server answers {response.status}"
        return verdict._replace(advice=f"{url}: {advice}")

    def _accept(self, response: Response, rows: list[Row], sent_ms: float) -> None:
        hands = self._hands
        hands.spool.acknowledge(rows)
        self.tally.sent += len(rows)
        self.tally.last_ack_ms = int(hands.clock.wall_ms())
        if rows:
            self.tally.last_ack_seq = max(row.seq for row in rows)
        try:
            answer = json.loads(response.body)
            server_ms = float(answer["server_time"])
            rejected = [entry for entry in answer.get("rejected", []) if isinstance(entry, dict)]
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # "accepted" made it a receipt, whatever else is missing
        hands.server_clock.observe(server_ms, sent_ms, hands.clock.boot_ms())
        for reason in sorted({str(entry.get("reason"))[:200] for entry in rejected}):
            hands.troubles.begin(f"verdict {reason}", f"the server left out data: {reason}")

    # -- what follows from an answer

    def _act(
        self, verdict: Verdict, rows: list[Row], extra: dict[str, Any], *, fresh: bool
    ) -> None:
        now = self._hands.clock.monotonic()
        if verdict.action == delivery.DONE:
            self._succeed(len(rows), now, extra, fresh=fresh)
            return
        self.tally.failures += 1
        self._was_fresh = False
        if verdict.action in (delivery.SMALLER, delivery.BAD):
            if extra:
                # Facts are the likelier fault, and the samples can do without.
                self._facts_due = now + FACTS_EVERY_S
                log.warning("the server refuses this host's facts: sending samples without")
                return
            if self._narrow(verdict.action, rows, fresh=fresh):
                return
            verdict = Verdict(
                delivery.HOLD,
                "the server refuses every sample: do agent and server fit each other?",
            )
        slow = verdict.action == delivery.HOLD
        self._hands.troubles.begin("delivery", f"{verdict.advice} (samples are kept)")
        self._not_before = now + self._backoff.failed(verdict.retry_after, slow=slow)

    def _succeed(self, count: int, now: float, extra: dict[str, Any], *, fresh: bool) -> None:
        self._backoff.succeeded()
        self._bad_in_a_row = 0
        if extra:
            self._facts_due = now + FACTS_EVERY_S
        if count and not fresh:
            self._size.succeeded(count)
        self._hands.troubles.end("delivery", f"{self.tally.url}: samples are delivered again")

    def _narrow(self, action: str, rows: list[Row], *, fresh: bool) -> bool:
        """Search for the sample at fault and drop it; ``False``: the server refuses them all."""
        if len(rows) > 1:
            (self._size.refused if action == delivery.BAD else self._size.too_large)(len(rows))
            return True
        if self._bad_in_a_row >= GIVE_UP_AFTER:
            return False
        self._bad_in_a_row += 1
        if not fresh:
            self._size.refused(1)
        self._hands.spool.reject(rows[0], "rejected")
        return True

    def _say_farewell(self, reason: str) -> None:
        extra = {"events": [{"kind": "stopping", "reason": reason}]}
        row = self._hands.spool.newest(self._fresh_id)
        rows = [row] if row else []
        clock = self._hands.clock
        stream = row.stream if row else self._hands.spool.stream.id
        packed = [row.packed for row in rows]
        body = wire.envelope(self._header, stream, int(clock.wall_ms()), extra, packed)
        verdict = self._post(self._endpoints.current(clock.monotonic()), body, rows, FAREWELL_S)
        self._hands.spool.release(rows)
        if verdict.action != delivery.DONE:
            log.info(f"the server was not told of the stop: {verdict.advice}")
