"""Time lost waiting for CPU, memory and disks (pressure stall information)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.procfs import read_or_none

if TYPE_CHECKING:
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "pressure",
    "Time lost waiting for a resource (PSI); missing on kernels that do not keep it.",
    {"resource": "`cpu`, `memory` or `io`"},
    {
        "some_avg10_percent": Field("percent", "some task waited, mean over 10 s", 0, 100),
        "some_avg60_percent": Field("percent", "some task waited, mean over 60 s", 0, 100),
        "full_avg10_percent": Field("percent", "all tasks waited, mean over 10 s", 0, 100),
        "full_avg60_percent": Field("percent", "all tasks waited, mean over 60 s", 0, 100),
    },
)
_AVERAGES = (b"avg10", b"avg60")


class PressureCollector(Collector):
    """``/proc/pressure/*``."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``."""
        self._tree = tree

    def collect(self, now: float) -> list[Point]:
        """Return one point a resource that the kernel keeps."""
        del now  # averages are the kernel's own
        points = []
        for resource in ("cpu", "memory", "io"):
            data = read_or_none(f"{self._tree.paths.proc}/pressure/{resource}")
            fields = parse(data) if data else {}
            if fields:
                points.append(Point("pressure", {"resource": resource}, fields))
        return points


def parse(data: bytes) -> dict[str, float]:
    """Return the fields in lines such as ``some avg10=0.00 avg60=0.00 avg300=0.00 total=0``."""
    fields: dict[str, float] = {}
    for line in data.split(b"\n"):
        kind, _, rest = line.partition(b" ")
        if kind not in (b"some", b"full"):
            continue
        for pair in rest.split():
            name, _, value = pair.partition(b"=")
            if name in _AVERAGES:
                fields[f"{kind.decode()}_{name.decode()}_percent"] = float(value)
    return fields
