"""The collectors: one file per measurement, with its catalogue as data and its code.

Adding a collector takes three steps:

1. Write ``collectors/<name>.py``: a ``CATALOGUE`` (every field with unit, meaning and sane range)
   and a ``Collector`` whose ``collect`` returns points of it. Read files through the ``Tree`` it
   is given, turn counters into rates with ``Counters``; leave a field out when it is not known.
2. Name both in the table of this file, and its interval in ``CollectorsConfig``.
3. Add its tests with a recorded tree in ``tests/collectors/`` and run
   ``python -m tools.docs.agent_metrics``, which writes docs/metrics.md and the names that the
   server's ``rules check`` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors import (
    agent,
    connections,
    cpu,
    disk,
    diskio,
    kernel,
    memory,
    network,
    pressure,
    swap,
    system,
)
from hostpulse_agent.collectors.processes import INTERVAL_S, ProcessScan
from hostpulse_agent.collectors.procfs import Tree
from hostpulse_agent.collectors.statvfs_client import StatvfsClient

if TYPE_CHECKING:
    from hostpulse_agent.collectors.base import Catalogue, Collector
    from hostpulse_agent.config import CollectorsConfig

CATALOGUES: tuple[Catalogue, ...] = (
    cpu.CATALOGUE,
    system.CATALOGUE,
    memory.CATALOGUE,
    swap.CATALOGUE,
    disk.CATALOGUE,
    diskio.CATALOGUE,
    network.CATALOGUE,
    connections.CATALOGUE,
    pressure.CATALOGUE,
    kernel.CATALOGUE,
    agent.CATALOGUE,
)


def build(
    config: CollectorsConfig,
    statvfs: StatvfsClient | None = None,
    scan: ProcessScan | None = None,
    tree: Tree | None = None,
) -> list[Collector]:
    """Return the collectors, configured.

    A caller that wants ``statvfs.pids()``, ``statvfs.close()`` or ``scan.top(n)`` passes its
    own; the ``system`` collector keeps the scan fresh. ``disk`` comes last, because it may take
    seconds.
    """
    tree = tree or Tree()
    scan = scan or ProcessScan(tree, config.processes.interval or INTERVAL_S)
    table: list[tuple[Collector, float | None]] = [
        (cpu.CpuCollector(tree, config.cpu.per_core), config.cpu.interval),
        (system.SystemCollector(tree, scan), config.system.interval),
        (memory.MemoryCollector(tree), config.memory.interval),
        (swap.SwapCollector(tree), config.swap.interval),
        (diskio.DiskioCollector(tree), config.diskio.interval),
        (
            network.NetworkCollector(tree, config.network.exclude_interfaces),
            config.network.interval,
        ),
        (connections.ConnectionsCollector(tree), config.connections.interval),
        (pressure.PressureCollector(tree), config.pressure.interval),
        (kernel.KernelCollector(tree), config.kernel.interval),
        (
            disk.DiskCollector(
                tree,
                statvfs or StatvfsClient(),
                config.disk.exclude_fstypes,
                config.disk.exclude_mounts,
            ),
            config.disk.interval,
        ),
    ]
    for collector, interval in table:
        collector.interval_s = interval
    return [collector for collector, _ in table]
