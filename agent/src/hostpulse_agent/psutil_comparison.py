"""Self test: compares readings of the collectors with psutil's.

The collectors read ``/proc`` themselves, because psutil costs 5 MiB resident for as long as a
process lives. ``hostpulse-agent check`` lives for a second, so it can afford psutil as a second,
independent reader of this kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.memory import MemoryCollector
from hostpulse_agent.collectors.network import NetworkCollector
from hostpulse_agent.collectors.procfs import Tree
from hostpulse_agent.collectors.swap import SwapCollector

if TYPE_CHECKING:
    from hostpulse_agent.collectors.base import Collector

# used swap moves between two readings; a wrong unit or a wrong line is off by far more
_MOVES = 0.1


def differences(tree: Tree | None = None) -> list[str]:
    """Return one sentence for each reading on which the collectors and psutil differ.

    Raises ``ImportError`` where psutil is not installed, ``OSError`` and ``ValueError`` as the
    collectors do.
    """
    import psutil  # noqa: PLC0415 -- 5 MiB that only this command pays

    tree = tree or Tree()
    swap = psutil.swap_memory()
    ours = {
        **_fields(MemoryCollector(tree), "memory"),
        **_fields(SwapCollector(tree), "swap"),
    }
    found = [
        f"{name} is {ours.get(name)}, psutil reads {theirs}"
        for name, theirs, slack in (
            ("memory.total_bytes", psutil.virtual_memory().total, 0.0),
            ("swap.total_bytes", swap.total, 0.0),
            ("swap.used_bytes", swap.used, _MOVES * swap.total),
        )
        if abs(ours.get(name, float("-inf")) - theirs) > slack
    ]
    seen = {point.tags["interface"] for point in NetworkCollector(tree).collect(0.0)}
    unknown = sorted(seen - set(psutil.net_io_counters(pernic=True)))
    return [*found, *(f"psutil knows no interface {name}" for name in unknown)]


def _fields(collector: Collector, measurement: str) -> dict[str, float]:
    (point,) = collector.collect(0.0)
    return {f"{measurement}.{name}": value for name, value in point.fields.items()}
