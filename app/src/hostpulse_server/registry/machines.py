"""Binds a server id to one machine, and keeps the facts that its agent sends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hostpulse_server.errors import (
    AuthenticationError,
    MachineConflictError,
    StateUnavailableError,
)
from hostpulse_server.registry.rows import bump
from hostpulse_server.state import reading, writing
from hostpulse_server.state.models import FactsRow, KeyRow, ServerRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from hostpulse_server.registry.snapshot import Snapshot
    from hostpulse_server.runtime.clock import Clock

log = logging.getLogger(__name__)

# A conflicting machine tries every few seconds; its mark is written this often at most.
_MARK_EVERY_MS: Final = 30_000
# A clock offset wobbles with the network; only a change that an operator would act on is written.
_OFFSET_STEP_MS: Final = 500


def bind(
    engine: Engine, clock: Clock, snapshot: Snapshot, server_id: str, machine: str, key_id: str
) -> None:
    """Bind ``server_id`` to ``machine`` unless it is.

    The first machine that sends gets the id. Another gets it only with a key made later than the
    one the binding was made with: that is a rebuilt host. Everything else raises
    MachineConflictError and marks the server, as two machines would then share one history.
    Bound servers cost a look-up in ``snapshot``, no transaction.
    """
    server, key = snapshot.servers.get(server_id), snapshot.keys.get(key_id)
    if server and key and server.machine == machine and (server.machine_key or 0) >= key.number:
        return
    conflict = False
    with writing(engine) as session:
        number = session.scalar(
            sa.select(KeyRow.number).where(KeyRow.id == key_id, KeyRow.revoked_ms.is_(None))
        )
        row = session.get(ServerRow, server_id)
        if row is None or number is None:
            raise AuthenticationError("the key is not known here, or was revoked")
        newer = row.machine_key is None or number > row.machine_key
        if row.machine is None or newer:
            row.machine, row.machine_key, row.conflict_ms = machine, number, None
            bump(session)
            return
        conflict = row.machine != machine
        if conflict and clock.now_ms() - (row.conflict_ms or 0) >= _MARK_EVERY_MS:
            row.conflict_ms = clock.now_ms()
    if conflict:
        raise MachineConflictError(
            f"server id {server_id} is bound to another machine; if this host replaces that one, "
            f"make it a new key (run site.yml, or: hostpulse-server keys rotate {server_id}), "
            "else give it an id of its own"
        )


def mark_conflicts(session: Session, server_ids: Collection[str], now_ms: int) -> None:
    """Mark servers as which two machines report that no machine id tells apart: clones."""
    if server_ids:
        session.execute(
            sa.update(ServerRow)
            .where(
                ServerRow.id.in_(sorted(server_ids)),
                sa.or_(
                    ServerRow.conflict_ms.is_(None),
                    sa.func.abs(now_ms - ServerRow.conflict_ms) >= _MARK_EVERY_MS,
                ),
            )
            .values(conflict_ms=now_ms)
            .execution_options(synchronize_session=False)
        )


class FactsRecorder:
    """Writes the facts that agents send, only when they differ from what is stored.

    Safe for threads: the worst a race does is to write the same row twice.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._known: dict[str, dict[str, Any]] = {}
        self._revision = 0

    def record(self, revision: int, server_id: str, said: Mapping[str, Any]) -> None:
        """Keep ``said`` (columns of FactsRow; ``None`` means not said).

        Best effort: a state database that does not answer must not cost samples, and agents send
        all of it again within the hour. ``revision`` is the snapshot's: after a change to the
        registry the row may be gone.
        """
        if revision != self._revision:
            self._known, self._revision = {}, revision
        try:
            known = self._known.get(server_id)
            if known is None:
                known = self._known[server_id] = self._stored(server_id)
            changed = {name: value for name, value in said.items() if _differs(name, value, known)}
            if changed:
                self._write(server_id, changed)
                self._known[server_id] = {**known, **changed}
        except (StateUnavailableError, sa.exc.IntegrityError) as error:
            self._known.pop(server_id, None)
            log.warning("facts of server %s were not kept: %s", server_id, error)

    def _stored(self, server_id: str) -> dict[str, Any]:
        with reading(self._engine) as session:
            row = session.get(FactsRow, server_id)
            if row is None:
                return {}
            return {
                "facts": row.facts,
                "agent_version": row.agent_version,
                "clock_offset_ms": row.clock_offset_ms,
                "interval_ms": row.interval_ms,
            }

    def _write(self, server_id: str, changed: Mapping[str, Any]) -> None:
        with writing(self._engine) as session:
            row = session.get(FactsRow, server_id)
            if row is None:
                if session.get(ServerRow, server_id) is None:
                    return  # removed while its last sample was on the way
                row = FactsRow(server_id=server_id, facts={})
                session.add(row)
            for name, value in changed.items():
                setattr(row, name, value)
            row.updated_ms = self._clock.now_ms()


def _differs(name: str, value: Any, known: Mapping[str, Any]) -> bool:
    if value is None:
        return False
    before = known.get(name)
    if name == "clock_offset_ms" and before is not None:
        return abs(int(value) - int(before)) >= _OFFSET_STEP_MS
    return bool(value != before)
