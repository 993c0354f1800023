"""The sample that benchmarks send: what a host with four cores sends by docs/metrics.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

_NETWORK = (
    "rx_bytes_per_second tx_bytes_per_second rx_packets_per_second tx_packets_per_second "
    "rx_errors_per_second tx_errors_per_second rx_drops_per_second tx_drops_per_second "
    "packet_loss_percent link_up speed_bits_per_second"
)
_DISK = (
    "total_bytes used_bytes available_bytes used_percent inodes_total inodes_used_percent "
    "readonly hung"
)
_DISKIO = (
    "read_bytes_per_second write_bytes_per_second reads_per_second writes_per_second "
    "busy_percent await_ms"
)
_PRESSURE = "some_avg10_percent some_avg60_percent full_avg10_percent full_avg60_percent"
POINTS: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "cpu",
        {"core": "total"},
        (
            "usage_percent user_percent system_percent nice_percent iowait_percent irq_percent "
            "softirq_percent steal_percent idle_percent"
        ),
    ),
    *(("cpu", {"core": str(core)}, "usage_percent") for core in range(4)),
    (
        "system",
        {},
        (
            "load1 load5 load15 load_per_core cores uptime_seconds processes_running "
            "processes_blocked processes_zombie processes_uninterruptible "
            "context_switches_per_second units_failed raid_degraded"
        ),
    ),
    (
        "memory",
        {},
        (
            "total_bytes available_bytes used_bytes free_bytes buffers_bytes cached_bytes "
            "shared_bytes slab_bytes hugepages_bytes used_percent"
        ),
    ),
    (
        "swap",
        {},
        "total_bytes used_bytes free_bytes used_percent in_bytes_per_second out_bytes_per_second",
    ),
    *(("disk", {"mount": mount}, _DISK) for mount in ("/", "/boot", "/srv")),
    *(("diskio", {"device": device}, _DISKIO) for device in ("nvme0n1", "dm-0")),
    *(("network", {"interface": name}, _NETWORK) for name in ("eth0", "eth1")),
    (
        "connections",
        {},
        (
            "tcp_established tcp_time_wait tcp_orphan tcp_alloc udp_in_use tcp_retransmit_percent "
            "tcp_listen_overflows_per_second"
        ),
    ),
    *(("pressure", {"resource": name}, _PRESSURE) for name in ("cpu", "memory", "io")),
    ("kernel", {}, "oom_kills open_files_percent conntrack_percent"),
    (
        "agent",
        {},
        (
            "cycle_ms cpu_percent rss_bytes spool_samples spool_oldest_seconds sent_samples "
            "send_failures dropped_samples collector_errors clock_offset_ms missed_ticks"
        ),
    ),
)
FIELDS = sum(len(names.split()) for _, _, names in POINTS)


def sample(seq: int, time_ms: int, rng: random.Random) -> dict[str, Any]:
    """Return one sample of 21 points."""
    points = []
    for measurement, tags, names in POINTS:
        fields = {name: _value(name, rng) for name in names.split()}
        point: dict[str, Any] = {"measurement": measurement}
        if tags:
            point["tags"] = tags
        points.append({**point, "fields": fields})
    return {
        "seq": seq,
        "time": time_ms,
        "mono_ms": 10_000 * seq,
        "interval_ms": 10_000,
        "dropped": {},
        "points": points,
    }


def envelope(server_id: str, stream: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body of a request.

    Without ``sent_at``: the load generator repeats its bodies, and a time that falls behind would
    look like a clock that drifts a second a second, which the registry would write down.
    """
    return {
        "schema": 1,
        "server_id": server_id,
        "agent": {"version": "0.1.0", "stream": stream, "machine": "ab" * 32},
        "samples": samples,
    }


def _value(name: str, rng: random.Random) -> float | int:
    if name.endswith("_bytes"):
        return rng.randrange(10**11)
    if name.endswith("_percent"):
        return round(rng.uniform(0, 100), 2)
    return round(rng.uniform(0, 1000), 1)
