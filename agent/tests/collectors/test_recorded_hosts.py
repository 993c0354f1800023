"""What the collectors say of recorded hosts, number by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostpulse_agent.collectors.connections import ConnectionsCollector
from hostpulse_agent.collectors.disk import DiskCollector
from hostpulse_agent.collectors.diskio import DiskioCollector
from hostpulse_agent.collectors.kernel import KernelCollector
from hostpulse_agent.collectors.memory import MemoryCollector
from hostpulse_agent.collectors.network import NetworkCollector
from hostpulse_agent.collectors.pressure import PressureCollector
from hostpulse_agent.collectors.processes import ProcessScan
from hostpulse_agent.collectors.swap import SwapCollector
from hostpulse_agent.collectors.system import SystemCollector, degraded

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host

    from hostpulse_agent.collectors.statvfs_client import StatvfsClient

KIB = 1024
EXCLUDED = ("proc", "sysfs", "tmpfs"), ("^/var/lib/docker/",)


def test_system_counts_what_runs_and_what_is_stuck(host: Callable[[str], Host]) -> None:
    """Load, cores, tasks, zombies, uninterruptible waits and context switches."""
    recorded = host("lvm-host")
    collector = SystemCollector(recorded.tree, ProcessScan(recorded.tree))
    assert recorded.twice(collector)[0].fields == pytest.approx(
        {
            "load1": 2.0,
            "load5": 1.5,
            "load15": 0.75,
            "load_per_core": 0.5,
            "cores": 4,
            "uptime_seconds": 86410.5,
            "processes_running": 3,
            "processes_blocked": 1,
            "processes_zombie": 1,
            "processes_uninterruptible": 1,
            "context_switches_per_second": 1234.0,
            "raid_degraded": 0,
        }
    )


def test_a_raid_that_lacks_a_member_is_degraded(host: Callable[[str], Host]) -> None:
    """Of two arrays one has two of three members."""
    recorded = host("raid-host")
    collector = SystemCollector(recorded.tree, ProcessScan(recorded.tree))
    points = collector.collect(0.0)
    assert points[0].fields["raid_degraded"] == 1
    assert collector.names == {"arrays": ["md127"]}
    assert degraded(b"md0 : active raid1 sda1[0]\n  100 blocks super 1.2 [2/1] [U_]\n") == 1


def test_what_changes_seldom_is_asked_again_after_a_minute(host: Callable[[str], Host]) -> None:
    """A repaired array is seen within a minute, and not looked for at every tick."""
    recorded = host("raid-host")
    collector = SystemCollector(recorded.tree, ProcessScan(recorded.tree))
    collector.collect(0.0)
    recorded.write("proc/mdstat", "md127 : active raid5 [3/3] [UUU]\n")
    assert collector.collect(50.0)[0].fields["raid_degraded"] == 1
    assert collector.collect(60.0)[0].fields["raid_degraded"] == 0


def test_memory_in_use_is_what_is_not_available(host: Callable[[str], Host]) -> None:
    """Caches are available; huge pages are pages times their size."""
    fields = MemoryCollector(host("lvm-host").tree).collect(0.0)[0].fields
    assert fields == pytest.approx(
        {
            "total_bytes": 8000000 * KIB,
            "available_bytes": 6000000 * KIB,
            "used_bytes": 2000000 * KIB,
            "free_bytes": 1000000 * KIB,
            "buffers_bytes": 200000 * KIB,
            "cached_bytes": 3000000 * KIB,
            "shared_bytes": 50000 * KIB,
            "slab_bytes": 400000 * KIB,
            "hugepages_bytes": 4 * 2048 * KIB,
            "used_percent": 25.0,
        }
    )


def test_zfs_cache_above_its_minimum_counts_as_available(host: Callable[[str], Host]) -> None:
    """The kernel takes ZFS's cache for used memory, though it gives way."""
    fields = MemoryCollector(host("raid-host").tree).collect(0.0)[0].fields
    assert fields["available_bytes"] == 1000000 * KIB + 1208000000 - 134217728


def test_the_cache_of_the_host_is_not_memory_of_its_container(host: Callable[[str], Host]) -> None:
    """A container's meminfo is mounted by lxcfs; arcstats are the host's.

    Figures of https://github.com/moghtech/komodo/pull/1635: 1.5 GiB, a cache of 6.27 GiB beside it.
    """
    recorded = host("container")
    recorded.write(
        "proc/meminfo",
        "MemTotal:        1572864 kB\nMemFree:          180000 kB\nMemAvailable:     200000 kB\n",
    )
    arcstats = "13 1 0x01\nname type data\nsize 4 6732379402\nc_min 4 262144\n"
    recorded.write("proc/spl/kstat/zfs/arcstats", arcstats)
    assert used_percent(recorded) == pytest.approx(87.284, abs=0.001)
    small = arcstats.replace("6732379402", "104857600")  # could be the container's, by its size
    recorded.write("proc/spl/kstat/zfs/arcstats", small)
    assert used_percent(recorded) < 87
    table = (recorded.root / "proc/self/mountinfo").read_text()
    lxcfs = "1206 1149 0:61 /proc/meminfo /proc/meminfo rw,nosuid - fuse.lxcfs lxcfs rw,user_id=0\n"
    recorded.write("proc/self/mountinfo", table + lxcfs)
    assert used_percent(recorded) == pytest.approx(87.284, abs=0.001)


def used_percent(host: Host) -> float:
    """Return how much memory is used."""
    return MemoryCollector(host.tree).collect(host.now)[0].fields["used_percent"]


def test_a_container_with_a_limit_has_the_memory_of_its_limit(host: Callable[[str], Host]) -> None:
    """And nothing of its host's; files that were not used lately are available (made up)."""
    recorded = host("container")
    recorded.write("sys/fs/cgroup/memory.max", "1073741824\n")
    recorded.write("sys/fs/cgroup/memory.current", "805306368\n")
    recorded.write(
        "sys/fs/cgroup/memory.stat", "file 400000000\ninactive_file 268435456\nshmem 0\n"
    )
    recorded.write("proc/meminfo", "MemTotal: 64000000 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\n")
    fields = MemoryCollector(recorded.tree).collect(recorded.now)[0].fields
    assert fields == pytest.approx(
        {
            "total_bytes": 2**30,
            "available_bytes": 2**29,
            "used_bytes": 2**29,
            "free_bytes": 2**28,
            "cached_bytes": 400000000,
            "shared_bytes": 0,
            "used_percent": 50.0,
        }
    )
    for none in ("max\n", f"{10**15}\n"):
        recorded.write("sys/fs/cgroup/memory.max", none)
        assert (
            MemoryCollector(recorded.tree).collect(0.0)[0].fields["total_bytes"] == 64000000 * KIB
        )


def test_a_kernel_without_an_estimate_is_an_error_that_says_so(host: Callable[[str], Host]) -> None:
    """Without MemAvailable nothing honest can be said."""
    recorded = host("container")
    recorded.write("proc/meminfo", "MemTotal: 100 kB\nMemFree: 10 kB\n")
    with pytest.raises(ValueError, match="no MemAvailable"):
        MemoryCollector(recorded.tree).collect(0.0)


def test_swap_has_sizes_and_traffic(host: Callable[[str], Host]) -> None:
    """500 pages came in and 2,000 went out in ten seconds."""
    recorded = host("lvm-host")
    assert recorded.twice(SwapCollector(recorded.tree))[0].fields == pytest.approx(
        {
            "total_bytes": 2000000 * KIB,
            "used_bytes": 500000 * KIB,
            "free_bytes": 1500000 * KIB,
            "used_percent": 25.0,
            "in_bytes_per_second": 500 * 4096 / 10,
            "out_bytes_per_second": 2000 * 4096 / 10,
        }
    )


def test_a_host_without_swap_uses_zero_percent_of_it(host: Callable[[str], Host]) -> None:
    """There is always a point, so that a rule needs no exception."""
    fields = SwapCollector(host("raid-host").tree).collect(0.0)[0].fields
    assert fields == {"total_bytes": 0, "used_bytes": 0, "free_bytes": 0, "used_percent": 0}


def test_disks_are_named_by_volume_and_partitions_left_out(host: Callable[[str], Host]) -> None:
    """The drive and the volume on it; no partition, loop or CD drive, nothing never used."""
    recorded = host("lvm-host")
    points = recorded.twice(DiskioCollector(recorded.tree))
    assert {point.tags["device"] for point in points} == {"sda", "vg0-root"}
    sda = next(point.fields for point in points if point.tags["device"] == "sda")
    assert sda == pytest.approx(
        {
            "reads_per_second": 10.0,
            "read_bytes_per_second": 10240 * 512 / 10,
            "writes_per_second": 10.0,
            "write_bytes_per_second": 800 * 512 / 10,
            "busy_percent": 25.0,
            "await_ms": (300 + 700) / 200,
        }
    )


def test_an_array_has_the_name_in_its_superblock(host: Callable[[str], Host]) -> None:
    """md127 is `system` to udev; md126 has no name; sda was replaced and starts anew."""
    recorded = host("raid-host")
    points = recorded.twice(DiskioCollector(recorded.tree))
    fields = {point.tags["device"]: point.fields for point in points}
    assert set(fields) == {"system", "md126", "sda"}
    assert fields["system"]["reads_per_second"] == 2.0
    assert "await_ms" not in fields["md126"]
    assert "reads_per_second" not in fields["sda"]


def test_a_device_is_never_more_than_wholly_busy(host: Callable[[str], Host]) -> None:
    """The kernel counts ticks, which may be more than the time between two readings."""
    recorded = host("lvm-host")
    points = recorded.twice(DiskioCollector(recorded.tree), seconds=2.4999)
    assert max(point.fields["busy_percent"] for point in points) == 100


def test_a_device_that_moved_to_another_number_keeps_its_name(host: Callable[[str], Host]) -> None:
    """Numbers of mapped devices are given anew; the names below are looked up again."""
    recorded = host("lvm-host")
    collector = DiskioCollector(recorded.tree)
    recorded.twice(collector)
    recorded.write("sys/block/dm-0/dm/name", "vg0-other\n")
    row = " 254       0 dm-0 {} 0 80 0 1 0 8 0 0 0 0\n"
    for reads in (5, 9, 10):  # restarts at 5, is a first reading, is known at 10
        recorded.now += 10
        recorded.write("proc/diskstats", row.format(reads))
        points = collector.collect(recorded.now)
    assert [point.tags["device"] for point in points] == ["vg0-other"]


def test_network_has_rates_loss_and_link(host: Callable[[str], Host]) -> None:
    """900 in, 90 out, 10 lost of 1,000; no loopback, veth or cable that never was."""
    recorded = host("lvm-host")
    collector = NetworkCollector(recorded.tree, ["^veth"])
    points = recorded.twice(collector)
    fields = {point.tags["interface"]: point.fields for point in points}
    assert set(fields) == {"eth0", "wg0"}
    assert "eth0" in collector.names["interfaces"], "it loses 1 %"
    assert fields["eth0"] == pytest.approx(
        {
            "rx_bytes_per_second": 100000.0,
            "tx_bytes_per_second": 20000.0,
            "rx_packets_per_second": 90.0,
            "tx_packets_per_second": 9.0,
            "rx_errors_per_second": 0.2,
            "tx_errors_per_second": 0.0,
            "rx_drops_per_second": 0.5,
            "tx_drops_per_second": 0.3,
            "packet_loss_percent": 1.0,
            "link_up": 1,
            "speed_bits_per_second": 10e9,
        }
    )
    assert "packet_loss_percent" not in fields["wg0"]  # ten packets are no sample
    assert "speed_bits_per_second" not in fields["wg0"]


def test_a_pulled_cable_is_seen_at_once_and_its_speed_asked_anew(
    host: Callable[[str], Host],
) -> None:
    """The carrier is read at each tick, the speed when it may have changed."""
    recorded = host("raid-host")
    collector = NetworkCollector(recorded.tree)
    seen = []
    for carrier, speed in (("1", "1000"), ("1", "100"), ("0", "-1"), ("1", "100")):
        recorded.write("sys/class/net/eno1/carrier", carrier)
        recorded.write("sys/class/net/eno1/speed", speed)
        recorded.now += 10
        fields = collector.collect(recorded.now)[0].fields
        seen.append((fields["link_up"], fields.get("speed_bits_per_second")))
        assert collector.names == {"interfaces": [] if carrier == "1" else ["eno1"]}
    assert seen == [(1, 1e9), (1, 1e9), (0, None), (1, 1e8)]


def test_an_interface_that_was_reset_has_no_rates(host: Callable[[str], Host]) -> None:
    """Counters that went back give no value, not a spike; the link is still known."""
    recorded = host("raid-host")
    fields = recorded.twice(NetworkCollector(recorded.tree))[0].fields
    zero = ["rx_errors", "tx_errors", "rx_drops", "tx_drops"]
    assert set(fields) == {
        *(f"{name}_per_second" for name in zero),
        "link_up",
        "speed_bits_per_second",
    }


def test_connections_come_from_the_kernels_sums(host: Callable[[str], Host]) -> None:
    """UDP is IPv4 and IPv6 together; the TCP sums hold both already."""
    recorded = host("lvm-host")
    assert recorded.twice(ConnectionsCollector(recorded.tree))[0].fields == pytest.approx(
        {
            "tcp_established": 42,
            "tcp_time_wait": 17,
            "tcp_orphan": 2,
            "tcp_alloc": 55,
            "udp_in_use": 11,
            "tcp_retransmit_percent": 1.5,
            "tcp_listen_overflows_per_second": 2.0,
            "tcp_listen_overflows_total": 27,
        }
    )


def test_what_is_counted_since_boot_is_there_from_the_first_reading(
    host: Callable[[str], Host],
) -> None:
    """Whoever missed samples sees by it what happened meanwhile."""
    recorded = host("lvm-host")
    (kernel,) = KernelCollector(recorded.tree).collect(0.0)
    assert (kernel.fields["oom_kills_total"], "oom_kills" in kernel.fields) == (3, False)
    (connections,) = ConnectionsCollector(recorded.tree).collect(0.0)
    assert connections.fields["tcp_listen_overflows_total"] == 7


def test_a_silent_host_without_ipv6_has_connections_too(host: Callable[[str], Host]) -> None:
    """No segment was sent, so there is no share of them that was sent again."""
    recorded = host("raid-host")
    fields = recorded.twice(ConnectionsCollector(recorded.tree))[0].fields
    assert fields["udp_in_use"] == 2
    assert "tcp_retransmit_percent" not in fields


def test_pressure_is_missing_where_the_kernel_keeps_none(host: Callable[[str], Host]) -> None:
    """Debian 11 kernels start without it; that is no error."""
    assert PressureCollector(host("raid-host").tree).collect(0.0) == []


def test_pressure_has_a_point_for_each_resource(host: Callable[[str], Host]) -> None:
    """`some` and `full`, over ten and sixty seconds."""
    points = PressureCollector(host("lvm-host").tree).collect(0.0)
    assert [point.tags["resource"] for point in points] == ["cpu", "memory", "io"]
    assert points[2].fields == {
        "some_avg10_percent": 1.5,
        "some_avg60_percent": 2.25,
        "full_avg10_percent": 4.56,
        "full_avg60_percent": 0.1,
    }


def test_kernel_limits_and_kills_since_the_sample_before(host: Callable[[str], Host]) -> None:
    """Two processes were killed between the readings."""
    recorded = host("lvm-host")
    fields = recorded.twice(KernelCollector(recorded.tree))[0].fields
    assert fields == pytest.approx(
        {
            "oom_kills": 2,
            "oom_kills_total": 5,
            "open_files_percent": 1.0,
            "conntrack_percent": 10.0,
        },
        rel=1e-3,
    )


def test_a_host_without_connection_tracking_has_no_share_of_it(host: Callable[[str], Host]) -> None:
    """The table is not there until a firewall wants it."""
    fields = KernelCollector(host("container").tree).collect(0.0)[0].fields
    assert set(fields) == {"oom_kills_total", "open_files_percent"}


def test_disk_says_what_it_can_of_mounts_it_cannot_measure(
    host: Callable[[str], Host], statvfs_client: StatvfsClient
) -> None:
    """``readonly`` is the superblock's, not the mount's, even if the directory is closed."""
    recorded = host("lvm-host")
    points = DiskCollector(recorded.tree, statvfs_client, *EXCLUDED).collect(0.0)
    fields = {point.tags["mount"]: point.fields for point in points}
    assert fields["/srv/my data"] == {"readonly": 1, "hung": 0}
    assert fields["/"]["readonly"] == 0
    assert fields["/"]["total_bytes"] > 0


def test_files_bound_from_a_host_into_a_container_are_no_disks(
    host: Callable[[str], Host], statvfs_client: StatvfsClient
) -> None:
    """A container's /etc/hosts is a file on a disk of its host, not a mount to measure."""
    recorded = host("container")
    points = DiskCollector(recorded.tree, statvfs_client, *EXCLUDED).collect(0.0)
    assert [point.tags["mount"] for point in points] == ["/"]


# https://github.com/netdata/netdata/issues/5744, a second reading made up
MULTIPATH = """\
   0       0 nvme3c33n1 682 0 16148 59 67891 258573 17174264 58210 0 584 36052 0 0 0 0
 259      13 nvme3n1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
"""


def test_a_namespace_has_the_traffic_of_its_paths_once(host: Callable[[str], Host]) -> None:
    """Native NVMe multipathing: figures stand at a path, which has no node."""
    recorded = host("container")
    for name in ("nvme3c33n1", "nvme3n1"):
        recorded.write(f"sys/block/{name}/stat", "")
    recorded.write("sys/block/nvme3n1/dev", "259:13\n")
    recorded.write("proc/diskstats", MULTIPATH)
    collector = DiskioCollector(recorded.tree)
    collector.collect(recorded.now)
    recorded.now += 10
    both = MULTIPATH.replace("16148", "18196")
    recorded.write("proc/diskstats", both)
    (point,) = collector.collect(recorded.now)
    assert point.tags == {"device": "nvme3n1"}
    assert point.fields["read_bytes_per_second"] == 2048 * 512 / 10
    # a kernel that counts at the namespace, too: its figures count, and the path's no more
    for sectors in ("90", "180"):
        recorded.now += 10
        recorded.write("proc/diskstats", both.replace("nvme3n1 0 0 0", f"nvme3n1 9 0 {sectors}"))
        points = collector.collect(recorded.now)
    (point,) = points
    assert point.fields["read_bytes_per_second"] == 90 * 512 / 10


def test_a_whole_device_without_a_node_counts(host: Callable[[str], Host]) -> None:
    """Only a partition has no directory in /sys/block (made up)."""
    recorded = host("container")
    row = "   8       0 {} {} 0 8 1 1 0 8 1 0 1 1 0 0 0 0\n"
    recorded.write("sys/block/hidden0/stat", "")
    recorded.write("proc/diskstats", row.format("hidden0", 1) + row.format("hidden0p1", 1))
    collector = DiskioCollector(recorded.tree)
    collector.collect(recorded.now)
    recorded.now += 10
    recorded.write("proc/diskstats", row.format("hidden0", 11) + row.format("hidden0p1", 11))
    assert [one.tags["device"] for one in collector.collect(recorded.now)] == ["hidden0"]


@pytest.mark.parametrize("speed", ["-1", "0", "65535", "4294967295"])
def test_a_speed_that_no_driver_knows_is_missing(host: Callable[[str], Host], speed: str) -> None:
    """65.5 Gbit/s and 4.3 Pbit/s are how two drivers write that they do not know."""
    recorded = host("container")
    recorded.write("sys/class/net/eth0/speed", f"{speed}\n")
    points = NetworkCollector(recorded.tree).collect(recorded.now)
    assert points
    assert all("speed_bits_per_second" not in one.fields for one in points)
