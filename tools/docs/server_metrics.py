"""Writes docs/server-metrics.md from what the server says it measures.

``python -m tools.docs.server_metrics``; an argument names another file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostpulse_server.values.server_metrics import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.values.server_metrics import MetricMeasurement

DEFAULT = Path(__file__).resolve().parents[2] / "docs" / "server-metrics.md"
_INTRODUCTION = """\
# Metrics of the server

<!-- Written by `python -m tools.docs.server_metrics` from the catalogue in
`values/server_metrics.py` of the server. Change that, then write this file anew. -->

What the server measures about its hosts and itself, once a minute, and `alert` at once. It goes
through the journal into the store as samples do, and is queried as they are. Only `server` and
`alert` carry the tag `server_id`. A field that cannot be known is missing, never 0; so is a rate
after a restart. What the api counts, and the state of journal, shipper and alert engine, are also
at `/metrics` for Prometheus.
"""


def render() -> str:
    """Return the whole document."""
    return "\n".join([_INTRODUCTION, *(_section(name, one) for name, one in CATALOGUE.items())])


def _section(name: str, measurement: MetricMeasurement) -> str:
    tags = [(f"`{tag}`", meaning) for tag, meaning in measurement.tags.items()]
    fields = [(f"`{field}`", *about) for field, about in measurement.fields.items()]
    tables = [_table(("tag", "meaning"), tags)] if tags else []
    tables.append(_table(("field", "unit", "meaning"), fields))
    return "\n".join([f"## {name}\n\n{measurement.summary}\n", *tables])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else DEFAULT).write_text(render(), encoding="utf-8")
