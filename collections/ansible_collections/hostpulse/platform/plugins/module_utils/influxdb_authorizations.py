"""Authorizations as the server lists them: whose they are, and what they allow. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import (
    fingerprint,
)

FINGERPRINT = re.compile(r"[0-9a-f]{64}")
PENDING = "pending"


def described(name: str, token: str) -> str:
    """Return the description of the authorization that holds this token."""
    return f"{name} [sha256:{fingerprint(token)}]"


def mark(authorization: dict[str, Any], name: str) -> str:
    """Return the fingerprint that it bears, or C(pending); nothing if it is not of this name."""
    text = str(authorization.get("description", ""))
    inner = text[len(name) + 2 : -1]
    if text != f"{name} [{inner}]":
        return ""
    if inner == PENDING:
        return PENDING
    kind, _, found = inner.partition(":")
    return found if kind == "sha256" and FINGERPRINT.fullmatch(found) else ""


def operator_permissions(every: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the operator token may do: it alone may write authorizations anywhere."""
    key = ("write", "authorizations", None, None)
    for one in every:
        if key in rights(one):
            return list(one["permissions"])
    raise ServiceError("operator: the organization holds no operator token to copy; name its org")


def rights(authorization: dict[str, Any]) -> frozenset[tuple[Any, ...]]:
    """Return its permissions as (action, type, id, organization), comparable."""
    return frozenset(
        (one["action"], *(one["resource"].get(key) for key in ("type", "id", "orgID")))
        for one in authorization["permissions"]
    )


def shown(authorization: dict[str, Any]) -> dict[str, Any]:
    """Return an authorization without what only a machine reads."""
    permissions = sorted(
        f"{one['action']} {one['resource']['type']}"
        f" {one['resource'].get('name') or one['resource'].get('id') or 'all'}"
        for one in authorization["permissions"]
    )
    return {
        "id": authorization.get("id", "new"),
        "description": authorization["description"],
        "permissions": permissions,
    }
