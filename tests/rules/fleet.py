"""A made-up fleet: what 50 hosts send in 24 hours in which nothing happens that needs a person.

Jobs keep a CPU busy for minutes, backups keep disks busy at night, logs grow until rotated,
hosts reboot, agents are upgraded, packets get lost in bursts. All of it is drawn from a seed. An
incident lays other values over this for a while.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INTERVAL_S = 10
DAY_S = 86_400
MOUNTS = ("/", "/var", "/srv")

Points = list[dict[str, Any]]


@dataclass(frozen=True)
class Incident:
    """What goes wrong on a host between two times of the day, in seconds.

    ``fields`` maps (measurement, tag's value or "") to values laid over the ordinary ones; an
    incident without any makes the host silent, unless there are series that it is ``without``.
    ``answers``: whether its address still does.
    """

    rule: str
    host: int
    start_s: int
    end_s: int
    fields: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    answers: bool = True
    without: frozenset[tuple[str, str]] = frozenset()

    @property
    def silences(self) -> bool:
        """Whether nothing is heard of the host meanwhile."""
        return not (self.fields or self.without)


@dataclass(frozen=True)
class Said:
    """One request of a host: its points, or the events of an orderly stop."""

    host: int
    time_s: int
    points: Points = field(default_factory=list)
    events: tuple[dict[str, str], ...] = ()


class Host:
    """One host; ``tick`` gives what it sends at a time of the day, ``None`` while it is away."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.number = number
        self.name = f"host-{number:02d}"
        self._rng = rng
        self._cpu = rng.uniform(5, 40)
        self._memory = rng.uniform(35, 70)
        self._disk = {mount: rng.uniform(30, 60) for mount in MOUNTS}
        self._offset = rng.uniform(-80, 80)
        # a job of up to four minutes each hour, at the host's own minute
        self._job_at, self._job_for = rng.randrange(3000), rng.randrange(60, 240, 10)
        self._backup_at = 2 * 3600 + rng.randrange(3600)
        self._backup_for = rng.randrange(600, 1500, 10)
        self._reboot_at = rng.randrange(6 * 3600, 20 * 3600, 10) if number % 10 == 5 else None
        self._reboot_for = rng.randrange(60, 240, 10)
        self._upgrade_at = 10 * 3600 + 60 * number
        self._bursts = {name: rng.randrange(0, DAY_S, 10) for name in ("loss", "swap", "listen")}
        self._points = _points()
        self._by_key = {
            (point["measurement"], next(iter(point.get("tags", {}).values()), "")): point["fields"]
            for point in self._points
        }

    def tick(self, time_s: int) -> Said | None:
        """Return what is sent at ``time_s``."""
        if self._reboot_at is not None and 0 <= time_s - self._reboot_at < self._reboot_for:
            if time_s == self._reboot_at:
                return self._stop(time_s, "shutdown")
            return None
        if time_s == self._upgrade_at:
            return self._stop(time_s, "restart")
        self._fill(time_s)
        return Said(self.number, time_s, self._points)

    def lay(self, fields: Mapping[tuple[str, str], Mapping[str, float]]) -> None:
        """Let values of an incident take the place of those filled in last."""
        for key, values in fields.items():
            self._by_key[key].update(values)

    def _stop(self, time_s: int, reason: str) -> Said:
        return Said(self.number, time_s, events=({"kind": "stopping", "reason": reason},))

    def _fill(self, time_s: int) -> None:
        noise = self._rng.random
        fields = self._by_key
        has_job = 0 <= time_s % 3600 - self._job_at < self._job_for
        has_backup = 0 <= time_s - self._backup_at < self._backup_for
        by_day = 8 * math.sin(2 * math.pi * (time_s / DAY_S - 0.3))
        busy = 94 + 5 * noise() if has_job else self._cpu + by_day + 12 * noise()
        fields["cpu", "total"]["usage_percent"] = max(0.0, busy)
        fields["memory", ""]["used_percent"] = self._memory + by_day / 2 + 3 * noise()
        fields["pressure", "memory"]["full_avg60_percent"] = 0.5 * noise()
        fields["pressure", "io"]["full_avg60_percent"] = (
            45 + 40 * noise() if has_backup else 3 * noise()
        )
        for mount, used in self._disk.items():
            # logs grow by 12 % and are rotated at midnight, a backup lies on /srv for a while
            grown = used + (12 * time_s / DAY_S if mount == "/var" else 0.2 * noise())
            fields["disk", mount]["used_percent"] = grown + (
                15 if mount == "/srv" and has_backup else 0
            )
        fields["network", "eth0"]["packet_loss_percent"] = (
            3.5 if self._in_burst("loss", time_s, 60) else 0.05 * noise()
        )
        swapped = 4e6 if self._in_burst("swap", time_s, 120) else 0.0
        fields["swap", ""].update(
            in_bytes_per_second=swapped * noise(), out_bytes_per_second=swapped
        )
        if self._in_burst("listen", time_s, 30):
            fields["connections", ""]["tcp_listen_overflows_total"] += 60.0
        # a unit fails while the host starts and is started again by systemd
        since_boot = time_s - (self._reboot_at or -DAY_S) - self._reboot_for
        fields["system", ""]["units_failed"] = 1.0 if 0 <= since_boot < 60 else 0.0
        fields["agent", ""]["clock_offset_ms"] = self._offset + 20 * noise()

    def _in_burst(self, name: str, time_s: int, seconds: int) -> bool:
        return 0 <= time_s - self._bursts[name] < seconds


def _points() -> Points:
    """Return the points of one host with all fields that rules look at, at rest."""

    def point(measurement: str, tags: dict[str, str] | None = None, **fields: float) -> Any:
        return {
            "measurement": measurement,
            **({"tags": tags} if tags else {}),
            "fields": dict(fields),
        }

    return [
        point("cpu", {"core": "total"}, usage_percent=0.0),
        point("memory", used_percent=0.0),
        point("swap", in_bytes_per_second=0.0, out_bytes_per_second=0.0),
        *(
            point(
                "disk",
                {"mount": mount},
                used_percent=0.0,
                inodes_used_percent=20.0,
                readonly=0.0,
                hung=0.0,
            )
            for mount in MOUNTS
        ),
        point("network", {"interface": "eth0"}, packet_loss_percent=0.0, link_up=1.0),
        point("connections", tcp_listen_overflows_total=7.0),
        point("pressure", {"resource": "memory"}, full_avg60_percent=0.0),
        point("pressure", {"resource": "io"}, full_avg60_percent=0.0),
        point("system", units_failed=0.0, raid_degraded=0.0),
        point("kernel", oom_kills_total=0.0, open_files_percent=8.0, conntrack_percent=5.0),
        point("agent", clock_offset_ms=0.0, dropped_samples=0.0),
    ]


class Fleet:
    """All hosts, and what happens to them."""

    def __init__(self, size: int, incidents: tuple[Incident, ...] = (), seed: int = 7) -> None:
        rng = random.Random(seed)  # noqa: S311  # made-up figures
        self.hosts = [Host(number, random.Random(rng.random())) for number in range(size)]  # noqa: S311
        self._incidents = incidents

    def at(self, time_s: int) -> Iterator[Said]:
        """Yield what the hosts send at a time of the day."""
        current = {one.host: one for one in self._incidents if one.start_s <= time_s < one.end_s}
        for host in self.hosts:
            incident = current.get(host.number)
            said = host.tick(time_s)
            if said is None or (incident and incident.silences):
                continue
            if incident and said.points:
                host.lay(incident.fields)
                points = [one for one in said.points if _key(one) not in incident.without]
                said = replace(said, points=points)
            yield said
            if incident and said.points:
                # what only an incident sets is at rest again afterwards
                host.lay(_at_rest(incident.fields))

    def answers(self, host: int, time_s: int) -> bool:
        """Tell whether the host's address answers."""
        return all(
            one.answers or one.host != host or not one.start_s <= time_s < one.end_s
            for one in self._incidents
        )


def _key(point: dict[str, Any]) -> tuple[str, str]:
    return point["measurement"], next(iter(point.get("tags", {}).values()), "")


def _at_rest(
    fields: Mapping[tuple[str, str], Mapping[str, float]],
) -> dict[tuple[str, str], dict[str, float]]:
    rest = {
        (one["measurement"], next(iter(one.get("tags", {}).values()), "")): one["fields"]
        for one in _points()
    }
    return {key: {name: rest[key][name] for name in values} for key, values in fields.items()}
