"""Servers that may report, and the keys that may speak to the api."""

from __future__ import annotations

from hostpulse_server.registry.identity import ROLES, Identity, Role
from hostpulse_server.registry.keys import NewKey
from hostpulse_server.registry.model import ApplyResult, ItemChange, Key, Server
from hostpulse_server.registry.registry import Added, Registry
from hostpulse_server.values.server_status import STATUSES, Status, status_of

__all__ = [
    "ROLES",
    "STATUSES",
    "Added",
    "ApplyResult",
    "Identity",
    "ItemChange",
    "Key",
    "NewKey",
    "Registry",
    "Role",
    "Server",
    "Status",
    "status_of",
]
