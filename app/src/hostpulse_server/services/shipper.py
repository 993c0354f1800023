"""The shipper as a process: opens the parts, holds the lock, minds systemd and signals."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from hostpulse_server.journal import open_journal
from hostpulse_server.registry import Registry
from hostpulse_server.runtime import signals
from hostpulse_server.runtime.clock import SYSTEM, Clock
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.runtime.sd_notify import Notifier
from hostpulse_server.runtime.single_instance import only_one
from hostpulse_server.self_metrics.sampling import SelfMetrics
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.loop import Shipper
from hostpulse_server.shipper.maintenance import Maintenance
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.state import open_engine
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostpulse_server.config import ServerConfig

log = logging.getLogger(__name__)


def run(config: ServerConfig) -> None:
    """Ship until SIGTERM or SIGINT.

    Raises AlreadyRunningError when another shipper has the data directory, and what opening the
    journal, the shipper's state or the store raises.
    """
    stop = threading.Event()
    notifier = Notifier()

    def stopping() -> None:
        notifier.stopping()
        stop.set()

    signals.listen({signal.SIGTERM: stopping, signal.SIGINT: stopping})
    ship(config, stop, ready=notifier.ready, beat=notifier.alive)
    log.info("shipper stopped")


def ship(
    config: ServerConfig,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    beat: Callable[[], None] = lambda: None,
    clock: Clock = SYSTEM,
) -> None:
    """Ship until ``stop`` is set; ``ready`` is called once, ``beat`` at least every other second.

    Raises as ``run``.
    """
    window_ms = int(config.retention.rollup_window * 1000)
    with (
        only_one(config.data_dir, "shipper", "shipper"),
        closing(ShipperState(config.paths.shipper, window_ms)) as shipper_state,
        closing(open_journal(config, clock)) as journal,
        closing(open_store(config)) as store,
        _registry(config, clock) as registry,
    ):
        expiry = ExpiryGuard(clock)
        measures = SelfMetrics(
            config,
            journal=journal,
            registry=registry,
            seen=LastSeenReader(config.paths.shipper, clock=clock),
            shipper_state=shipper_state,
            clock=clock,
            expiry=expiry,
        )

        def alive() -> None:
            beat()
            measures.turn()

        shipper = Shipper(
            config.shipper,
            journal=journal,
            store=store,
            shipper_state=shipper_state,
            upkeep=Maintenance(
                config.retention,
                store=store,
                shipper_state=shipper_state,
                clock=clock,
                expiry=expiry,
            ),
            clock=clock,
            stop=stop,
            beat=alive,
            expiry=expiry,
        )
        log.info("shipper ready, position %d", shipper_state.position(journal.epoch))
        ready()
        shipper.run()


@contextmanager
def _registry(config: ServerConfig, clock: Clock) -> Iterator[Registry]:
    """Yield the registry, which connects only when it is asked: shipping does not need it."""
    engine = open_engine(config.state.url)
    try:
        yield Registry(engine, clock)
    finally:
        engine.dispose()
