"""`hostpulse-agent run`: runs sampler, spool and sender until a signal."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from hostpulse_agent import keys, log, machine, wire
from hostpulse_agent.clock import Clock, ServerClock
from hostpulse_agent.collectors import agent as agent_catalogue
from hostpulse_agent.collectors.base import Collector, Point
from hostpulse_agent.log import ProblemLog
from hostpulse_agent.sampler import AgentUsage, Sampler, Sources, resident_bytes
from hostpulse_agent.schedule import Schedule
from hostpulse_agent.sd_notify import Notifier
from hostpulse_agent.sender import Dependencies, Sender
from hostpulse_agent.spool import Spool
from hostpulse_agent.status import StatusFile, path_beside
from hostpulse_agent.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostpulse_agent.config import AgentConfig

SENDER_STACK = 512 << 10


class StopSignal:
    """Set by SIGTERM or SIGINT, or by ``set``; ``wait`` sleeps without polling."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.is_set = False

    def install(self) -> None:
        """Catch the signals; only the main thread may."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.set())

    def set(self) -> None:
        """Request the stop. Safe in a signal handler: takes no lock."""
        self.is_set = True
        os.write(self._write, b"\0")

    def wait(self, seconds: float) -> bool:
        """Sleep up to ``seconds``; return whether the stop was requested."""
        if not self.is_set:
            select.select([self._read], [], [], seconds)
        return self.is_set

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)


class AgentCollector(Collector):
    """Collector of the measurement ``agent``: the agent's own figures."""

    catalogue = agent_catalogue.CATALOGUE

    def __init__(self, fields: Callable[[], dict[str, float]]) -> None:
        self._fields = fields

    def collect(self, now: float) -> list[Point]:  # noqa: ARG002 -- the base's signature
        """Return the one point."""
        return [Point("agent", {}, self._fields())]


class Agent:
    """A running agent. ``run`` returns when ``stop`` is set."""

    def __init__(
        self,
        config: AgentConfig,
        sources: Sources,
        environ: Mapping[str, str],
        clock: Clock | None = None,
    ) -> None:
        self._config = config
        self._sources = sources
        self._clock = clock = clock or Clock()
        self._names: dict[str, list[str]] = {}  # of the newest sample; replaced, never changed
        self._problems = ProblemLog()
        self._notifier = Notifier(environ)
        boot_id = machine.boot_id()
        self.spool = Spool(config.spool, self._problems, clock=clock, boot_id=boot_id)
        known = self.spool.notes.get("clock") or {}
        same_boot = boot_id and known.get("boot_id") == boot_id
        self._boot_id = boot_id
        self._server_clock = ServerClock(clock, known.get("offset") if same_boot else None)
        self.sampler = Sampler(
            [*sources.collectors, AgentCollector(self._own_fields)],
            config.sampling.interval,
            self._problems,
            clock.monotonic,
        )
        key_path = keys.locate(config.server.key_file, config.sibling_path(""), environ)
        deps = Dependencies(
            spool=self.spool,
            transport=Transport(config.server.ca_file, config.server.proxy_url),
            clock=clock,
            server_clock=self._server_clock,
            problems=self._problems,
            read_key=lambda: keys.read(key_path),
            facts=sources.facts,
            names=lambda: self._names,
        )
        header = wire.Header(config.server_id, boot_id, machine.machine_hash())
        self.sender = Sender(header, config.server, deps)
        self._status = StatusFile(path_beside(config.spool.path))
        self._usage = AgentUsage(sources.pids, clock.monotonic)
        self._missed = 0
        self._dropped = self.spool.dropped_total
        self._cycle_ms: float | None = None
        self._last_sample: dict[str, int] | None = None

    def run(self, stop: StopSignal) -> None:
        """Sample in phase until ``stop`` is set, then send the ``stopping`` event and close."""
        directory = os.path.dirname(os.path.abspath(self._config.spool.path))
        _forget_marker(directory)
        before = threading.stack_size(SENDER_STACK)
        self.sender.start()
        threading.stack_size(before)
        try:
            self._loop(stop)
        finally:
            self._notifier.send("STOPPING=1")
            self.sender.stop(machine.stop_reason(directory))
            self._save_status(None)
            self.spool.close()
            self._status.close()
            self._sources.close()
            self._notifier.close()

    def _loop(self, stop: StopSignal) -> None:
        clock, interval = self._clock, self._config.sampling.interval
        self.sampler.prime()
        schedule = Schedule.in_phase(
            self._config.server_id, interval, clock.wall_ms() / 1000, clock.monotonic()
        )
        log.info(f"sampling every {interval:g} s as {self._config.server_id}")
        self._notifier.send("READY=1", f"STATUS=sampling every {interval:g} s")
        # Only this loop feeds systemd's watchdog, so a loop that hangs is restarted.
        pet_every = (self._notifier.watchdog_s or 2 * 3600.0) / 2
        while not stop.wait(min(schedule.wait(clock.monotonic()), pet_every)):
            tick = schedule.take(clock.monotonic())
            if tick is not None:
                self._missed += tick.missed
                self.tick()
            if self._notifier.watchdog_s:
                self._notifier.send("WATCHDOG=1")

    def tick(self) -> None:
        """Take one sample, spool it, wake the sender."""
        began = self._clock.monotonic()
        stamp_ms = self._server_clock.stamp_ms()
        reading = wire.Reading(
            mono_ms=int(began * 1000),
            interval_ms=int(self._config.sampling.interval * 1000),
            points=self.sampler.collect(),
            processes=self._sources.top(),
        )
        self._names = self.sampler.names()
        offset = self._server_clock.server_minus_boot_ms
        self.spool.notes["clock"] = {"boot_id": self._boot_id, "offset": offset}
        sample_id = self.spool.append(stamp_ms, lambda at: wire.encode(wire.sample(at, reading)))
        self.sender.wake()
        self._cycle_ms = (self._clock.monotonic() - began) * 1000
        self._save_status({"time": sample_id.time_ms, "seq": sample_id.seq})

    def _own_fields(self) -> dict[str, float]:
        waiting, stats = self.spool.stats(), self.sender.stats
        dropped_before, self._dropped = self._dropped, self.spool.dropped_total
        oldest_ms = waiting.oldest_ms
        age = 0.0 if oldest_ms is None else (self._server_clock.stamp_ms() - oldest_ms) / 1000
        fields: dict[str, float | None] = {
            "cycle_ms": self._cycle_ms,
            "cpu_percent": self._usage.cpu_percent(),
            "rss_bytes": resident_bytes(),
            "spool_samples": waiting.samples,
            "spool_oldest_seconds": max(0.0, age),
            "sent_samples": stats.sent,
            "send_failures": stats.failures,
            "dropped_samples": self._dropped,
            "newly_dropped_samples": self._dropped - dropped_before,
            "collector_errors": self.sampler.errors,
            "clock_offset_ms": self._server_clock.offset_ms(),
            "missed_ticks": self._missed,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _save_status(self, sample: dict[str, int] | None) -> None:
        stats = self.sender.stats
        if sample is not None:
            self._last_sample = sample
        self._status.write(
            {
                "pid": os.getpid() if sample else None,
                "sample": self._last_sample,
                "acknowledged": {"at": stats.last_ack_ms, "seq": stats.last_ack_seq},
                "url": stats.url,
                "interval_ms": int(self._config.sampling.interval * 1000),
                "clock_offset_ms": self._server_clock.offset_ms(),
                "missed_ticks": self._missed,
                # the key that `status` of every release reads
                "troubles": sorted(self._problems.open.values())[:8],
            }
        )


def _forget_marker(directory: str) -> None:
    """Delete the marker of a cancelled removal, so that the next stop is not reported as one."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(directory, machine.REMOVE_MARKER))
