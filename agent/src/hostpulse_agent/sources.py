"""Builds the sources of a sample on this host: collectors, helpers, processes and facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent import collectors
from hostpulse_agent.collectors.facts import collect_facts
from hostpulse_agent.collectors.processes import INTERVAL_S, ProcessScan
from hostpulse_agent.collectors.statvfs_client import StatvfsClient
from hostpulse_agent.sampler import Sources

if TYPE_CHECKING:
    from hostpulse_agent.config import CollectorsConfig


def build(config: CollectorsConfig) -> Sources:
    """Return the sources of this host; ``close`` ends the helper processes."""
    statvfs = StatvfsClient()
    scan = ProcessScan(interval_s=config.processes.interval or INTERVAL_S)
    return Sources(
        collectors.build(config, statvfs, scan),
        pids=statvfs.pids,
        top=lambda: scan.top(config.processes.top),
        facts=lambda: collect_facts(disk=config.disk),
        close=statvfs.close,
    )
