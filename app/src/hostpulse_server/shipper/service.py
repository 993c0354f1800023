"""The shipper as a process: opens the parts, holds the lock, minds systemd and signals."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from hostpulse_server import signals
from hostpulse_server.clock import SYSTEM, Clock
from hostpulse_server.journal import open_journal
from hostpulse_server.lock import only_one
from hostpulse_server.notify import Notifier
from hostpulse_server.registry import Registry
from hostpulse_server.shipper.books import Books
from hostpulse_server.shipper.loop import Shipper
from hostpulse_server.shipper.measures import Measures
from hostpulse_server.shipper.seen import SeenReader
from hostpulse_server.shipper.upkeep import Upkeep
from hostpulse_server.state import open_engine
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostpulse_server.config import ServerConfig

log = logging.getLogger(__name__)


def run(config: ServerConfig) -> None:
    """Ship until SIGTERM or SIGINT.

    Raises AlreadyRunningError when another shipper has the data directory, and what opening the
    journal, the books or the store raises.
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
        closing(Books(config.paths.shipper, window_ms)) as books,
        closing(open_journal(config, clock)) as journal,
        closing(open_store(config)) as store,
        _registry(config, clock) as registry,
    ):
        measures = Measures(
            config,
            journal=journal,
            registry=registry,
            seen=SeenReader(config.paths.shipper, clock=clock),
            books=books,
            clock=clock,
        )

        def alive() -> None:
            beat()
            measures.turn()

        shipper = Shipper(
            config.shipper,
            journal=journal,
            store=store,
            books=books,
            upkeep=Upkeep(config.retention, store=store, books=books, clock=clock),
            clock=clock,
            stop=stop,
            beat=alive,
        )
        log.info("shipper ready, position %d", books.position(journal.epoch))
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
