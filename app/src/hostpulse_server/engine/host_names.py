"""Names of what ails on a host, as its agent sends them: evidence of alerts, never judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.formatting import MAX_NAMES
from hostpulse_server.notifications.channels.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS: Final = ("units", "mounts", "interfaces", "arrays")
MAX_LENGTH: Final = 120
_OF_SYSTEM: Final = {"units_failed": "units", "raid_degraded": "arrays"}
_OF_DISK: Final = frozenset({"hung", "readonly"})
_OF_NETWORK: Final = frozenset({"link_up", "packet_loss_percent"})


def read(ext: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """Return the names in a request's ``ext``, bounded and harmless; ``None`` where it has none."""
    names = ext.get("names")
    if not isinstance(names, dict):
        return None
    found = {kind: _some(names[kind]) for kind in KINDS if isinstance(names.get(kind), list)}
    return {kind: some for kind, some in found.items() if some}


def of(names: Mapping[str, Sequence[str]], measurement: str, field: str) -> Sequence[str]:
    """Return the names that say more of a field."""
    kind = ""
    if measurement == "system":
        kind = _OF_SYSTEM.get(field, "")
    elif measurement == "disk" and field in _OF_DISK:
        kind = "mounts"
    elif measurement == "network" and field in _OF_NETWORK:
        kind = "interfaces"
    return names.get(kind, ())


def _some(names: list[Any]) -> list[str]:
    texts = (one_line(one, MAX_LENGTH) for one in names[:MAX_NAMES] if isinstance(one, str))
    return [text for text in texts if text]
