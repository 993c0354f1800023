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
