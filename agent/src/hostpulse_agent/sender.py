"""The sender: a thread that delivers samples to the server, the newest first, with retries."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent import log, retry_policy, wire
from hostpulse_agent.clock import CORRECT_ABOVE_MS, server_time_ms
from hostpulse_agent.errors import SecretError, TransportError
from hostpulse_agent.retry_policy import Backoff, BatchSize, Endpoints, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_agent.clock import Clock, ServerClock
    from hostpulse_agent.config import ServerConfig
    from hostpulse_agent.log import ProblemLog
    from hostpulse_agent.spool import Spool
    from hostpulse_agent.spool_db import Row
    from hostpulse_agent.transport import Response, Transport

FACTS_EVERY_S = 3600.0
MAX_PACKED = 700 << 10  # of samples in a batch, each packed alone: an upper bound of the body
MAX_RAW = 6 << 20
GIVE_UP_AFTER = 3  # samples dropped as bad in a row before the server itself is suspected
STOPPING_TIMEOUT_S = 3.0


class Dependencies(NamedTuple):
    """Dependencies of the sender, created by the service."""

    spool: Spool
    transport: Transport
    clock: Clock
    server_clock: ServerClock
    problems: ProblemLog
    read_key: Callable[[], str]
    facts: Callable[[], dict[str, Any]]
    names: Callable[[], dict[str, list[str]]] = dict


class SenderStats:
    """Counters of the sender, cumulative since the start; read by other threads."""

    def __init__(self) -> None:
        self.sent = 0
        self.failures = 0
        self.last_ack_ms: int | None = None  # host's wall clock
        self.last_ack_seq: int | None = None
        self.url = ""


class Sender:
    """Sends until ``stop``. ``step`` is one decision and at most one round of requests."""

    def __init__(self, header: wire.Header, server: ServerConfig, deps: Dependencies) -> None:
        self._header = header
        self._timeout = server.timeout
        self._deps = deps
        self._endpoints = Endpoints(server.urls)
        self._backoff = Backoff()
        self._size = BatchSize()
        self.stats = SenderStats()
        self._fresh_id = 0  # the last sample that was sent as the newest
        self._was_fresh = False
        self._not_before = 0.0
        self._facts_due = 0.0
        self._names: dict[str, list[str]] = {}  # that the server has, or refused
        self._bad_in_a_row = 0
        self._wake = threading.Condition()
        self._work = False
        self._stop_reason: str | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    # -- other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Wake the thread, because a sample was spooled."""
        with self._wake:
            self._work = True
            self._wake.notify()

    def stop(self, reason: str, deadline_s: float = STOPPING_TIMEOUT_S + 2.0) -> None:
        """Send a ``stopping`` event, best effort, and end the thread."""
        with self._wake:
            self._stop_reason = reason
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    # -- the thread

    def _run(self) -> None:
        try:
            while self._stop_reason is None:
                self._pause(self._guarded_step())
            self._send_stopping(self._stop_reason)
        finally:
            self._deps.transport.close()

    def _guarded_step(self) -> float | None:
        try:
            return self.step()
        except Exception as error:  # noqa: BLE001 -- the thread must survive any error of a step
            self._deps.problems.begin("sender", f"sending failed: {error!r}; trying on")
            return retry_policy.CAP_S

    def _pause(self, seconds: float | None) -> None:
        """Wait for work (``None``), or ``seconds`` during which new work changes nothing."""
        with self._wake:
            if self._stop_reason is not None:
                return
            if seconds is None:
                self._wake.wait_for(lambda: self._work or self._stop_reason is not None)
            elif seconds > 0:
                self._wake.wait_for(lambda: self._stop_reason is not None, seconds)

    def step(self) -> float | None:
        """Send one batch if it is time; return the seconds to wait, ``None``: until new work."""
        now = self._deps.clock.monotonic()
        if now < self._not_before:
            return self._not_before - now
        with self._wake:
            self._work = False
        extra = self._facts(now)
        rows, fresh = self._choose(facts_only=bool(extra) and not self.stats.url)
        if not rows and not extra:
            return None
        extra.update(self._changed_names(is_asked="facts" in extra))
        self._was_fresh = fresh
        if rows:
            self._fresh_id = max(self._fresh_id, rows[-1].id)
        try:
            outcome = self._deliver(rows, extra)
            self._handle(outcome, rows, extra, fresh=fresh)
        finally:
            self._deps.spool.release(rows)  # those not acknowledged or rejected
        return max(0.0, self._not_before - self._deps.clock.monotonic())

    def _choose(self, *, facts_only: bool) -> tuple[list[Row], bool]:
        """Take the newest sample if it was not sent yet, else some of the oldest.

        ``facts_only``: the first request has facts and no samples, because its response gives the
        server's clock.
        """
        if facts_only:
            return [], False
        spool = self._deps.spool
        # Alternate, so that a steady flow of new samples does not starve the backlog.
        row = None if self._was_fresh and len(spool) > 1 else spool.newest(self._fresh_id)
        if row is not None:
            return [row], True
        return spool.oldest(self._size.limit, MAX_PACKED, MAX_RAW), False

    def _facts(self, now: float) -> dict[str, Any]:
        if now < self._facts_due:
            return {}
        try:
            facts = self._deps.facts()
        except Exception as error:  # noqa: BLE001 -- a host that hides a fact still sends samples
            self._deps.problems.begin("facts", f"the host's facts cannot be collected: {error!r}")
            facts = {}
        return {"facts": facts}

    def _changed_names(self, *, is_asked: bool) -> dict[str, Any]:
        """Return the names of what ails where the server has others, or with facts."""
        names = self._deps.names()
        return {"ext": {"names": names}} if names and (is_asked or names != self._names) else {}

    def _deliver(self, rows: list[Row], extra: dict[str, Any]) -> Outcome:
        """Post to the URLs in order until one gives a conclusive response."""
        clock, outcome = self._deps.clock, Outcome(retry_policy.RETRY)
        stream = rows[0].stream if rows else self._deps.spool.stream.id
        packed = [row.packed for row in rows]
        body = wire.envelope(self._header, stream, int(clock.wall_ms()), extra, packed)
        while self._stop_reason is None:
            url = self._endpoints.current(clock.monotonic())
            outcome = self._post(url, body, rows)
            if outcome.action != retry_policy.RETRY:
                self._endpoints.succeeded()
                self.stats.url = url
                return outcome
            if not self._endpoints.failed(clock.monotonic()):
                return outcome
        return outcome

    def _post(self, url: str, body: bytes, rows: list[Row], timeout: float = 0.0) -> Outcome:
        clock = self._deps.clock
        sent_ms = clock.boot_ms()
        try:
            key = self._deps.read_key()
            response = self._deps.transport.post(url, key, body, timeout or self._timeout)
        except SecretError as error:
            return Outcome(retry_policy.HOLD, str(error))
        except TransportError as error:
            return Outcome(retry_policy.RETRY, str(error))
        wait = retry_policy.parse_retry_after(response.retry_after, clock.wall_ms() / 1000)
        outcome = retry_policy.classify(response.status, wait)
        if outcome.action == retry_policy.DONE:
            if retry_policy.is_receipt(response.body):
                return self._accept(response, rows, sent_ms)
            outcome = Outcome(
                retry_policy.RETRY, "the answer is not hostpulse's: check server.urls and any proxy"
            )
        advice = outcome.advice or f"the server answers {response.status}"
        return outcome._replace(advice=f"{url}: {advice}")

    def _accept(self, response: Response, rows: list[Row], sent_ms: float) -> Outcome:
        """Acknowledge ``rows`` as the server's receipt says."""
        deps = self._deps
        rejected: list[dict[str, Any]] = []
        try:
            answer = json.loads(response.body)
            rejected = [entry for entry in answer.get("rejected", []) if isinstance(entry, dict)]
            server_ms = server_time_ms(answer)
        except (ValueError, TypeError, AttributeError):
            pass  # "accepted" made it a receipt, even if the rest is missing
        else:
            deps.server_clock.observe(server_ms, sent_ms, deps.clock.boot_ms())
        held = self._held(rows, rejected)
        done = [row for row in rows if row.seq not in held]
        deps.spool.acknowledge(done)
        self.stats.sent += len(done)
        self.stats.last_ack_ms = int(deps.clock.wall_ms())
        if done:
            self.stats.last_ack_seq = max(row.seq for row in done)
        for reason in sorted({str(entry.get("reason"))[:200] for entry in rejected}):
            deps.problems.begin(f"rejected {reason}", f"the server left out data: {reason}")
        if held and not done:
            return Outcome(
                retry_policy.HOLD,
                "the server's clock is wrong, so it refuses samples; this host's is synchronised: "
                "correct the server's (timedatectl)",
            )
        return Outcome(retry_policy.DONE)

    def _held(self, rows: list[Row], rejected: list[dict[str, Any]]) -> set[int]:
        """Return the numbers that the server refuses only because its clock is wrong.

        They are sent again; age and size of the spool bound them as all others.
        """
        refused = {
            entry.get("seq")
            for entry in rejected
            if entry.get("reason") == "clock" and "point" not in entry
        }
        if not refused or not self._deps.server_clock.is_wrong():
            return set()
        latest_ms = self._deps.clock.wall_ms() + CORRECT_ABOVE_MS
        return {row.seq for row in rows if row.seq in refused and row.time_ms <= latest_ms}

    # -- handling of an outcome

    def _handle(
        self, outcome: Outcome, rows: list[Row], extra: dict[str, Any], *, fresh: bool
    ) -> None:
        now = self._deps.clock.monotonic()
        if outcome.action == retry_policy.DONE:
            self._succeed(len(rows), now, extra, fresh=fresh)
            return
        self.stats.failures += 1
        self._was_fresh = False
        if outcome.action in (retry_policy.SMALLER, retry_policy.BAD):
            if extra:
                # Facts are the likelier cause, and samples can be sent without them.
                self._has_sent(extra, now)
                log.warning("the server refuses this host's facts or names: samples go without")
                return
            if self._isolate_bad_sample(outcome.action, rows, fresh=fresh):
                return
            outcome = Outcome(
                retry_policy.HOLD,
                "the server refuses every sample: do agent and server fit each other?",
            )
        slow = outcome.action == retry_policy.HOLD
        self._deps.problems.begin("delivery", f"{outcome.advice} (samples are kept)")
        self._not_before = now + self._backoff.failed(outcome.retry_after, slow=slow)

    def _succeed(self, count: int, now: float, extra: dict[str, Any], *, fresh: bool) -> None:
        self._backoff.succeeded()
        self._bad_in_a_row = 0
        self._has_sent(extra, now)
        if count and not fresh:
            self._size.succeeded(count)
        self._deps.problems.end("delivery", f"{self.stats.url}: samples are delivered again")

    def _has_sent(self, extra: dict[str, Any], now: float) -> None:
        if "facts" in extra:
            self._facts_due = now + FACTS_EVERY_S
        if "ext" in extra:
            self._names = extra["ext"]["names"]

    def _isolate_bad_sample(self, action: str, rows: list[Row], *, fresh: bool) -> bool:
        """Search for the bad sample and drop it; ``False``: the server refuses all samples."""
        if len(rows) > 1:
            (self._size.refused if action == retry_policy.BAD else self._size.too_large)(len(rows))
            return True
        if self._bad_in_a_row >= GIVE_UP_AFTER:
            return False
        self._bad_in_a_row += 1
        if not fresh:
            self._size.refused(1)
        self._deps.spool.reject(rows[0], "rejected")
        return True

    def _send_stopping(self, reason: str) -> None:
        extra = {"events": [{"kind": "stopping", "reason": reason}]}
        row = self._deps.spool.newest(self._fresh_id)
        rows = [row] if row else []
        clock = self._deps.clock
        stream = row.stream if row else self._deps.spool.stream.id
        packed = [row.packed for row in rows]
        body = wire.envelope(self._header, stream, int(clock.wall_ms()), extra, packed)
        outcome = self._post(
            self._endpoints.current(clock.monotonic()), body, rows, STOPPING_TIMEOUT_S
        )
        self._deps.spool.release(rows)
        if outcome.action != retry_policy.DONE:
            log.info(f"the server was not notified of the stop: {outcome.advice}")
