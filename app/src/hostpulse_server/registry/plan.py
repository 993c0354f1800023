"""The plan of ``servers apply``: a pure comparison of the actual with the desired state."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.errors import RegistryError
from hostpulse_server.registry.model import ApplyResult, ItemChange
from hostpulse_server.registry.schemas import MAX_LIVE_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.registry.model import Action

SETTINGS: Final = ("name", "address", "labels", "allow_from")


@dataclass(frozen=True, slots=True)
class KeyState:
    """A stored key; ``number`` grows with every key made."""

    number: int
    id: str
    sha256: str
    server_id: str | None
    live: bool


@dataclass(frozen=True, slots=True)
class ServerState:
    """A stored server's settings."""

    id: str
    settings: Mapping[str, Any]


class KeyIndex:
    """Stored keys by id, by hash, and the live ones by server, the oldest first."""

    def __init__(self, keys: Sequence[KeyState]) -> None:
        self.by_id = {key.id: key for key in keys}
        self.by_hash = {key.sha256: key for key in keys}
        self._live: defaultdict[str | None, list[str]] = defaultdict(list)
        for key in sorted(keys, key=lambda key: key.number):
            if key.live:
                self._live[key.server_id].append(key.id)

    def live(self, server_id: str) -> list[str]:
        """Return the live key ids of a server."""
        return self._live.get(server_id, [])


@dataclass(slots=True)
class Step:
    """One server's writes: settings to set, keys to add as (id, SHA-256), key ids to revoke."""

    server_id: str
    is_new: bool
    settings: dict[str, Any]
    add_keys: list[tuple[str, str]] = field(default_factory=list)
    revoke_keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RegistryPlan:
    """All writes, and the same as a report for people."""

    steps: list[Step]
    removed: list[str]
    result: ApplyResult


def make_plan(
    items: Sequence[Mapping[str, Any]],
    servers: Mapping[str, ServerState],
    keys: Sequence[KeyState],
    *,
    purge: bool,
) -> RegistryPlan:
    """Compare checked items with what is stored; raises RegistryError naming the item.

    A setting that an item leaves out stays as it is. Keys it lists are added; others of the server
    stay live up to two in all, so that a host may go over to its new key in its own time, then the
    oldest is revoked. With ``purge`` unlisted servers are removed and unlisted keys revoked.
    """
    if purge and not items:
        raise RegistryError(
            "an empty list with --purge would remove every server; use servers remove ID"
        )
    index = KeyIndex(keys)
    steps: list[Step] = []
    changes: list[ItemChange] = []
    for item in items:
        step, change = _compare(item, servers.get(item["id"]), index, purge=purge)
        changes.append(change)
        if change.action != "unchanged":
            steps.append(step)
    removed = sorted(servers.keys() - {item["id"] for item in items}) if purge else []
    for server_id in removed:
        before = _shown(servers[server_id].settings, index.live(server_id))
        changes.append(ItemChange(server_id, "removed", before, None))
    changes.sort(key=lambda change: change.server_id)
    return RegistryPlan(steps, removed, ApplyResult(tuple(changes)))


def defaults(server_id: str) -> dict[str, Any]:
    """Return the settings of a server of which only the id is given."""
    return {"name": server_id, "address": None, "labels": {}, "allow_from": []}


def _compare(
    item: Mapping[str, Any],
    stored: ServerState | None,
    keys: KeyIndex,
    *,
    purge: bool,
) -> tuple[Step, ItemChange]:
    server_id = item["id"]
    given = {name: item[name] for name in SETTINGS if name in item}
    before = dict(stored.settings) if stored else {}
    after = (before or defaults(server_id)) | given
    step = Step(server_id, stored is None, after if stored is None else {})
    if stored is not None:
        step.settings = {name: value for name, value in given.items() if before[name] != value}
    live = keys.live(server_id)
    if "keys" in item:
        wanted = {key["id"]: key["sha256"] for key in item["keys"]}
        step.add_keys = _new_keys(server_id, wanted, keys)
        step.revoke_keys = _surplus(live, wanted, len(step.add_keys), purge=purge)
    live_after = [key for key in live if key not in step.revoke_keys]
    live_after += [key_id for key_id, _ in step.add_keys]
    if stored is None:
        return step, ItemChange(server_id, "added", None, _shown(after, live_after))
    same = not (step.settings or step.add_keys or step.revoke_keys)
    action: Action = "unchanged" if same else "changed"
    return step, ItemChange(server_id, action, _shown(before, live), _shown(after, live_after))


def _new_keys(server_id: str, wanted: Mapping[str, str], keys: KeyIndex) -> list[tuple[str, str]]:
    for key_id, sha256 in wanted.items():
        fault = _key_fault(server_id, sha256, keys.by_id.get(key_id), keys.by_hash.get(sha256))
        if fault:
            raise RegistryError(f"server {server_id}: key {key_id} {fault}")
    return [(key_id, sha256) for key_id, sha256 in wanted.items() if key_id not in keys.by_id]


def _key_fault(
    server_id: str, sha256: str, stored: KeyState | None, same_hash: KeyState | None
) -> str | None:
    """Return what is wrong with listing a key, ``None`` if it is new or stored just so."""
    own = "every host makes its own (hostpulse-agent key init)"
    if stored is None:
        return f"has the hash of key {same_hash.id}; {own}" if same_hash else None
    if stored.server_id != server_id:
        return f"belongs to server {stored.server_id or '(none)'}; {own}"
    again = "remove the key file on the host and make a new key (hostpulse-agent key init)"
    if stored.sha256 != sha256:
        return f"is stored with another hash; {again}"
    return None if stored.live else f"was revoked and stays so; {again}"


def _surplus(
    live: Sequence[str], wanted: Mapping[str, str], added: int, *, purge: bool
) -> list[str]:
    unlisted = [key_id for key_id in live if key_id not in wanted]
    if purge:
        return unlisted
    over = len(live) + added - MAX_LIVE_KEYS
    return unlisted[: max(over, 0)]


def _shown(settings: Mapping[str, Any], key_ids: Sequence[str]) -> dict[str, Any]:
    return {**{name: settings[name] for name in SETTINGS}, "keys": sorted(key_ids)}
