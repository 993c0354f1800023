"""Traffic, errors and link of network interfaces."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Change, Counters, put_rates
from hostpulse_agent.collectors.procfs import read_int, tag_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "network",
    "Interfaces but the loopback, and those that are down and never carried a packet.",
    {"interface": "name of the interface"},
    {
        "rx_bytes_per_second": Field("bytes per second", "received"),
        "tx_bytes_per_second": Field("bytes per second", "sent"),
        "rx_packets_per_second": Field("per second", "packets received"),
        "tx_packets_per_second": Field("per second", "packets sent"),
        "rx_errors_per_second": Field("per second", "damaged packets received"),
        "tx_errors_per_second": Field("per second", "packets that could not be sent"),
        "rx_drops_per_second": Field("per second", "packets dropped after arrival"),
        "tx_drops_per_second": Field("per second", "packets dropped before sending"),
        "packet_loss_percent": Field(
            "percent",
            "(errors + drops) ÷ all packets, those that no handler wanted (`rx_nohandler`) not "
            "counted as lost; missing under 100 packets an interval",
            0,
            100,
        ),
        "link_up": Field("0 or 1", "1: the interface is up and has a carrier", 0, 1),
        "speed_bits_per_second": Field("bits per second", "agreed speed; missing where unknown"),
    },
)
_NAMES = (
    "rx_bytes_per_second",
    "rx_packets_per_second",
    "rx_errors_per_second",
    "rx_drops_per_second",
    "tx_bytes_per_second",
    "tx_packets_per_second",
    "tx_errors_per_second",
    "tx_drops_per_second",
)
_FEWEST = 100
_LOSSY_PERCENT = 1.0  # from which on an interface is named
# Asking a driver for its speed takes a lock of the kernel's: not at every tick.
_SPEED_S = 300.0


# SPEED_UNKNOWN of ethtool, as drivers have it that keep it without a sign or in 16 bits
_UNKNOWN_SPEEDS = frozenset({0xFFFFFFFF, 0xFFFF})


class _Link(NamedTuple):
    """Carrier and speed (bits per second) as last seen, and when the speed was asked for."""

    up: bool
    speed: int | None
    asked: float


class NetworkCollector(Collector):
    """``/proc/net/dev`` and ``/sys/class/net``."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree, exclude: Iterable[str] = ()) -> None:
        """Leave out interfaces whose name one of these regular expressions finds."""
        self._tree = tree
        self._exclude = [re.compile(pattern) for pattern in exclude]
        self._excluded: dict[str, bool] = {"lo": True}
        self._counters = Counters()
        self._links: dict[str, _Link] = {}

    def collect(self, now: float) -> list[Point]:
        """Return one point an interface."""
        data, at = self._tree.proc("net/dev", now)
        points: list[Point] = []
        seen: list[str] = []
        ailing: list[str] = []
        for line in data.split(b"\n"):
            raw, colon, rest = line.rpartition(b":")
            if not colon:
                continue
            name = raw.strip().decode("utf-8", "replace")
            if self._is_excluded(name):
                continue
            words = rest.split()
            stats = tuple([int(words[index]) for index in (0, 1, 2, 3, 8, 9, 10, 11)])
            link = self._link(name, at)
            if not link.up and not any(stats):
                continue
            seen.append(name)
            fields = measure(self._counters.change(name, at, stats))
            fields["link_up"] = int(link.up)
            if link.speed is not None:
                fields["speed_bits_per_second"] = link.speed
            tag = tag_value(name.encode())
            points.append(Point("network", {"interface": tag}, fields))
            if not link.up or fields.get("packet_loss_percent", 0.0) >= _LOSSY_PERCENT:
                ailing.append(tag)
        self.names = {"interfaces": ailing}
        self._counters.keep(seen)
        self._links = {name: self._links[name] for name in seen}
        return points

    def _is_excluded(self, name: str) -> bool:
        known = self._excluded.get(name)
        if known is None:
            if len(self._excluded) > 1000:  # noqa: PLR2004 -- names of containers come and go
                self._excluded = {"lo": True}
            known = any(pattern.search(name) for pattern in self._exclude)
            self._excluded[name] = known
        return known

    def _link(self, name: str, at: float) -> _Link:
        base = f"{self._tree.paths.sys}/class/net/{name}"
        up = read_int(base + "/carrier") == 1  # refused while the interface is down
        link = self._links.get(name)
        if link is None or link.up != up or at - link.asked >= _SPEED_S:
            megabits = read_int(base + "/speed") if up else None
            is_known = megabits is not None and megabits > 0 and megabits not in _UNKNOWN_SPEEDS
            speed = megabits * 1_000_000 if megabits is not None and is_known else None
            link = self._links[name] = _Link(up, speed, at)
        return link


def measure(change: Change | None) -> dict[str, float]:
    """Return rates and loss for the change of rx and tx bytes, packets, errors, drops."""
    fields: dict[str, float] = {}
    put_rates(fields, _NAMES, change)
    if change is None or None in change.deltas:
        return fields
    deltas = [delta or 0 for delta in change.deltas]
    # Since Linux 4.6 rx_nohandler is counted apart, not among the drops of /proc/net/dev: there
    # is nothing to take off them.
    lost = deltas[2] + deltas[3] + deltas[6] + deltas[7]
    packets = deltas[1] + deltas[5] + lost
    if packets >= _FEWEST:
        fields["packet_loss_percent"] = 100 * lost / packets
    return fields
