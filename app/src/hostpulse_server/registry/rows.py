"""Reads and writes the registry's rows, inside a transaction of the caller."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from hostpulse_server.errors import UnknownKeyError, UnknownServerError
from hostpulse_server.registry.model import Key, Server
from hostpulse_server.registry.plan import SETTINGS, KeyState, RegistryPlan, ServerState
from hostpulse_server.state.models import FactsRow, KeyRow, RegistryRevision, ServerRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.orm import Session

    from hostpulse_server.registry.identity import Role


def bump(session: Session) -> None:
    """Count the registry's revision up: running services take the change over within seconds."""
    session.execute(
        sa.update(RegistryRevision)
        .where(RegistryRevision.id == 1)
        .values(revision=RegistryRevision.revision + 1)
    )


def server_row(session: Session, server_id: str) -> ServerRow:
    """Return the row; raise UnknownServerError."""
    row = session.get(ServerRow, server_id)
    if row is None:
        raise UnknownServerError(f"there is no server {server_id!r}; servers list shows all")
    return row


def settings_of(row: ServerRow) -> dict[str, Any]:
    """Return what an operator may set."""
    return {name: getattr(row, name) for name in SETTINGS}


def stored(session: Session) -> tuple[dict[str, ServerState], list[KeyState]]:
    """Return everything that a plan compares with."""
    servers = {
        row.id: ServerState(row.id, settings_of(row))
        for row in session.scalars(sa.select(ServerRow))
    }
    keys = [
        KeyState(row.number, row.id, row.sha256, row.server_id, row.revoked_ms is None)
        for row in session.scalars(sa.select(KeyRow))
    ]
    return servers, keys


def execute(session: Session, plan: RegistryPlan, now_ms: int) -> None:
    """Write a plan."""
    for step in plan.steps:
        if step.is_new:
            session.add(
                ServerRow(id=step.server_id, disabled=False, created_ms=now_ms, **step.settings)
            )
        elif step.settings:
            row = server_row(session, step.server_id)
            for name, value in step.settings.items():
                setattr(row, name, value)
        session.flush()
        for key_id in step.revoke_keys:
            revoke(session, key_id, now_ms)
        for key_id, sha256 in step.add_keys:
            add_key(session, Key(key_id, "agent", step.server_id, now_ms, None), sha256)
    for server_id in plan.removed:
        session.execute(sa.delete(ServerRow).where(ServerRow.id == server_id))
    if plan.result.changed:
        bump(session)


def add_key(session: Session, key: Key, sha256: str) -> None:
    """Store a key."""
    session.add(
        KeyRow(
            id=key.id,
            sha256=sha256,
            role=key.role,
            server_id=key.server_id,
            created_ms=key.created_ms,
        )
    )
    session.flush()


def revoke(session: Session, key_id: str, now_ms: int) -> None:
    """Revoke a live key, once; raises UnknownKeyError for one that is not there or is revoked.

    A binding made with it is released: the machine it was made for can no longer send with it.
    """
    number = session.scalar(sa.select(KeyRow.number).where(KeyRow.id == key_id))
    if number is None:
        raise UnknownKeyError(f"there is no key {key_id!r}; keys list shows all")
    done = session.execute(
        sa.update(KeyRow)
        .where(KeyRow.number == number, KeyRow.revoked_ms.is_(None))
        .values(revoked_ms=now_ms)
        .returning(KeyRow.number)
    ).first()
    if done is None:
        raise UnknownKeyError(f"key {key_id} is revoked already")
    session.execute(
        sa.update(ServerRow)
        .where(ServerRow.machine_key == number)
        .values(machine=None, machine_key=None)
    )


def key_of(row: KeyRow) -> Key:
    """Return a row as a value, without its hash."""
    return Key(row.id, cast("Role", row.role), row.server_id, row.created_ms, row.revoked_ms)


def live_keys(session: Session, server_id: str) -> list[str]:
    """Return a server's live key ids, the oldest first."""
    statement = (
        sa.select(KeyRow.id)
        .where(KeyRow.server_id == server_id, KeyRow.revoked_ms.is_(None))
        .order_by(KeyRow.number)
    )
    return list(session.scalars(statement))


def servers_of(session: Session, ids: Collection[str] | None = None) -> list[Server]:
    """Return servers with facts and live keys in the order of their ids; default all."""
    servers = sa.select(ServerRow).order_by(ServerRow.id)
    facts = sa.select(FactsRow)
    keys = sa.select(KeyRow.server_id, KeyRow.id).where(KeyRow.revoked_ms.is_(None))
    if ids is not None:
        servers = servers.where(ServerRow.id.in_(ids))
        facts = facts.where(FactsRow.server_id.in_(ids))
        keys = keys.where(KeyRow.server_id.in_(ids))
    said = {row.server_id: row for row in session.scalars(facts)}
    live: defaultdict[str | None, list[str]] = defaultdict(list)
    for server_id, key_id in session.execute(keys.order_by(KeyRow.number)):
        live[server_id].append(key_id)
    return [_server(row, said.get(row.id), live[row.id]) for row in session.scalars(servers)]


def _server(row: ServerRow, said: FactsRow | None, keys: list[str]) -> Server:
    reported: Mapping[str, Any] = {}
    if said is not None:
        reported = {
            "facts": said.facts,
            "agent_version": said.agent_version,
            "clock_offset_ms": said.clock_offset_ms,
            "interval_ms": said.interval_ms,
        }
    return Server(
        id=row.id,
        name=row.name,
        address=row.address,
        labels=row.labels,
        allow_from=tuple(row.allow_from),
        disabled=row.disabled,
        created_ms=row.created_ms,
        conflict_ms=row.conflict_ms,
        keys=tuple(keys),
        **reported,
    )
