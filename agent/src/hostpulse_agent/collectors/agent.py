"""Catalogue of the agent's own measurement; ``service.py`` provides the values."""

from __future__ import annotations

from hostpulse_agent.collectors.base import INFINITY, Catalogue, Field

CATALOGUE = Catalogue(
    "agent",
    "What watching costs, and what did not get through.",
    {},
    {
        "cycle_ms": Field("milliseconds", "time the sample before took to collect"),
        "cpu_percent": Field("percent", "CPU time of agent and helper, of one core"),
        "rss_bytes": Field("bytes", "resident memory of the agent"),
        "spool_samples": Field("count", "samples waiting to be sent"),
        "spool_oldest_seconds": Field("seconds", "age of the oldest sample that waits"),
        "sent_samples": Field("count", "samples acknowledged since the agent started"),
        "send_failures": Field("count", "requests that failed since the agent started"),
        "dropped_samples": Field("count", "samples lost from the spool, over its whole life"),
        "newly_dropped_samples": Field(
            "count", "samples lost from the spool since the sample before"
        ),
        "collector_errors": Field("count", "collectors that failed in this sample"),
        "clock_offset_ms": Field(
            "milliseconds", "server's clock - host's clock", -INFINITY, INFINITY
        ),
        "missed_ticks": Field("count", "samples not taken in time since the agent started"),
    },
)
