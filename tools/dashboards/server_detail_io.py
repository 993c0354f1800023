"""Panels of hostpulse-server-detail: disks' traffic, network, kernel, agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.dashboards import flux, panels
from tools.dashboards.panels import Named, Text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import timeseries

_DEVICE, _INTERFACE = "${__field.labels.device}", "${__field.labels.interface}"


def _disk(text: Text, fields: str, names: tuple[Named, ...]) -> timeseries.Panel:
    query = flux.windows("diskio", fields, flux.SERVER, keep=["_field", "device"])
    return panels.lines(text, query, names=names)


def disk_traffic() -> timeseries.Panel:
    """Return bytes read and written."""
    text = Text("Disk I/O", "What is read, and below the axis written, a device.", "Bps")
    names = (
        Named("read_bytes_per_second", f"{_DEVICE} read"),
        Named("write_bytes_per_second", f"{_DEVICE} written", below=True),
    )
    return _disk(text, "read_bytes_per_second write_bytes_per_second", names)


def disk_operations() -> timeseries.Panel:
    """Return operations a second."""
    text = Text("Disk operations", "Reads, and below the axis writes, a device.", "iops")
    names = (
        Named("reads_per_second", f"{_DEVICE} reads"),
        Named("writes_per_second", f"{_DEVICE} writes", below=True),
    )
    return _disk(text, "reads_per_second writes_per_second", names)


def disk_latency() -> timeseries.Panel:
    """Return how long operations take."""
    text = Text(
        "Disk latency",
        "How long a read or write takes on average, its wait in the queue too.",
        "ms",
    )
    return _disk(text, "await_ms", (Named("await_ms", _DEVICE),))


def disk_busy() -> timeseries.Panel:
    """Return how much of the time a device has something to do."""
    text = Text(
        "Disk busy",
        "How much of the time a device has something to do; one that does several things at once "
        "can do more at 100.",
        "percent",
    )
    return _disk(text, "busy_percent", (Named("busy_percent", _DEVICE),))


def _network(text: Text, fields: str, names: tuple[Named, ...], rule: str = "") -> timeseries.Panel:
    query = flux.windows(
        "network", fields, flux.SERVER, flux.INTERFACES, keep=["_field", "interface"]
    )
    return panels.lines(text, query, names=names, rule=rule)


def _mirrored(text: Text, *kinds: str) -> timeseries.Panel:
    fields, names = [], []
    for kind in kinds:
        word = "" if len(kinds) == 1 else f" {kind}"
        fields += [f"rx_{kind}_per_second", f"tx_{kind}_per_second"]
        names += [
            Named(fields[-2], f"{_INTERFACE} received{word}"),
            Named(fields[-1], f"{_INTERFACE} sent{word}", below=True),
        ]
    return _network(text, " ".join(fields), tuple(names))


def traffic() -> timeseries.Panel:
    """Return bytes received and sent."""
    text = Text("Network traffic", "Received, and below the axis sent, an interface.", "Bps")
    return _mirrored(text, "bytes")


def packets() -> timeseries.Panel:
    """Return packets received and sent."""
    text = Text("Packets", "Received, and below the axis sent, an interface.", "pps")
    return _mirrored(text, "packets")


def errors() -> timeseries.Panel:
    """Return what was not taken."""
    text = Text(
        "Errors and drops",
        "Packets that were broken or that there was no room for; received, and below the axis "
        "sent.",
        "pps",
    )
    return _mirrored(text, "errors", "drops")


def loss() -> timeseries.Panel:
    """Return the share of packets that are lost."""
    text = Text(
        "Packet loss",
        "Errors and drops among all packets of an interface; no value while there is next to no "
        "traffic.",
        "percent",
    )
    names = (Named("packet_loss_percent", _INTERFACE),)
    panel = _network(text, "packet_loss_percent", names, rule="packet_loss")
    return panel.axis_soft_max(2).no_value("Next to no traffic")


def connections() -> timeseries.Panel:
    """Return sockets by kind."""
    kinds = {
        "tcp_established": "TCP established",
        "tcp_time_wait": "TCP time wait",
        "tcp_orphan": "TCP orphaned",
        "tcp_alloc": "TCP allocated",
        "udp_in_use": "UDP in use",
    }
    query = flux.windows("connections", " ".join(kinds), flux.SERVER, keep=["_field"])
    text = Text("Connections", "Sockets of the whole server, by what they do.", "short")
    return panels.lines(text, query, names=tuple(Named(*pair) for pair in kinds.items()))


def connection_trouble() -> timeseries.Panel:
    """Return what goes wrong with connections."""
    query = flux.windows(
        "connections",
        "tcp_retransmit_percent tcp_listen_overflows_per_second",
        flux.SERVER,
        keep=["_field"],
    )
    text = Text(
        "Retransmits and overflows",
        "TCP segments sent again, and connections that no program accepted in time.",
        "short",
    )
    names = (
        Named("tcp_retransmit_percent", "sent again", unit="percent"),
        Named("tcp_listen_overflows_per_second", "not accepted", unit="cps"),
    )
    return panels.lines(text, query, names=names)


def processes() -> timeseries.Panel:
    """Return processes by state."""
    states = ("running", "blocked", "zombie", "uninterruptible")
    query = flux.windows(
        "system", " ".join(f"processes_{one}" for one in states), flux.SERVER, keep=["_field"]
    )
    text = Text(
        "Processes",
        "Processes by state; uninterruptible ones wait for a disk or a dead mount.",
        "short",
    )
    return panels.lines(text, query, names=tuple(Named(f"processes_{one}", one) for one in states))


def kernel() -> timeseries.Panel:
    """Return tables of the kernel that fill up."""
    query = flux.windows(
        "kernel", "open_files_percent conntrack_percent", flux.SERVER, keep=["_field"]
    )
    text = Text(
        "Open files and tracked connections",
        "How full the kernel's tables of these are.",
        "percent",
    )
    names = (
        Named("open_files_percent", "open files"),
        Named("conntrack_percent", "tracked connections"),
    )
    return panels.lines(text, query, names=names, rule="conntrack_usage")


def agent() -> timeseries.Panel:
    """Return what the agent itself takes."""
    query = flux.windows(
        "agent", "cycle_ms spool_samples dropped_samples", flux.SERVER, keep=["_field"]
    )
    text = Text(
        "Agent",
        "How long a sample takes, how many wait to be sent, and how many were given up for want "
        "of room.",
        "short",
    )
    names = (
        Named("cycle_ms", "a sample", unit="ms"),
        Named("spool_samples", "waiting"),
        Named("dropped_samples", "given up"),
    )
    return panels.lines(text, query, names=names)
