"""hostpulse-server-detail: one server, from its status down to single interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery
from tools.dashboards import alerts_flux, flux, layout, panels, thresholds, variables
from tools.dashboards import server_detail_io as io
from tools.dashboards.layout import Heading, Shelf
from tools.dashboards.panels import Named, Text
from tools.dashboards.queries import FluxBuilder

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, timeseries

UID = "hostpulse-server-detail"
_TOTAL = 'r.core == "total"'
# a server whose agent was upgraded just now has two series
_NEWEST = 'sort(columns: ["_time"]) |> last()'
_TAG = "${__field.labels.%s}"


def document() -> dict[str, Any]:
    """Return the dashboard."""
    found = layout.dashboard(
        UID,
        "hostpulse server detail",
        "One server: CPU, memory, disks, network, and the alerts that began and ended meanwhile.",
        [
            variables.datasource(),
            *variables.labels(),
            variables.server(),
            variables.of_server("mount", "Mount", "disk"),
            variables.of_server("interface", "Interface", "network"),
        ],
    )
    return layout.document(
        found,
        [
            Shelf(4, _figures()),
            Shelf(8, [_cpu_modes(), _cores()]),
            Shelf(8, [_memory(), _swap(), _swapping()], (12, 6, 6)),
            Shelf(8, [_load(), _pressure()]),
            Heading("Disks"),
            Shelf(8, [_disk_use(), _inodes()]),
            Shelf(8, [io.disk_traffic(), io.disk_operations()]),
            Shelf(8, [io.disk_latency(), io.disk_busy()]),
            Heading("Network"),
            Shelf(8, [io.traffic(), io.packets()]),
            Shelf(8, [io.errors(), io.loss()]),
            Shelf(8, [io.connections(), io.connection_trouble()]),
            Heading("Kernel and agent"),
            Shelf(8, [io.processes(), io.kernel(), io.agent()]),
        ],
        [_alerts()],
    )


def _figures() -> list[stat.Panel]:
    status = panels.figure(
        Text("Status", "Whether samples come in: up, late, down or never seen.", "short"),
        flux.newest("server", "status", flux.SERVER, pick=_NEWEST),
        thresholds.steps(base=thresholds.IDLE),
    ).mappings([panels.statuses()])
    alerts = panels.figure(
        Text("Alerts firing", "Alerts that fire on this server, told or not.", "short"),
        flux.newest("server", "alerts_firing", flux.SERVER, pick=_NEWEST),
        thresholds.none_is_good(),
    )
    cpu = panels.figure(
        Text("CPU", "How busy all cores together are.", "percent"),
        flux.newest("cpu", "usage_percent", flux.SERVER, _TOTAL, ending="mean"),
        thresholds.of_rule("cpu_usage"),
    )
    memory = panels.figure(
        Text("Memory", "Memory in use; what the kernel can take back at once is not.", "percent"),
        flux.newest("memory", "used_percent", flux.SERVER),
        thresholds.of_rule("memory_usage"),
    )
    disk = panels.figure(
        Text("Fullest mount", "Use of the mount that is fullest.", "percent"),
        flux.newest("disk", "used_percent", flux.SERVER, pick="max()"),
        thresholds.of_rule("disk_usage"),
    )
    load = panels.figure(
        Text("Load per core", "Processes that run or wait, a core; above 1 some wait.", "short"),
        flux.newest("system", "load_per_core", flux.SERVER),
        thresholds.steps((1, thresholds.WARNING), (2, thresholds.CRITICAL)),
    )
    uptime = panels.figure(
        Text("Uptime", "Since the server was started.", "s"),
        flux.newest("system", "uptime_seconds", flux.SERVER),
        thresholds.steps(base=thresholds.IDLE),
    )
    complete = panels.figure(
        Text("Completeness", "Of the samples that its agent took, how many are stored.", "percent"),
        flux.newest("server", "completeness_percent", flux.SERVER, pick="min()"),
        thresholds.completeness(),
    )
    return [status, alerts, cpu, memory, disk, load, uptime, complete]


def _cpu_modes() -> timeseries.Panel:
    modes = ("user", "system", "nice", "iowait", "irq", "softirq", "steal")
    query = flux.windows(
        "cpu",
        " ".join(f"{mode}_percent" for mode in modes),
        flux.SERVER,
        _TOTAL,
        keep=["_field"],
    )
    text = Text(
        "CPU by mode",
        "What all cores together spend their time on. iowait is idle time with a disk to wait "
        "for; steal is what a hypervisor gave to others.",
        "percent",
    )
    names = tuple(Named(f"{mode}_percent", mode) for mode in modes)
    return panels.stacked(panels.lines(text, query, names=names, rule="cpu_usage"))


def _cores() -> timeseries.Panel:
    query = flux.windows("cpu", "usage_percent", flux.SERVER, 'r.core != "total"', keep=["core"])
    text = Text(
        "CPU per core",
        "How busy each core is; one at the top while others idle is a program with one thread.",
        "percent",
    )
    return panels.lines(text, query, name=f"core {_TAG % 'core'}")


def _memory() -> timeseries.Panel:
    query = flux.windows(
        "memory",
        "used_bytes buffers_bytes cached_bytes free_bytes total_bytes",
        flux.SERVER,
        keep=["_field"],
    )
    text = Text(
        "Memory",
        "Used is total without what the kernel can take back at once; buffers and cache are mostly "
        "that.",
        "bytes",
    )
    names = ("used", "buffers", "cached", "free", "total")
    return panels.lines(text, query, names=tuple(Named(f"{one}_bytes", one) for one in names))


def _swap() -> timeseries.Panel:
    query = flux.windows("swap", "used_bytes total_bytes", flux.SERVER, keep=["_field"])
    text = Text("Swap", "Swap in use and how much there is.", "bytes")
    names = (Named("used_bytes", "used"), Named("total_bytes", "total"))
    return panels.lines(text, query, names=names)


def _swapping() -> timeseries.Panel:
    query = flux.windows(
        "swap", "in_bytes_per_second out_bytes_per_second", flux.SERVER, keep=["_field"]
    )
    text = Text(
        "Swapping",
        "What comes back from swap, and below the axis what goes out. Both at once for long means "
        "too little memory.",
        "Bps",
    )
    names = (Named("in_bytes_per_second", "in"), Named("out_bytes_per_second", "out", below=True))
    return panels.lines(text, query, names=names)


def _load() -> timeseries.Panel:
    query = flux.windows("system", "load1 load5 load15 cores", flux.SERVER, keep=["_field"])
    text = Text(
        "Load",
        "Processes that run or wait, as means over one, five and fifteen minutes, beside how many "
        "cores there are.",
        "short",
    )
    names = tuple(Named(name, name) for name in ("load1", "load5", "load15", "cores"))
    return panels.lines(text, query, names=names)


def _pressure() -> timeseries.Panel:
    query = flux.windows(
        "pressure",
        "some_avg60_percent full_avg60_percent",
        flux.SERVER,
        keep=["_field", "resource"],
    )
    text = Text(
        "Pressure",
        "How much of a minute some process, or all of them (full), stood still for want of CPU, "
        "memory or I/O.",
        "percent",
    )
    resource = _TAG % "resource"
    names = (
        Named("some_avg60_percent", f"{resource} some"),
        Named("full_avg60_percent", f"{resource} full"),
    )
    return panels.lines(text, query, names=names)


def _disk_use() -> timeseries.Panel:
    query = flux.windows("disk", "used_percent", flux.SERVER, flux.MOUNTS, keep=["mount"])
    text = Text("Disk use per mount", "As df says: used of what users can have.", "percent")
    return panels.lines(text, query, name=_TAG % "mount", rule="disk_usage")


def _inodes() -> timeseries.Panel:
    query = flux.windows("disk", "inodes_used_percent", flux.SERVER, flux.MOUNTS, keep=["mount"])
    text = Text("Inodes per mount", "Without inodes no file can be made, however empty.", "percent")
    return panels.lines(text, query, name=_TAG % "mount", rule="disk_inodes")


def _alerts() -> AnnotationQuery:
    return (
        AnnotationQuery()
        .name("Alerts")
        .datasource(variables.SOURCE)
        .enable(enable=True)
        .icon_color(thresholds.CRITICAL)
        .target(FluxBuilder(alerts_flux.marks(flux.SERVER), "Alerts"))
    )
