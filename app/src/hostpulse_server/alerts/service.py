"""The alert engine as a process: opens the parts, holds the lock, minds systemd and signals."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from hostpulse_server import signals, state
from hostpulse_server.alerts.dispatch import Dispatcher, Notifiers
from hostpulse_server.alerts.engine.errands import Errand
from hostpulse_server.alerts.engine.heartbeat import SECONDS, Heartbeat
from hostpulse_server.alerts.engine.ingest_watch import IngestWatch
from hostpulse_server.alerts.engine.loop import Engine
from hostpulse_server.alerts.engine.roster import Roster
from hostpulse_server.alerts.engine.rules_watch import RulesWatch
from hostpulse_server.alerts.links import Links
from hostpulse_server.alerts.liveness import HostProber, Liveness
from hostpulse_server.alerts.rules import RuleSet
from hostpulse_server.channels.factory import open_channels
from hostpulse_server.clock import SYSTEM, Clock
from hostpulse_server.journal import open_journal
from hostpulse_server.lock import only_one
from hostpulse_server.notify import Notifier
from hostpulse_server.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig

log = logging.getLogger(__name__)


def run(config: ServerConfig) -> None:
    """Evaluate and tell until SIGTERM or SIGINT; SIGHUP reads the rules again.

    Raises AlreadyRunningError when another engine has the data directory, and what opening the
    journal, the state database or the channels raises.
    """
    stop = threading.Event()
    notifier = Notifier()
    rules = RulesWatch(config.alerts.rules, SYSTEM)

    def stopping() -> None:
        notifier.stopping()
        stop.set()

    signals.listen({signal.SIGTERM: stopping, signal.SIGINT: stopping, signal.SIGHUP: rules.ask})
    alert(config, stop, rules=rules, ready=notifier.ready, beat=notifier.alive)
    log.info("alert engine stopped")


def alert(
    config: ServerConfig,
    stop: threading.Event,
    *,
    rules: RulesWatch | None = None,
    ready: Callable[[], None] = lambda: None,
    beat: Callable[[], None] = lambda: None,
    clock: Clock = SYSTEM,
) -> None:
    """Evaluate and tell until ``stop`` is set; ``ready`` is called once, ``beat`` each second.

    Raises as ``run``.
    """
    rules = rules or RulesWatch(config.alerts.rules, clock)
    with ExitStack() as stack:
        stack.enter_context(only_one(config.data_dir, "alerts", "alert engine"))
        database = state.open_engine(config.state.url)
        stack.callback(database.dispose)
        state.require_current(database)
        journal = stack.enter_context(closing(open_journal(config, clock)))
        roster = Roster(Registry(database, clock), clock)
        notifiers = Notifiers(config, database, open_channels(config), clock)
        pulse = Heartbeat(
            config.alerts.heartbeat_url, lambda: engine.is_well and notifiers.is_alive
        )
        heartbeat = Errand(pulse.beat, SECONDS, clock)

        def alive() -> None:
            beat()
            heartbeat.turn()

        engine = Engine(
            journal=journal,
            database=database,
            roster=roster,
            rules=rules,
            liveness=Liveness(RuleSet({}), clock, HostProber(clock)),
            ingest=IngestWatch(config, journal, clock),
            dispatcher=Dispatcher(config, clock, Links(config, clock), roster.server),
            clock=clock,
            stop=stop,
            wake=notifiers.wake,
            beat=alive,
        )
        notifiers.start()
        stack.callback(notifiers.stop)
        log.info("alert engine ready")
        ready()
        engine.run()
