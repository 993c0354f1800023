"""The real sources of a sample, put together from the collectors and their helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent import collectors
from hostpulse_agent.collectors.facts import collect_facts
from hostpulse_agent.collectors.fshelper import FsHelper
from hostpulse_agent.collectors.processes import INTERVAL_S, ProcessScan
from hostpulse_agent.sampler import Probes

if TYPE_CHECKING:
    from hostpulse_agent.config import CollectorsConfig


def build(config: CollectorsConfig) -> Probes:
    """Return the collectors of this machine; ``close`` ends the helper processes."""
    helper = FsHelper()
    scan = ProcessScan(interval_s=config.processes.interval or INTERVAL_S)
    return Probes(
        collectors.build(config, helper, scan),
        pids=helper.pids,
        top=lambda: scan.top(config.processes.top),
        facts=lambda: collect_facts(disk=config.disk),
        close=helper.close,
    )
