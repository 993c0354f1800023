"""The alert engine as a process: opens the parts, holds the lock, minds systemd and signals."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from hostpulse_server import formatting, state
from hostpulse_server.engine.active_silences import ActiveSilences
from hostpulse_server.engine.background import BackgroundTask
from hostpulse_server.engine.heartbeat import SECONDS, Heartbeat
from hostpulse_server.engine.ingest_monitor import IngestMonitor
from hostpulse_server.engine.kept_rules import KeptRules
from hostpulse_server.engine.loop import Engine
from hostpulse_server.engine.rules_reloader import RulesReloader
from hostpulse_server.engine.server_directory import ServerDirectory
from hostpulse_server.journal import open_journal
from hostpulse_server.liveness import BaselineLearner, HostProber, LivenessMonitor
from hostpulse_server.notifications import ChannelWorkers, Dispatcher, fallback
from hostpulse_server.notifications.action_links import ActionLinks
from hostpulse_server.notifications.channels.factory import open_channels
from hostpulse_server.registry import Registry
from hostpulse_server.rules import RuleSet
from hostpulse_server.runtime import signals
from hostpulse_server.runtime.clock import SYSTEM, Clock
from hostpulse_server.runtime.sd_notify import Notifier
from hostpulse_server.runtime.single_instance import only_one

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig

log = logging.getLogger(__name__)


def run(config: ServerConfig) -> None:
    """Evaluate and notify until SIGTERM or SIGINT; SIGHUP reads the rules again.

    Raises AlreadyRunningError when another engine has the data directory, and what opening the
    journal, the state database or the channels raises.
    """
    stop = threading.Event()
    notifier = Notifier()
    rules = _rules(config, SYSTEM)

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
    rules: RulesReloader | None = None,
    ready: Callable[[], None] = lambda: None,
    beat: Callable[[], None] = lambda: None,
    clock: Clock = SYSTEM,
) -> None:
    """Evaluate and notify until ``stop`` is set; ``ready`` is called once, ``beat`` each second.

    Raises as ``run``.
    """
    if rules is None:
        rules = _rules(config, clock)
    with ExitStack() as stack:
        stack.enter_context(only_one(config.data_dir, "alerts", "alert engine"))
        database = state.open_engine(config.state.url)
        stack.callback(database.dispose)
        state.require_current(database)
        journal = stack.enter_context(closing(open_journal(config, clock)))
        directory = ServerDirectory(Registry(database, clock), clock)
        notifiers = ChannelWorkers(config, database, open_channels(config), clock)
        pulse = Heartbeat(
            config.alerts.heartbeat_url,
            lambda: engine.is_healthy and notifiers.is_alive,
            config.alerts.heartbeat_fail_url,
            lambda: fallback.is_stuck(config, database, clock.now_ms()),
        )
        heartbeat = BackgroundTask(pulse.beat, SECONDS, clock)

        def alive() -> None:
            beat()
            heartbeat.turn()

        engine = Engine(
            journal=journal,
            database=database,
            directory=directory,
            rules=rules,
            liveness=LivenessMonitor(
                RuleSet({}),
                clock,
                HostProber(clock),
                _baseline(config, clock),
                ActiveSilences(database, clock),
                zone=formatting.zone(config.site.timezone),
            ),
            ingest=IngestMonitor(config, journal, clock),
            dispatcher=Dispatcher(config, clock, ActionLinks(config, clock), directory.server),
            clock=clock,
            stop=stop,
            wake=notifiers.wake,
            beat=alive,
        )
        notifiers.start()
        stack.callback(notifiers.stop)
        if config.site.untranslated:
            log.warning("%s", config.site.untranslated)
        log.info("alert engine ready")
        ready()
        engine.run()


def _rules(config: ServerConfig, clock: Clock) -> RulesReloader:
    zone = formatting.zone(config.site.timezone)
    return RulesReloader(config.alerts.rules, clock, KeptRules(config.paths.kept_rules), zone=zone)


def _baseline(config: ServerConfig, clock: Clock) -> BaselineLearner | None:
    every_seconds = config.alerts.probe_interval
    return BaselineLearner(HostProber(clock), every_seconds) if every_seconds else None
