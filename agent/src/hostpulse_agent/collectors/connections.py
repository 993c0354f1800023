"""Sockets by state, from the kernel's own sums: the cost does not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Counters
from hostpulse_agent.collectors.procfs import columns, read_or_none

if TYPE_CHECKING:
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "connections",
    "TCP and UDP sockets of the host's own network namespace, IPv4 and IPv6 together.",
    {},
    {
        "tcp_established": Field("count", "open connections (ESTABLISHED and CLOSE-WAIT)"),
        "tcp_time_wait": Field("count", "closed, kept for stray packets"),
        "tcp_orphan": Field("count", "closed by the program, not yet by the peer"),
        "tcp_alloc": Field("count", "TCP sockets in memory"),
        "udp_in_use": Field("count", "UDP sockets"),
        "tcp_retransmit_percent": Field(
            "percent", "segments sent again ÷ segments sent; missing when none were", 0, 100
        ),
        "tcp_listen_overflows_per_second": Field(
            "per second", "connections dropped because a program accepts too slowly"
        ),
        "tcp_listen_overflows_total": Field(
            "count", "connections dropped because a program accepts too slowly, since boot"
        ),
    },
)
_TCP = ((b"tcp_time_wait", b"tw"), (b"tcp_orphan", b"orphan"), (b"tcp_alloc", b"alloc"))


class ConnectionsCollector(Collector):
    """``/proc/net/snmp``, ``netstat``, ``sockstat`` and ``sockstat6``."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``."""
        self._tree = tree
        self._counters = Counters()

    def collect(self, now: float) -> list[Point]:
        """Return the one point."""
        snmp, at = self._tree.proc("net/snmp", now)
        tcp = columns(snmp, b"Tcp", (b"CurrEstab", b"OutSegs", b"RetransSegs"))
        fields: dict[str, float] = {}
        if b"CurrEstab" in tcp:
            fields["tcp_established"] = tcp[b"CurrEstab"]
        if b"OutSegs" in tcp and b"RetransSegs" in tcp:
            change = self._counters.change("tcp", at, (tcp[b"OutSegs"], tcp[b"RetransSegs"]))
            sent, again = change.deltas if change else (None, None)
            if sent and again is not None:
                fields["tcp_retransmit_percent"] = min(100.0, 100 * again / sent)
        fields.update(self._sockets(now))
        self._overflows(now, fields)
        return [Point("connections", {}, fields)]

    def _sockets(self, now: float) -> dict[str, float]:
        table = sockstat(self._tree.proc("net/sockstat", now).data)
        # Absent where IPv6 is switched off; the TCP sums of IPv4 hold both.
        table.update(sockstat(read_or_none(f"{self._tree.paths.proc}/net/sockstat6") or b""))
        tcp = table.get(b"TCP", {})
        fields: dict[str, float] = {name.decode(): tcp[key] for name, key in _TCP if key in tcp}
        udp = [table[key].get(b"inuse", 0) for key in (b"UDP", b"UDP6") if key in table]
        if udp:
            fields["udp_in_use"] = sum(udp)
        return fields

    def _overflows(self, now: float, fields: dict[str, float]) -> None:
        netstat, at = self._tree.proc("net/netstat", now)
        overflows = columns(netstat, b"TcpExt", (b"ListenOverflows",)).get(b"ListenOverflows")
        if overflows is None:
            return
        fields["tcp_listen_overflows_total"] = overflows
        change = self._counters.change("overflows", at, (overflows,))
        rate = change.rate(0) if change else None
        if rate is not None:
            fields["tcp_listen_overflows_per_second"] = rate


def sockstat(data: bytes) -> dict[bytes, dict[bytes, int]]:
    """Parse lines such as ``TCP: inuse 1 orphan 0`` into protocol -> name -> number."""
    table = {}
    for line in data.split(b"\n"):
        protocol, colon, rest = line.partition(b":")
        if colon:
            words = rest.split()
            table[protocol] = dict(zip(words[::2], map(int, words[1::2])))
    return table
