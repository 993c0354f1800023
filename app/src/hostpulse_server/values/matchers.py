"""Matchers of silences and routes: globs over the properties of an alert.

A name that ends in ``!`` matches what does not fit: ``rule!=disk_*`` is ``rule!`` → ``disk_*``.
Release 0.1.0 knows no such name, and mutes nothing by a silence that has one.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC = frozenset("*?[")
NOT = "!"


def properties(
    severity: str,
    rule: str,
    server_id: str,
    labels: Mapping[str, str],
    tags: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return name → value.

    Of a tag and a label of one name the tag counts; ``label.NAME`` is always the label. No label
    and no tag hides rule, severity or server_id.
    """
    return {
        **labels,
        **(tags or {}),
        **{f"label.{name}": value for name, value in labels.items()},
        "severity": severity,
        "rule": rule,
        "server_id": server_id,
    }


def matches(matchers: Mapping[str, str], values: Mapping[str, str]) -> bool:
    """Return whether every glob matches the value of its name.

    A missing value does not match, so it does where the name ends in ``!``.
    """
    return all(_holds(name, glob, values) for name, glob in matchers.items())


def _holds(name: str, glob: str, values: Mapping[str, str]) -> bool:
    if name.endswith(NOT):
        return not _holds(name[:-1], glob, values)
    return name in values and fits(values[name], glob)


def fits(value: str, glob: str) -> bool:
    """Return whether a value is what a glob says."""
    # fnmatch keeps few patterns compiled: not those of a thousand silences, each of one host
    return value == glob if _MAGIC.isdisjoint(glob) else fnmatchcase(value, glob)
