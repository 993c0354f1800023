"""How figures are shown: a table of what was measured against its bar, and a JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure; ``bar`` is what it may be at most (or at least, with ``floor``)."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    floor: bool = False

    @property
    def held(self) -> bool:
        """Tell whether the bar holds; without a bar it does."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.floor else self.value <= self.bar


def table(title: str, rows: list[Row]) -> str:
    """Return the figures as text, one a line, with the bar and whether it holds."""
    width = max(len(row.name) for row in rows)
    lines = [title]
    for row in rows:
        bar = ""
        if row.bar is not None:
            sign, verdict = ("≥" if row.floor else "≤"), ("ok" if row.held else "MISSED")
            bar = f"   {sign} {row.bar:g} {row.unit}  {verdict}"
        lines.append(f"  {row.name:<{width}}  {row.value:>10.3f} {row.unit}{bar}")
    return "\n".join(lines)


def save(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def insert(path: Path, name: str, text: str) -> None:
    """Replace what a document has between the comments ``begin NAME`` and ``end NAME``.

    Raises ValueError where it has none.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    head, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        message = f"{path} has no {begin} … {end}"
        raise ValueError(message)
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")
