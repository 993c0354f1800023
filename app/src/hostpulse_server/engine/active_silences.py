"""The silences in force, for liveness: hosts in planned work are no evidence about others."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hostpulse_server.errors import StateUnavailableError
from hostpulse_server.state import reading
from hostpulse_server.state.alert_models import SilenceRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine as Database

    from hostpulse_server.runtime.clock import Clock

LOOK_SECONDS = 2.0


class ActiveSilences:
    """Reads the state database at most every two seconds; while it is away, those before count."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._looked = float("-inf")
        self._matchers: Sequence[Mapping[str, str]] = ()

    def __call__(self) -> Sequence[Mapping[str, str]]:
        """Return the matchers of each silence that is in force now."""
        now = self._clock.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            with suppress(StateUnavailableError):  # the engine's commit reports it
                self._matchers = self._read()
        return self._matchers

    def _read(self) -> Sequence[Mapping[str, str]]:
        now_ms = self._clock.now_ms()
        statement = sa.select(SilenceRow.matchers).where(
            SilenceRow.start_ms <= now_ms, SilenceRow.end_ms > now_ms
        )
        with reading(self._database) as session:
            return session.scalars(statement).all()
