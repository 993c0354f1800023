"""The registry: which servers may report, and which keys may do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hostpulse_server.errors import RegistryError, UnknownKeyError
from hostpulse_server.registry import machines, refusal_attribution, rows
from hostpulse_server.registry.keys import NewKey, make_key
from hostpulse_server.registry.model import ApplyResult, Key, Server
from hostpulse_server.registry.plan import make_plan
from hostpulse_server.registry.schemas import (
    MAX_LIVE_KEYS,
    load_item,
    load_items,
    load_patch,
)
from hostpulse_server.registry.snapshot import SnapshotCache, revision_of
from hostpulse_server.runtime.clock import SYSTEM, Clock
from hostpulse_server.state import ping, reading, writing
from hostpulse_server.state.models import KeyRow, ServerRow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from hostpulse_server.registry.identity import Identity, Role
    from hostpulse_server.registry.refusal_attribution import Trace


@dataclass(frozen=True, slots=True)
class Added:
    """A server just added, and its first key unless the operator gave the hashes of keys."""

    server: Server
    key: NewKey | None


class Registry:
    """Servers and keys in the state database, with an in-memory snapshot for authentication.

    Safe for threads. Make one in each process, after a fork. Every method raises
    StateUnavailableError when the state database does not answer, except ``authenticate``,
    ``resolve`` and ``record_facts``, which go on with what they know.
    """

    def __init__(self, engine: Engine, clock: Clock = SYSTEM) -> None:
        self._engine = engine
        self._clock = clock
        self._snapshots = SnapshotCache(engine, clock)
        self._facts = machines.FactsRecorder(engine, clock)

    @property
    def database(self) -> Engine:
        """The state database that this registry is in."""
        return self._engine

    @property
    def engine(self) -> Engine:
        """The state database, for what else is kept there."""
        return self._engine

    # What services ask on every request.

    def authenticate(self, key_text: str | None, address: str) -> Identity:
        """Return who holds ``key_text`` and sends from ``address`` (microseconds, no database).

        Raises AuthenticationError, and PermissionDeniedError for a known key whose server is
        disabled or may not send from there.
        """
        return self._snapshots.get().authenticate(key_text, address)

    def bind_machine(self, server_id: str, machine: str, key_id: str) -> None:
        """Bind the id to this machine by its first sample; raise MachineConflictError."""
        machines.bind(self._engine, self._clock, self._snapshots.get(), server_id, machine, key_id)

    def record_facts(
        self,
        server_id: str,
        *,
        facts: Mapping[str, Any] | None,
        agent_version: str,
        clock_offset_ms: int | None,
        interval_ms: int | None,
    ) -> None:
        """Keep the facts that an agent sends; writes only what changed, ``None`` means not sent."""
        said = {
            "facts": facts,
            "agent_version": agent_version,
            "clock_offset_ms": clock_offset_ms,
            "interval_ms": interval_ms,
        }
        self._facts.record(self._snapshots.get().revision, server_id, said)

    def resolve(self, labels: Mapping[str, str], ids: Collection[str]) -> list[str]:
        """Return the sorted registered ids among ``ids`` (all if empty) with all ``labels``."""
        servers = self._snapshots.get().servers
        among = sorted(set(ids) & servers.keys()) if ids else list(servers)
        return [name for name in among if labels.items() <= servers[name].labels.items()]

    def trace(self, key_text: str | None, address: str) -> Trace | None:
        """Return whose request that was whose key or address was refused, if that is known."""
        with reading(self._engine) as session:
            return refusal_attribution.trace(session, key_text, address)

    def check(self) -> None:
        """Return if the state database answers; raise StateUnavailableError otherwise."""
        ping(self._engine)

    # Servers.

    def revision(self) -> int:
        """Return a number that grows with every change to servers and keys (0.2 ms)."""
        with reading(self._engine) as session:
            return revision_of(session)

    def servers(
        self, *, labels: Mapping[str, str] | None = None, ids: Collection[str] | None = None
    ) -> list[Server]:
        """Return servers in the order of their ids, those with all ``labels``; default all."""
        with reading(self._engine) as session:
            found = rows.servers_of(session, ids)
        wanted = (labels or {}).items()
        return [server for server in found if wanted <= server.labels.items()]

    def server(self, server_id: str) -> Server:
        """Return one server; raise UnknownServerError."""
        with reading(self._engine) as session:
            rows.server_row(session, server_id)
            return rows.servers_of(session, [server_id])[0]

    def apply(self, given: Any, *, purge: bool = False, check: bool = False) -> ApplyResult:
        """Apply ``given`` (parsed JSON as of ``servers apply``) to the registry.

        With ``check`` nothing is written. Raises InvalidItemError and RegistryError.
        """
        items = load_items(given)
        if check:
            with reading(self._engine) as session:
                return make_plan(items, *rows.stored(session), purge=purge).result
        with writing(self._engine) as session:
            plan = make_plan(items, *rows.stored(session), purge=purge)
            rows.execute(session, plan, self._clock.now_ms())
        self._snapshots.expire()
        return plan.result

    def add(self, given: Any) -> Added:
        """Add one server; without ``keys`` it gets a new key. Raises RegistryError if it exists."""
        item = load_item(given)
        key = None if "keys" in item else make_key()
        if key is not None:
            item["keys"] = [{"id": key.id, "sha256": key.sha256}]
        with writing(self._engine) as session:
            if session.get(ServerRow, item["id"]) is not None:
                raise RegistryError(
                    f"server {item['id']} exists already; servers apply changes it, "
                    f"keys rotate {item['id']} makes it another key"
                )
            plan = make_plan([item], *rows.stored(session), purge=False)
            rows.execute(session, plan, self._clock.now_ms())
            session.flush()
            added = rows.servers_of(session, [item["id"]])[0]
        self._snapshots.expire()
        return Added(added, key)

    def patch(self, server_id: str, given: Any) -> Server:
        """Change name, address, labels, allow_from or disabled; raises InvalidItemError."""
        changes = load_patch(given)
        with writing(self._engine) as session:
            row = rows.server_row(session, server_id)
            for name, value in changes.items():
                setattr(row, name, value)
            session.flush()
            rows.bump(session)
            changed = rows.servers_of(session, [server_id])[0]
        self._snapshots.expire()
        return changed

    def disable(self, server_id: str) -> bool:
        """Refuse this server's samples from now on; return whether that is a change."""
        return self._set_disabled(server_id, disabled=True)

    def enable(self, server_id: str) -> bool:
        """Take a disabled server's samples again; return whether that is a change."""
        return self._set_disabled(server_id, disabled=False)

    def _set_disabled(self, server_id: str, *, disabled: bool) -> bool:
        with writing(self._engine) as session:
            row = rows.server_row(session, server_id)
            if row.disabled == disabled:
                return False
            row.disabled = disabled
            rows.bump(session)
        self._snapshots.expire()
        return True

    def remove(self, server_id: str) -> None:
        """Remove a server and its keys; its stored samples stay. Raises UnknownServerError."""
        with writing(self._engine) as session:
            session.delete(rows.server_row(session, server_id))
            rows.bump(session)
        self._snapshots.expire()

    # Keys.

    def list_keys(self, *, server_id: str | None = None, revoked: bool = False) -> list[Key]:
        """Return keys, the oldest first; with ``revoked`` also those that no longer count."""
        statement = sa.select(KeyRow).order_by(KeyRow.number)
        if server_id is not None:
            statement = statement.where(KeyRow.server_id == server_id)
        if not revoked:
            statement = statement.where(KeyRow.revoked_ms.is_(None))
        with reading(self._engine) as session:
            return [rows.key_of(row) for row in session.scalars(statement)]

    def create_key(self, role: Role, server_id: str | None = None) -> NewKey:
        """Make a key; an agent's belongs to one server, which has at most two live ones.

        Raises RegistryError and UnknownServerError.
        """
        if (role == "agent") != (server_id is not None):
            raise RegistryError(
                "an agent key needs its server (--server ID)"
                if role == "agent"
                else f"a key of role {role} belongs to no server; leave --server out"
            )
        with writing(self._engine) as session:
            key = self._insert_key(session, role, server_id)
        self._snapshots.expire()
        return key

    def rotate(self, name: str) -> NewKey:
        """Make a second live key for the server ``name``, or one like the key ``name``.

        The old key stays live until it is revoked. Raises UnknownKeyError, RegistryError.
        """
        with writing(self._engine) as session:
            role: Role = "agent"
            server_id: str | None = name
            if session.get(ServerRow, name) is None:
                row = session.scalar(
                    sa.select(KeyRow).where(KeyRow.id == name, KeyRow.revoked_ms.is_(None))
                )
                if row is None:
                    raise UnknownKeyError(f"there is no server and no live key {name!r}")
                old = rows.key_of(row)
                role, server_id = old.role, old.server_id
            key = self._insert_key(session, role, server_id)
        self._snapshots.expire()
        return key

    def _insert_key(self, session: Session, role: Role, server_id: str | None) -> NewKey:
        if server_id is not None:
            rows.server_row(session, server_id)
            live = rows.live_keys(session, server_id)
            if len(live) >= MAX_LIVE_KEYS:
                raise RegistryError(
                    f"server {server_id} has two live keys already ({', '.join(live)}, the oldest "
                    "first); revoke one: hostpulse-server keys revoke KEYID"
                )
        key = make_key()
        value = Key(key.id, role, server_id, self._clock.now_ms(), None)
        rows.add_key(session, value, key.sha256)
        rows.bump(session)
        return key

    def revoke(self, key_id: str, *, server_id: str | None = None) -> None:
        """Make a key worthless for ever; raises UnknownKeyError if it is not live.

        With ``server_id`` only a key of that server is revoked.
        """
        with writing(self._engine) as session:
            if server_id is not None and key_id not in rows.live_keys(session, server_id):
                raise UnknownKeyError(f"server {server_id} has no live key {key_id!r}")
            rows.revoke(session, key_id, self._clock.now_ms())
            rows.bump(session)
        self._snapshots.expire()
