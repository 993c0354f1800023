"""Who is asking: the role and server behind a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from hostpulse_server.errors import PermissionDeniedError

Role = Literal["agent", "reader", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

# What a key may do: a reader reads, an operator also acknowledges, an admin does everything but
# write samples. An agent writes its own server's samples and nothing else.
_GRANTS: Final[dict[str, frozenset[str]]] = {
    "agent": frozenset({"agent"}),
    "reader": frozenset({"reader"}),
    "operator": frozenset({"reader", "operator"}),
    "admin": frozenset({"reader", "operator", "admin"}),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated key: its public id, its role and, for agents, the one server it writes."""

    key_id: str
    role: Role
    server_id: str | None

    def allows(self, *roles: str) -> bool:
        """Return whether this key's role includes one of ``roles`` (an admin's includes reader)."""
        return not _GRANTS[self.role].isdisjoint(roles)

    def require(self, *roles: str) -> None:
        """Return if the key has one of ``roles``; raise PermissionDeniedError otherwise."""
        if not self.allows(*roles):
            wanted = " or ".join(roles)
            raise PermissionDeniedError(
                f"this needs a key of role {wanted}; key {self.key_id} has role {self.role}"
            )
