"""Reads the keys of one mapping: each fault is reported with its place and key, none is raised.

A faulty value is read as if it were not there; callers look at the faults before using
anything.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from hostpulse_server.config import values
from hostpulse_server.config.values import Converter, ValueFault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hostpulse_server.rules.yaml_nodes import Node, Position

YEAR_MS: Final = 365 * 86_400_000
NAME: Final = r"[a-z][a-z0-9_]{0,63}"
_NAME_KIND = values.matching(NAME, 'lower-case letters, digits and "_", a letter first, at most 64')


class FaultSink(Protocol):
    """Takes a fault: where, in which key, and what is wrong and what to write."""

    def __call__(self, at: Position, key: str, text: str) -> None:
        """Take one fault."""
        ...


class TableReader:
    """A mapping under the key ``path``; a null is a key that is not there."""

    def __init__(self, node: Node, path: str, report: FaultSink) -> None:
        self.node = node
        self.at = node.at
        self._path = path
        self._report = report
        if node.table is None:
            report(node.at, path, "must be a mapping, written as KEY: VALUE lines")
        self._items = node.table or {}

    def __contains__(self, key: str) -> bool:
        """Return whether a value is there."""
        return key in self._items and self._items[key].value is not None

    def __iter__(self) -> Iterator[str]:
        """Return the keys that have a value."""
        return (key for key in self._items if key in self)

    def node_of(self, key: str) -> Node | None:
        """Return the node of ``key``."""
        return self._items[key] if key in self else None

    def fault(self, key: str, text: str, at: Position | None = None) -> None:
        """Report what is wrong with ``key``, or with the mapping where that is not there."""
        place = self._items[key].at if key in self._items else self.at
        self._report(at or place, self._path_of(key), text)

    def only(self, known: Collection[str], hint: str = "") -> None:
        """Report every key that is not ``known``; ``hint`` replaces the list of those that are."""
        for key in self._items:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                known_ones = hint or f"known here: {', '.join(known)}"
                advice = f"did you mean {near[0]}?" if near else known_ones
                self.fault(key, f"unknown key; {advice}")

    def read(self, key: str, kind: Converter, default: Any) -> Any:
        """Return the value as ``kind`` reads it, ``default`` where there is none or a fault."""
        node = self.node_of(key)
        if node is None:
            return default
        try:
            found = kind.read(node.value)
        except ValueFault as error:
            self.fault(key, f"{error}, not {_shown(node)}")
            return default
        if isinstance(found, float) and not _is_as_written(node):
            self.fault(key, f"is {node.value:g} in YAML, so write {node.value:g}, not {node.raw}")
        return found

    def text(self, key: str) -> str:
        """Return a text, ``""`` where there is none."""
        return str(self.read(key, values.TEXT, ""))

    def name(self, key: str) -> str:
        """Return a measurement's, field's or rule's name, ``""`` where there is none."""
        return str(self.read(key, _NAME_KIND, ""))

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        return bool(self.read(key, values.BOOLEAN, default))

    def number(self, key: str) -> float | None:
        """Return a finite number, ``None`` where there is none."""
        found = self.read(key, _NUMBER, None)
        return None if found is None else float(found)

    def duration_ms(self, key: str, low_ms: int = 0, high_ms: int = YEAR_MS) -> int | None:
        """Return a duration in ms, ``None`` where there is none."""
        seconds = self.read(key, values.DURATION, None)
        if seconds is None:
            return None
        if not low_ms <= seconds * 1000 <= high_ms:
            limits = f"at least {low_ms} ms and at most {high_ms // 1000} s"
            self.fault(key, f"must be {limits}, not {_shown(self._items[key])}")
            return None
        return round(float(seconds) * 1000)

    def table(self, key: str) -> TableReader | None:
        """Return the mapping under ``key``, ``None`` where there is none."""
        node = self.node_of(key)
        return None if node is None else self._mapping(node, key)

    def tables(self, key: str) -> list[TableReader]:
        """Return the mappings listed under ``key``; their paths count from 1."""
        node = self.node_of(key)
        if node is None:
            return []
        if not isinstance(node.value, list):
            self.fault(key, "must be a list, each item with a dash")
            return []
        found = (self._mapping(one, f"{key}[{n}]") for n, one in enumerate(node.value, 1))
        return [table for table in found if table is not None]

    def texts(self, key: str) -> dict[str, str]:
        """Return a mapping of texts; of numbers and words such as ``no``, what was written."""
        inner = self.table(key)
        return {} if inner is None else {name: inner.as_written(name) for name in inner}

    def as_written(self, key: str) -> str:
        """Return a scalar as it was written; report a list or a mapping."""
        node = self._items[key]
        if isinstance(node.value, list | dict):
            self.fault(key, f"must be a text, not {_shown(node)}")
        return node.raw

    def _mapping(self, node: Node, key: str) -> TableReader | None:
        table = TableReader(node, self._path_of(key), self._report)
        return None if node.table is None else table

    def _path_of(self, key: str) -> str:
        return f"{self._path}.{key}".strip(".")


def _is_as_written(node: Node) -> bool:
    """Return whether a number is the one that people read: 010 is 8 in YAML 1.1, and 1:30 is 90."""
    if not isinstance(node.value, int | float):
        return True
    try:
        return float(node.raw) == node.value
    except ValueError:
        return False


def _finite(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(float(value)):
                return float(value)
        except OverflowError:
            pass
    raise ValueFault("must be a number")


_NUMBER = Converter(_finite)


def _shown(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    # a number in quotes is a text, and looks like a number without them
    return f"the text {node.raw[:40]!r}" if isinstance(node.value, str) else node.raw[:40]
