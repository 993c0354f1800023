"""The collectors: one file a measurement, with its catalogue as data beside its code.

Adding a collector takes three steps:

1. Write ``collectors/<name>.py``: a ``CATALOGUE`` (every field with unit, meaning and sane range)
   and a ``Collector`` whose ``collect`` returns points of it. Read files through the ``Tree`` it
   is given, turn counters into rates with ``Counters``; leave a field out when it is not known.
2. Name both in the table of this file, and its interval in ``CollectorsConfig``.
3. Add its tests with a recorded tree in ``tests/collectors/`` and run
   ``python -m hostpulse_agent.collectors.document`` to write docs/metrics.md anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostpulse_agent.collectors.base import Catalogue, Collector
    from hostpulse_agent.collectors.fshelper import FsHelper
    from hostpulse_agent.collectors.processes import ProcessScan
    from hostpulse_agent.collectors.procfs import Tree
    from hostpulse_agent.config import CollectorsConfig

CATALOGUES: tuple[Catalogue, ...] = ()


def build(
    config: CollectorsConfig,
    fs: FsHelper | None = None,
    scan: ProcessScan | None = None,
    tree: Tree | None = None,
) -> list[Collector]:
    """Return the collectors that the configuration asks for.

    ``fs`` and ``scan`` may be handed in by a caller that also wants ``fs.pids()``,
    ``fs.close()`` and ``scan.top(n)``; the ``system`` collector refreshes the scan.
    """
    raise NotImplementedError
