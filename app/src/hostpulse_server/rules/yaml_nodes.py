"""YAML as nodes that know where they are written, every fault of a file gathered on the way.

Built from the parser's events rather than by PyYAML's own composer: that one recurses without a
bound (a thousand brackets end the process), takes the last of two equal keys without a word and
follows aliases that multiply without end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES: Final = 2**20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000  # of a file with its aliases written out

_STR = "tag:yaml.org,2002:str"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolve: Callable[..., str] = Resolver().resolve
_CONSTRUCTOR = SafeConstructor()
_SCALARS = {
    "tag:yaml.org,2002:null": _CONSTRUCTOR.construct_yaml_null,
    "tag:yaml.org,2002:bool": _CONSTRUCTOR.construct_yaml_bool,
    "tag:yaml.org,2002:int": _CONSTRUCTOR.construct_yaml_int,
    "tag:yaml.org,2002:float": _CONSTRUCTOR.construct_yaml_float,
}


class Position(NamedTuple):
    """A place in a file; lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return it as compilers write it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it is written: of a mapping's value, where its key is.

    ``value`` is None, a bool, int, float or str, a list of nodes or a dict of them; ``raw`` is a
    scalar as it was written (``no`` for False). ``size`` counts all nodes in it.
    """

    at: Position
    value: Any
    raw: str = ""
    size: int = 1

    @property
    def table(self) -> dict[str, Node] | None:
        """The value if it is a mapping."""
        return cast("dict[str, Node]", self.value) if isinstance(self.value, dict) else None


class FileFault(NamedTuple):
    """What is wrong with a file as such, and where."""

    at: Position
    text: str


class _StopError(Exception):
    """The rest of the file cannot be read."""


def parse(file: str, text: str | bytes) -> tuple[Node, list[FileFault]]:
    """Return the document (null for an empty one) and what is wrong; never raises."""
    reader = _Reader(file)
    nothing = Node(Position(file, 1), None)
    try:
        return reader.document(_decoded(text)) or nothing, reader.faults
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        reader.line = mark.line + 1 if mark else 1
        reader.fault(f"is not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, UnicodeError) as error:
        reader.fault(f"is not YAML: {' '.join(str(error).split())}; write UTF-8 text")
    except _StopError as error:
        reader.fault(str(error))
    return nothing, reader.faults


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    if len(text.encode()) > MAX_BYTES:
        raise _StopError(f"has more than {MAX_BYTES // 2**20} MiB; divide it into several files")
    return text


class _Reader:
    """Turns one file's events into nodes; ``line`` is where the event at hand stands."""

    def __init__(self, file: str) -> None:
        self.faults: list[FileFault] = []
        self.line = 1
        self._file = file
        self._anchors: dict[str, Node] = {}

    def fault(self, text: str) -> None:
        self.faults.append(FileFault(Position(self._file, self.line), text))

    def document(self, text: str) -> Node | None:
        events = self._events(text)
        found = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    raise _StopError("has a second document; a file holds one, leave out this ---")
                found = self._node(next(events), events, 0)
        return found

    def _events(self, text: str) -> Iterator[Any]:
        events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        for event in events:
            self.line = event.start_mark.line + 1
            yield event

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _StopError(f"is nested more than {MAX_DEPTH} deep; no rule needs that")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _StopError(f"*{event.anchor} stands before the end of any &{event.anchor}")
            return self._anchors[event.anchor]
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(events, depth)
        else:
            node = self._mapping(events, depth)
        if node.size > MAX_NODES:
            raise _StopError("holds too much; aliases that hold aliases multiply")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        at = Position(self._file, self.line)
        tag = event.tag
        if tag is None:
            tag = _resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _SCALARS:
            if event.tag not in (None, "!", _STR):
                self.fault(f"{event.tag} is not known here; leave it out")
            return Node(at, event.value, event.value)
        try:
            value: Any = _SCALARS[tag](yaml.ScalarNode(tag, event.value))
        except (ValueError, KeyError, IndexError):  # such as 0b_ or !!bool maybe
            self.fault(f"{event.value[:40]!r} cannot be read; put a text in quotes")
            value = event.value
        return Node(at, value, event.value)

    def _sequence(self, events: Iterator[Any], depth: int) -> Node:
        at = Position(self._file, self.line)
        items = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = Position(self._file, self.line)
            found = self._node(event, events, depth + 1)
            items.append(Node(here, found.value, found.raw, found.size))
        return Node(at, items, size=1 + sum(item.size for item in items))

    def _mapping(self, events: Iterator[Any], depth: int) -> Node:
        at = Position(self._file, self.line)
        table: dict[str, Node] = {}
        inherited: list[Node] = []
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            here = Position(self._file, self.line)
            key = self._key(self._node(event, events, depth + 1))
            found = self._node(next(events), events, depth + 1)
            if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                inherited.append(found)
                continue
            if key in table:
                self.line = here.line
                self.fault(f"{key}: is there twice, first in line {table[key].at.line}; keep one")
            table[key] = Node(here, found.value, found.raw, found.size)
        for found in inherited:
            self._inherit(table, found)
        return Node(at, table, size=1 + sum(item.size for item in table.values()))

    def _key(self, node: Node) -> str:
        if isinstance(node.value, list | dict):
            raise _StopError("has a list or a mapping for a key; write a word")
        return node.raw

    def _inherit(self, table: dict[str, Node], found: Node) -> None:
        """Put what ``<<`` names under the keys that are not there; the first of several wins."""
        for one in found.value if isinstance(found.value, list) else [found]:
            if one.table is None:
                self.fault("<<: must name a mapping, as <<: *name")
                continue
            for key, value in one.table.items():
                table.setdefault(key, value)
