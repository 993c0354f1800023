"""What every provisioning file is held to.

Stricter than Grafana, which passes over what it does not know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api.api import ORGANIZATION

if TYPE_CHECKING:
    from collections.abc import Iterable

API_VERSION = 1
DURATION = re.compile(r"(\d+[smhdw])+")


class FileError(Exception):
    """A provisioning file cannot be used; the message names the file and the fault."""


def need(name: str, given: Any, allowed: Iterable[str], needed: Iterable[str] = ()) -> None:
    """Refuse keys that are not documented and the lack of those that are needed."""
    if not isinstance(given, dict):
        raise FileError(f"{name} is no object")
    unknown, missing = sorted(set(given) - set(allowed)), sorted(set(needed) - set(given))
    if unknown or missing:
        raise FileError(f"{name}: unknown {unknown}, missing {missing}")


def check_head(name: str, document: Any) -> None:
    """Refuse a file of a version that nobody knows, or of another organization."""
    if not isinstance(document, dict) or document.get("apiVersion") != API_VERSION:
        raise FileError(f"{name}: apiVersion is not {API_VERSION}")
    lists = {key: entries for key, entries in document.items() if isinstance(entries, list)}
    for key, entries in lists.items():
        for one in entries:
            own = one if key == "resetPolicies" else dict(one).get("orgId", ORGANIZATION)
            if own != ORGANIZATION:
                raise FileError(f"{name}: {key} has {own!r} as organization, and there is none")
