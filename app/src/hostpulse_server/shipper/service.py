"""The shipper as a process: opens the parts, holds the lock, minds systemd and signals."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from hostpulse_server.clock import SYSTEM, Clock
from hostpulse_server.journal import Journal
from hostpulse_server.notify import Notifier
from hostpulse_server.shipper.books import Books
from hostpulse_server.shipper.lock import only_one
from hostpulse_server.shipper.loop import Shipper
from hostpulse_server.shipper.upkeep import Upkeep
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig

log = logging.getLogger(__name__)


def run(config: ServerConfig) -> None:
    """Ship until SIGTERM or SIGINT.

    Raises ShipperRunningError when another shipper has the data directory, and what opening the
    journal, the books or the store raises.
    """
    stop = threading.Event()
    notifier = Notifier()

    def stopping(_number: int, _frame: object) -> None:
        notifier.stopping()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopping)
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
        only_one(config.data_dir),
        closing(Books(config.paths.shipper, window_ms)) as books,
        closing(
            Journal.open(
                config.paths.journal,
                max_bytes=config.journal.max_bytes,
                min_free_bytes=config.journal.min_free_bytes,
                clock=clock,
            )
        ) as journal,
        closing(open_store(config)) as store,
    ):
        shipper = Shipper(
            config.shipper,
            journal=journal,
            store=store,
            books=books,
            upkeep=Upkeep(config.retention, store=store, books=books, clock=clock),
            clock=clock,
            stop=stop,
            beat=beat,
        )
        log.info("shipper ready, position %d", books.position(journal.epoch))
        ready()
        shipper.run()
