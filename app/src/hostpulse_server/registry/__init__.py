"""Servers that may report, and the keys that may speak to the api."""

from __future__ import annotations

from hostpulse_server.registry.identity import ROLES, Identity, Role
from hostpulse_server.registry.registry import Registry

__all__ = ["ROLES", "Identity", "Registry", "Role"]
