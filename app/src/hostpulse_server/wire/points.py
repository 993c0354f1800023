"""Validation of points: one pass over a sample, with a verdict for each.

The common case runs in C (set inclusion, ``map``); only a point that fails there is looked at
again, slowly, for the reason.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, NamedTuple

MAX_FIELDS = 64
MAX_TAGS = 8
MAX_TAG_VALUE = 255
RESERVED = frozenset({"server_id", "time"})

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# InfluxDB would take what follows for another part of the line, or the next line for this one's.
_BACKSLASH = re.compile(r"\\(?: |\Z)")
_KEYS = frozenset({"measurement", "tags", "fields"})
_NUMBERS = frozenset({int, float})
_REMEMBERED = 20_000


class PointFault(NamedTuple):
    """Why a point is refused; ``field`` names the field or tag, where it is one."""

    field: str | None
    reason: str


class _Known:
    """Texts seen to be right before: a set look-up is a tenth of a match. Bounded."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.tag_values: set[str] = set()

    def remember(self, names: set[str], tag_values: set[str]) -> None:
        if len(self.names) + len(names) <= _REMEMBERED:
            self.names |= names
        if len(self.tag_values) + len(tag_values) > _REMEMBERED:
            self.tag_values = set()  # a new set: another thread may be reading the old one
        self.tag_values |= tag_values


_known = _Known()


def check_points(points: list[Any]) -> tuple[list[Any], list[tuple[int, PointFault]]]:
    """Return the points to keep (the same list if all are) and (index, fault) of the others."""
    faults = []
    for index, point in enumerate(points):
        if not _surely_good(point):
            fault = check_point(point)
            if fault is not None:
                faults.append((index, fault))
    if not faults:
        return points, faults
    bad = {index for index, _ in faults}
    return [point for index, point in enumerate(points) if index not in bad], faults


def _surely_good(point: Any) -> bool:
    try:
        fields = point["fields"]
        tags = point.get("tags")
        return (
            point["measurement"] in _known.names
            and fields.keys() <= _known.names
            and 0 < len(fields) <= MAX_FIELDS
            and set(map(type, fields.values())) <= _NUMBERS
            and all(map(isfinite, fields.values()))
            and len(point) == (2 if tags is None else 3)
            and (
                tags is None
                or (
                    len(tags) <= MAX_TAGS
                    and tags.keys() <= _known.names
                    and _known.tag_values.issuperset(tags.values())
                )
            )
        )
    except (TypeError, KeyError, AttributeError, OverflowError):
        return False


def check_point(point: Any) -> PointFault | None:
    """Return the first thing wrong with a point, ``None`` if it is good."""
    if not isinstance(point, dict):
        return PointFault(None, "not an object")
    unknown = sorted(point.keys() - _KEYS)
    if unknown:
        return PointFault(None, f"unknown key {unknown[0][:64]!r}")
    measurement = point.get("measurement")
    if not isinstance(measurement, str) or not NAME.fullmatch(measurement):
        return PointFault(None, "measurement is not a name")
    fields, tags = point.get("fields"), point.get("tags", {})
    fault = _check_fields(fields) or _check_tags(tags)
    if fault is None:
        names = {measurement}.union(fields or (), tags)
        _known.remember(names - RESERVED, set(tags.values()))
    return fault


def _check_fields(fields: Any) -> PointFault | None:
    if not isinstance(fields, dict) or not fields:
        return PointFault(None, "fields is not an object with at least one field")
    if len(fields) > MAX_FIELDS:
        return PointFault(None, f"more than {MAX_FIELDS} fields")
    for name, value in fields.items():
        reason = _check_name(name) or _check_number(value)
        if reason is not None:
            return PointFault(name[:64], reason)
    return None


def _check_tags(tags: Any) -> PointFault | None:
    if not isinstance(tags, dict):
        return PointFault(None, "tags is not an object")
    if len(tags) > MAX_TAGS:
        return PointFault(None, f"more than {MAX_TAGS} tags")
    for name, value in tags.items():
        reason = _check_name(name) or check_tag_value(value)
        if reason is not None:
            return PointFault(name[:64], reason)
    return None


def _check_name(name: str) -> str | None:
    if not NAME.fullmatch(name):
        return "not a name"
    return "reserved name" if name in RESERVED else None


def _check_number(value: Any) -> str | None:
    if type(value) not in _NUMBERS:  # a bool is an int to isinstance
        return "not a number"
    try:
        return None if isfinite(value) else "not finite"
    except OverflowError:
        return "not finite"


def check_tag_value(value: Any) -> str | None:
    """Return why no store could keep ``value`` as the value of a tag, ``None`` if it could."""
    if not isinstance(value, str):
        return "tag value is not a text"
    if not 0 < len(value) <= MAX_TAG_VALUE:
        return f"tag value is not 1 to {MAX_TAG_VALUE} characters long"
    if _CONTROL.search(value):
        return "tag value has a control character"
    if _BACKSLASH.search(value):
        return "tag value has a backslash at its end or before a space"
    return None
