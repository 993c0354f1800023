"""Generates documents from the agent's catalogues: ``python -m tools.docs.agent_metrics``.

Writes docs/metrics.md, and the names that a rule may use for the server, which does not import the
agent's code. An argument names another root of the tree to write into.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostpulse_agent.collectors import CATALOGUES
from hostpulse_agent.collectors.base import INFINITY, Catalogue, Field
from hostpulse_agent.collectors.disk import DEADLINE_S
from hostpulse_agent.collectors.facts import FACTS
from hostpulse_agent.collectors.processes import INTERVAL_S
from hostpulse_agent.config import CollectorsConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_INTRODUCTION = """\
# Metrics

<!-- Written by `python -m tools.docs.agent_metrics` from the catalogues in
agent/src/hostpulse_agent/collectors/. Change those, then write this file anew. -->

What the agent measures, each 10 s unless configured otherwise. Every measurement carries the tag
`server_id` in the store. Rates are per second over the time that really passed; a first reading,
or a counter that went backwards, gives no value. A field that cannot be known is missing, never
0. A value outside its range is a fault of the collector and is not sent. What the server measures
about its hosts and itself is in [server-metrics.md](server-metrics.md).
"""
_PROCESSES = f"""\
## processes

Not a measurement: rows that go with a sample, for looking at one moment. The processes that used
most CPU, then memory: `name` (the kernel's `comm`; arguments are never read), `pid`,
`cpu_percent` (of one core, so it may exceed 100), `rss_bytes`. Looked at each {INTERVAL_S:.0f} s,
less often on a host with thousands of processes: a scan may use at most 1/40 % of a core.
"""
_NAMES = '''\
"""What agents measure: the names of tags and fields by measurement.

Written by ``python -m tools.docs.agent_metrics`` from the agent's catalogues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGS: Final[Mapping[str, tuple[str, ...]]] = {
'''


def render() -> str:
    """Return the whole document."""
    parts = [_INTRODUCTION, _contents()]
    parts += [_section(catalogue) for catalogue in CATALOGUES]
    parts += [_PROCESSES, _facts(), _defaults()]
    return "\n".join(parts)


def _contents() -> str:
    return "".join(f"- [{c.measurement}](#{c.measurement}): {c.summary}\n" for c in CATALOGUES)


def _section(catalogue: Catalogue) -> str:
    lines = [f"## {catalogue.measurement}\n\n{catalogue.summary}\n\n"]
    if catalogue.tags:
        lines.append(_table(("tag", "meaning"), [(f"`{k}`", v) for k, v in catalogue.tags.items()]))
        lines.append("\n")
    rows = [
        (f"`{name}`", field.unit, field.meaning, _range(field))
        for name, field in catalogue.fields.items()
    ]
    lines.append(_table(("field", "unit", "meaning", "range"), rows))
    return "".join(lines)


def _range(field: Field) -> str:
    if field.low == -INFINITY:
        return "any"
    return f"≥ {field.low:g}" if field.high == INFINITY else f"{field.low:g} to {field.high:g}"


def _facts() -> str:
    rows = [(f"`{name}`", meaning) for name, meaning in FACTS.items()]
    text = "Sent with the first sample of a run and then hourly; they replace what was known.\n"
    return f"## Facts of a host\n\n{text}\n{_table(('fact', 'meaning'), rows)}"


def _defaults() -> str:
    """List every key of every collector's section with its default, from the configuration."""
    rows = []
    for name, section in CollectorsConfig()._asdict().items():
        for key, value in section._asdict().items():
            rows.append((f"`[collectors.{name}]`", f"`{key}`", _default(name, key, value)))
    text = (
        "Any collector can be made slower by `interval`. A filesystem that does not answer within "
        f"{DEADLINE_S / 3:g} s is reported as hung; all of them together may take {DEADLINE_S:g} s."
    )
    return f"## Settings\n\n{text}\n\n{_table(('section', 'key', 'default'), rows)}"


def _default(name: str, key: str, value: object) -> str:
    if key == "interval" and value is None:
        return f"{INTERVAL_S:g} s" if name == "processes" else "every sample"
    if isinstance(value, tuple):
        return " ".join(f"`{item}`" for item in value)
    return f"`{value}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


def render_names() -> str:
    """Return the module of the server that knows the names, as ruff formats it."""
    lines = [f'    "{c.measurement}": {_tuple(c.tags)},' for c in CATALOGUES]
    lines += ["}", "FIELDS: Final[Mapping[str, tuple[str, ...]]] = {"]
    for catalogue in CATALOGUES:
        names = (f'        "{name}",' for name in catalogue.fields)
        lines += [f'    "{catalogue.measurement}": (', *names, "    ),"]
    return _NAMES + "\n".join([*lines, "}"]) + "\n"


def _tuple(names: Iterable[str]) -> str:
    shown = [f'"{name}"' for name in names]
    return f"({shown[0]},)" if len(shown) == 1 else f"({', '.join(shown)})"


# by its place in the tree
WRITTEN = {
    "docs/metrics.md": render,
    "app/src/hostpulse_server/rules/metric_names_generated.py": render_names,
}


def main(arguments: Sequence[str]) -> None:
    """Write all into the tree whose root is named, or into the one that this is run from."""
    root = Path(arguments[0] if arguments else ".")
    for place, text in WRITTEN.items():
        (root / place).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
