"""The committed dashboards, as tests read them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"


class Question(NamedTuple):
    """A query of a dashboard: of which panel, variable or annotation, and its Flux."""

    owner: str
    flux: str
    interval_ms: int = 0
    points: int = 0


@dataclass(frozen=True)
class Dashboard:
    """A file's name without its ending, its text, and what that says."""

    name: str
    text: str
    document: dict[str, Any]

    @classmethod
    def of(cls, name: str, text: str) -> Dashboard:
        """Read a text."""
        return cls(name, text, json.loads(text))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield everything on the grid, the insides of folded rows too."""
        for one in self.document["panels"]:
            yield one
            yield from one.get("panels", ())

    def panels(self) -> list[dict[str, Any]]:
        """Return what shows data."""
        return [one for one in self.rows() if one["type"] != "row"]

    def variables(self) -> list[dict[str, Any]]:
        """Return the variables in their order."""
        return list(self.document["templating"]["list"])

    def asking(self) -> Iterator[tuple[str, list[Question]]]:
        """Yield all that asks something, variables, annotations and panels, with its queries."""
        for one in self.variables():
            if one["type"] == "query":
                name = f"variable {one['name']}"
                yield name, [Question(name, one["query"])]
        for one in self.document["annotations"]["list"]:
            name = f"annotation {one['name']}"
            yield name, [Question(name, one["target"]["query"])]
        for panel in self.panels():
            # a title may be that of a figure and of lines
            yield f"{panel.get('title')} ({panel['type']})", list(asked_by(panel))

    def questions(self) -> Iterator[Question]:
        """Yield every query."""
        for _, questions in self.asking():
            yield from questions


def asked_by(panel: dict[str, Any]) -> Iterator[Question]:
    """Yield a panel's queries."""
    for target in panel.get("targets", ()):
        yield Question(
            f"{panel.get('title')} {target['refId']}",
            target["query"],
            _milliseconds(panel["interval"]),
            panel["maxDataPoints"],
        )


def overrides(matcher: Mapping[str, Any], column: str) -> bool:
    """Return whether a panel's override with this matcher is for a column of this name."""
    if matcher["id"] == "byRegexp":
        return re.search(matcher["options"].strip("/"), column) is not None
    return bool(matcher["id"] == "byName" and matcher["options"] == column)


def dashboards() -> list[Dashboard]:
    """Return all of them, by name."""
    return [
        Dashboard.of(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.json"))
    ]


def _milliseconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1000, "m": 60_000}[text[-1]]
