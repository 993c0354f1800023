"""Value types of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.registry.identity import Role

Action = Literal["added", "changed", "unchanged", "removed"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret or hash. Times are epoch milliseconds."""

    id: str
    role: Role
    server_id: str | None
    created_ms: int
    revoked_ms: int | None

    def as_json(self) -> dict[str, Any]:
        """Return what lists show."""
        return {
            "id": self.id,
            "role": self.role,
            "server_id": self.server_id,
            "created": self.created_ms,
            "revoked": self.revoked_ms,
        }


@dataclass(frozen=True, slots=True)
class Server:
    """A registered server with the newest facts of its agent. Times are epoch milliseconds."""

    id: str
    name: str
    address: str | None
    labels: Mapping[str, str]
    allow_from: tuple[str, ...]
    disabled: bool
    created_ms: int
    conflict_ms: int | None
    keys: tuple[str, ...]
    facts: Mapping[str, Any] | None = None
    agent_version: str | None = None
    clock_offset_ms: int | None = None
    interval_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What apply did, or would do, to one server; settings before and after, hashes left out."""

    server_id: str
    action: Action
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """All servers that apply compared, in the order of their ids."""

    changes: tuple[ItemChange, ...]

    def ids(self, action: Action) -> list[str]:
        """Return the ids that this action concerns."""
        return [change.server_id for change in self.changes if change.action == action]

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, different."""
        return any(change.action != "unchanged" for change in self.changes)

    def as_json(self, *, diff: bool = False) -> dict[str, Any]:
        """Return ids by action, and with ``diff`` the settings before and after."""
        actions: tuple[Action, ...] = ("added", "changed", "unchanged", "removed")
        document: dict[str, Any] = {action: self.ids(action) for action in actions}
        document["is_changed"] = self.changed
        if diff:
            document["diff"] = [
                {"id": change.server_id, "before": change.before, "after": change.after}
                for change in self.changes
                if change.action != "unchanged"
            ]
        return document
