"""Attributes rejected requests to a server, as far as that is possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hostpulse_server.registry.keys import key_id_of, matches
from hostpulse_server.state.models import KeyRow, ServerRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Trace:
    """A registered server, and what is wrong with its key; empty: nothing."""

    server_id: str
    fault: str


def trace(session: Session, key_text: str | None, address: str) -> Trace | None:
    """Find the server by its key, also one that was revoked, else by its registered address.

    A request counts as its server's only with the key's whole text.
    """
    key_id = key_id_of(key_text) if key_text else None
    if key_text and key_id:
        row = session.scalar(sa.select(KeyRow).where(KeyRow.id == key_id))
        if row is not None and matches(key_text, bytes.fromhex(row.sha256)):
            if row.server_id is None:
                return None
            return Trace(row.server_id, "" if row.revoked_ms is None else "its key was revoked")
    found = list(session.scalars(sa.select(ServerRow.id).where(ServerRow.address == address)))
    if len(found) != 1:
        return None  # behind one address there may be many
    return Trace(found[0], "its key is not known here" if key_text else "it sends no key")
