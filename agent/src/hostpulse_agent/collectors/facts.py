"""Facts of the host (hardware, OS, mounts, interfaces): sent rarely, stored by the registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hostpulse_agent.collectors import mounts
from hostpulse_agent.collectors.procfs import Paths, meminfo, read_or_none, tag_value
from hostpulse_agent.config import DiskConfig

if TYPE_CHECKING:
    from typing import Any

FACTS = {
    "hostname": "the host's own name",
    "os": "name and version, as os-release's `PRETTY_NAME`",
    "os_id": "os-release's `ID`, such as `debian`",
    "os_version": "os-release's `VERSION_ID`",
    "kernel": "kernel release",
    "architecture": "machine, such as `x86_64`",
    "cpus": "cores online",
    "cpu_model": "model of the first core",
    "memory_bytes": "physical memory",
    "swap_bytes": "swap space",
    "boot_time": "when the kernel started, epoch milliseconds",
    "mounts": "measured filesystems: `mount`, `device`, `type`",
    "interfaces": "network interfaces: `name`, `mac`",
}
_MOST = 64


def collect_facts(paths: Paths | None = None, disk: DiskConfig | None = None) -> dict[str, Any]:
    """Return the host's facts by the names in ``FACTS``; what cannot be read is left out.

    ``disk`` is the disk collector's configuration: facts and points name the same mounts.
    """
    paths = paths or Paths()
    disk = disk or DiskConfig()
    release = os_release(read_or_none(f"{paths.etc}/os-release") or b"")
    kernel = os.uname()
    stat = read_or_none(f"{paths.proc}/stat") or b""
    info = meminfo(read_or_none(f"{paths.proc}/meminfo") or b"")
    facts: dict[str, Any] = {
        "hostname": kernel.nodename,
        "os": release.get("PRETTY_NAME"),
        "os_id": release.get("ID"),
        "os_version": release.get("VERSION_ID"),
        "kernel": kernel.release,
        "architecture": kernel.machine,
        "cpus": stat.count(b"\ncpu") or None,
        "cpu_model": _cpu_model(read_or_none(f"{paths.proc}/cpuinfo") or b""),
        "memory_bytes": _bytes(info, b"MemTotal"),
        "swap_bytes": _bytes(info, b"SwapTotal"),
        "boot_time": _boot_time(stat),
        "mounts": _mounts(paths, disk),
        "interfaces": _interfaces(paths),
    }
    return {name: value for name, value in facts.items() if value is not None}


def os_release(data: bytes) -> dict[str, str]:
    """Parse os-release(5): shell-like assignments, values perhaps in quotes."""
    table = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            table[name] = value.replace("\\", "")
    return table


def _cpu_model(cpuinfo: bytes) -> str | None:
    for line in cpuinfo.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip() == b"model name":
            return tag_value(value.strip())
    return None


def _bytes(info: dict[bytes, int], name: bytes) -> int | None:
    return info[name] * 1024 if name in info else None


def _boot_time(stat: bytes) -> int | None:
    _, _, rest = stat.partition(b"\nbtime ")
    return int(rest.split(b"\n", 1)[0]) * 1000 if rest else None


def _mounts(paths: Paths, disk: DiskConfig) -> list[dict[str, str]] | None:
    data = read_or_none(f"{paths.proc}/self/mountinfo")
    if data is None:
        return None
    chosen = mounts.choose(mounts.parse(data), disk.exclude_fstypes, disk.exclude_mounts)
    return [{"mount": m.tag, "device": m.device, "type": m.kind} for m in chosen[:_MOST]]


def _interfaces(paths: Paths) -> list[dict[str, str]] | None:
    base = f"{paths.sys}/class/net"
    try:
        names = sorted(os.listdir(base))
    except OSError:
        return None
    rows = []
    for name in names:
        address = read_or_none(f"{base}/{name}/address")
        # Interfaces of software (containers, bridges, loopback) have no device behind them.
        if address and os.path.exists(f"{base}/{name}/device"):
            rows.append({"name": name, "mac": address.decode().strip()})
    return rows[:_MOST]
