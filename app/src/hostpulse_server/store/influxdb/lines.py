"""Line protocol: points as lines, escaped so that what was written is what is read.

influxdb-client writes a space for a tag value's last backslash and costs ten times as much. Only
comma, equals sign and space need a backslash before them in a tag value; every other backslash
stands for itself. So a value cannot end in one. Nor may one stand before a space: InfluxDB then
takes the space for the end of the tags, and a quote further on for the start of a text that may
swallow the next line.
https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/#special-characters
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING

from hostpulse_server.errors import StoreRejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.values.points import StorePoint, Tags

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = frozenset({"time", "server_id"})
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]|\\(?: |\Z)|\A\Z")
_ESCAPES = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_REMEMBERED = 50_000


class Encoder:
    """Turns points into lines; remembers the heads of series seen before. Bounded; one thread."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, str, Tags], str] = {}
        self._fields: set[str] = set()

    def encode(self, points: Iterable[StorePoint]) -> bytes:
        """Return one line a point, times in ms; raise StoreRejectedError for what has no line."""
        try:
            return "\n".join([self._line(point) for point in points]).encode()
        except UnicodeEncodeError as error:
            raise StoreRejectedError(f"a text of a point is not Unicode: {error.reason}") from error

    def _line(self, point: StorePoint) -> str:
        server_id, measurement, tags, time_ms, fields = point
        key = (server_id, measurement, tags)
        head = self._heads.get(key) or self._remember(key)
        if not fields.keys() <= self._fields:
            self._check_fields(fields)
        try:
            if not fields or not all(map(isfinite, fields.values())):
                raise StoreRejectedError(f"{measurement} has no fields, or one that is not finite")
            values = ",".join([f"{name}={float(value)!r}" for name, value in fields.items()])
        except (OverflowError, TypeError, ValueError) as error:
            raise StoreRejectedError(
                f"{measurement} has a field that is no float: {error}"
            ) from error
        return f"{head} {values} {time_ms}"

    def _remember(self, key: tuple[str, str, Tags]) -> str:
        server_id, measurement, tags = key
        _check_name("measurement", measurement)
        named = [("server_id", server_id), *tags] if server_id else tags
        for name, value in tags:
            _check_name("tag", name)
            if _UNWRITABLE.search(value):
                raise StoreRejectedError(
                    f"{measurement} has a tag {name} that is empty, or has a control character or "
                    "a backslash at its end or before a space"
                )
        head = measurement + "".join(
            [f",{name}={value.translate(_ESCAPES)}" for name, value in sorted(named)]
        )
        if len(self._heads) >= _REMEMBERED:
            self._heads.clear()
        self._heads[key] = head
        return head

    def _check_fields(self, names: Iterable[str]) -> None:
        for name in names:
            _check_name("field", name)
        if len(self._fields) >= _REMEMBERED:
            self._fields.clear()
        self._fields.update(names)


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name) or (what != "measurement" and name in _RESERVED):
        raise StoreRejectedError(f"{name[:64]!r} cannot be the name of a {what}")
