"""What agents measure: the names of tags and fields by measurement.

Written by ``python -m tools.docs.agent_metrics`` from the agent's catalogues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "cpu": ("core",),
    "system": (),
    "memory": (),
    "swap": (),
    "disk": ("mount",),
    "diskio": ("device",),
    "network": ("interface",),
    "connections": (),
    "pressure": ("resource",),
    "kernel": (),
    "agent": (),
}
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "cpu": (
        "usage_percent",
        "user_percent",
        "nice_percent",
        "system_percent",
        "idle_percent",
        "iowait_percent",
        "irq_percent",
        "softirq_percent",
        "steal_percent",
    ),
    "system": (
        "load1",
        "load5",
        "load15",
        "load_per_core",
        "cores",
        "uptime_seconds",
        "processes_running",
        "processes_blocked",
        "processes_zombie",
        "processes_uninterruptible",
        "context_switches_per_second",
        "units_failed",
        "raid_degraded",
    ),
    "memory": (
        "total_bytes",
        "available_bytes",
        "used_bytes",
        "free_bytes",
        "buffers_bytes",
        "cached_bytes",
        "shared_bytes",
        "slab_bytes",
        "hugepages_bytes",
        "used_percent",
    ),
    "swap": (
        "total_bytes",
        "used_bytes",
        "free_bytes",
        "used_percent",
        "in_bytes_per_second",
        "out_bytes_per_second",
    ),
    "disk": (
        "total_bytes",
        "used_bytes",
        "available_bytes",
        "used_percent",
        "inodes_total",
        "inodes_used_percent",
        "readonly",
        "hung",
    ),
    "diskio": (
        "read_bytes_per_second",
        "write_bytes_per_second",
        "reads_per_second",
        "writes_per_second",
        "busy_percent",
        "await_ms",
    ),
    "network": (
        "rx_bytes_per_second",
        "tx_bytes_per_second",
        "rx_packets_per_second",
        "tx_packets_per_second",
        "rx_errors_per_second",
        "tx_errors_per_second",
        "rx_drops_per_second",
        "tx_drops_per_second",
        "packet_loss_percent",
        "link_up",
        "speed_bits_per_second",
    ),
    "connections": (
        "tcp_established",
        "tcp_time_wait",
        "tcp_orphan",
        "tcp_alloc",
        "udp_in_use",
        "tcp_retransmit_percent",
        "tcp_listen_overflows_per_second",
    ),
    "pressure": (
        "some_avg10_percent",
        "some_avg60_percent",
        "full_avg10_percent",
        "full_avg60_percent",
    ),
    "kernel": (
        "oom_kills",
        "open_files_percent",
        "conntrack_percent",
    ),
    "agent": (
        "cycle_ms",
        "cpu_percent",
        "rss_bytes",
        "spool_samples",
        "spool_oldest_seconds",
        "sent_samples",
        "send_failures",
        "dropped_samples",
        "newly_dropped_samples",
        "collector_errors",
        "clock_offset_ms",
        "missed_ticks",
    ),
}
