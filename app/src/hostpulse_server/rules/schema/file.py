"""The content of one rules file before files are merged, and its faults in order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hostpulse_server.rules.schema.tables import NAME, TableReader
from hostpulse_server.rules.yaml_nodes import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.rules.schema.tables import FaultSink
    from hostpulse_server.rules.yaml_nodes import Node, Position

MAX_LENGTH: Final = 1000


@dataclass(slots=True)
class RulesFile:
    """A file's rules by name, as they are written there, and its tests."""

    rules: dict[str, Node] = field(default_factory=dict)
    tests: list[TableReader] = field(default_factory=list)


class FaultList:
    """All faults, in the order of files and lines; empty is false."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._files: dict[str, int] = {}
        self._lines = list(lines)
        self._found: dict[tuple[int, int, str], None] = {}

    def __bool__(self) -> bool:
        """Return whether anything is wrong."""
        return bool(self._lines or self._found)

    def begin(self, file: str) -> None:
        """Note the next file of the order."""
        self._files.setdefault(file, len(self._files))

    def add(self, at: Position, text: str) -> None:
        """Note one fault, once."""
        self.begin(at.file)
        self._found[self._files[at.file], at.line, text] = None

    def of_rule(self, name: str, places: Sequence[Position]) -> FaultSink:
        """Return what takes the faults of a rule; one from several files names them all."""
        others = ", ".join(map(str, places))
        suffix = f" (the rule is made up of {others})" if len(places) > 1 else ""

        shown = name if re.fullmatch(NAME, name) else "?" if ":" in name else repr(name[:80])

        def report(at: Position, key: str, text: str) -> None:
            self.add(at, f"rule {shown}: {f'{key}: ' if key else ''}{text}{suffix}")

        return report

    def lines(self) -> list[str]:
        """Return the faults as ``FILE:LINE: what is wrong``."""
        files = list(self._files)
        placed = sorted(self._found)
        lines = (f"{files[n]}:{line}: {text}" for n, line, text in placed)
        return [*self._lines, *map(_one_line, lines)]


def read_file(name: str, text: str | bytes, faults: FaultList) -> RulesFile:
    """Read a file as far as it can be read alone; an empty one holds nothing."""
    faults.begin(name)

    def report(at: Position, key: str, text: str) -> None:
        faults.add(at, f"{key}: {text}" if key else text)

    document, wrong = parse(name, text)
    for at, what in wrong:
        faults.add(at, what)
    found = RulesFile()
    if document.value is None:
        return found
    root = TableReader(document, "", report)
    root.only(("rules", "tests"))
    for entry in root.tables("rules"):
        _enter(entry, found, faults)
    found.tests = root.tables("tests")
    return found


def _enter(entry: TableReader, found: RulesFile, faults: FaultList) -> None:
    """Put a rule under its name; one without is read under its place, for its other faults."""
    name = entry.as_written("name") if "name" in entry else ""
    if name in found.rules:
        first = found.rules[name].at
        faults.add(entry.at, f"rule {name}: is there twice, first in line {first.line}; keep one")
    else:
        found.rules[name or str(entry.at)] = entry.node


def _one_line(text: str) -> str:
    # keys are anybody's text: nothing of them may move the cursor or fill the screen
    plain = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return plain if len(plain) <= MAX_LENGTH else f"{plain[: MAX_LENGTH - 1]}…"
