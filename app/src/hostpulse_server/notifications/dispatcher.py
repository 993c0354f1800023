"""Lets the planner decide from rows and writes what it decides, within the engine's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.notifications import carried_acks, outbox, owed, repository
from hostpulse_server.notifications.composer import AlertViews
from hostpulse_server.notifications.giving_up import notice
from hostpulse_server.notifications.grouping import settings_of
from hostpulse_server.notifications.plan_writer import PlanWriter
from hostpulse_server.notifications.planner.plan import plan
from hostpulse_server.notifications.suppressions import SuppressionHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.action_links import ActionLinks
    from hostpulse_server.registry import Server
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.state.alert_models import AlertRow

# Rows are read this often even if nothing seems to have changed: a new verdict or label of an
# alert leaves no event.
LOOK_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class DispatchTurn:
    """What a turn came to: when something is due next, and whether there are new messages."""

    next_ms: int | None
    has_queued: bool


@dataclass(frozen=True, slots=True)
class _Rest:
    """Nothing is to do between two times unless the stamp becomes another."""

    stamp: tuple[Any, ...]
    from_ms: int
    until_ms: int


class Dispatcher:
    """Decides who is notified, by nothing but the state database."""

    def __init__(
        self,
        config: ServerConfig,
        clock: Clock,
        links: ActionLinks,
        servers: Callable[[str], Server | None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._links = links
        self._servers = servers
        self._settings = settings_of(config)
        self._rest: _Rest | None = None
        self._suppressions = SuppressionHistory(config)

    def turn(
        self,
        session: Session,
        now_ms: int,
        refresh: Callable[[Iterable[AlertRow]], None] = lambda _rows: None,
    ) -> DispatchTurn:
        """Queue what is due, in the session of the caller.

        ``refresh`` gives rows that go into a message the values of now.
        """
        stamp = repository.stamp(session, now_ms)
        rest = self._rest
        if rest and rest.stamp == stamp and rest.from_ms <= now_ms < rest.until_ms:
            return DispatchTurn(rest.until_ms, has_queued=False)
        settings = self._settings
        carried_acks.carry_over(session, now_ms)
        planner_input = repository.load(session, settings, now_ms)
        found = plan(planner_input, settings)
        until_ms = min(found.next_ms or now_ms + LOOK_MS, now_ms + LOOK_MS)
        is_noted = self._suppressions.note(session, found.suppressed, now_ms)
        if found.is_empty and is_noted:
            self._rest = None  # as below
            return DispatchTurn(found.next_ms, has_queued=False)
        if found.is_empty:
            self._rest = _Rest(stamp, now_ms, until_ms)
            return DispatchTurn(found.next_ms, has_queued=False)
        self._rest = None  # the transaction may yet fail, and all is to be planned anew
        views = AlertViews(session, self._config, self._servers, now_ms, refresh)
        PlanWriter(session, self._config, self._links, views, now_ms).write(found)
        return DispatchTurn(now_ms, has_queued=bool(found.messages))

    def owe(self, session: Session, rows: Sequence[AlertRow], now_ms: int) -> None:
        """Note alerts that were over before anybody heard of them: each channel is to, once."""
        owed.note(session, self._settings, rows, now_ms)

    def notice(self, session: Session, text: str, now_ms: int, but: str = "") -> None:
        """Queue a text about hostpulse itself for every channel except ``but``."""
        for channel in self._config.channels:
            if channel != but:
                outbox.add(session, notice(self._config, channel, text, now_ms))
