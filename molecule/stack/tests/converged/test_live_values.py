"""What the query API says of a host is what the host says of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from reader import Reader
    from testinfra.host import Host

    Until = Callable[[Callable[[], object], float], None]

GIB = 1024.0**3


class Figure(NamedTuple):
    """One field, how the host tells it, and how far it may move between a look and a sample."""

    measurement: str
    field: str
    command: str
    slack: float
    where: dict[str, str]


def figure(measurement: str, field: str, command: str, slack: float = 0.0, **where: str) -> Figure:
    """Return a figure; ``where`` are tag values."""
    return Figure(measurement, field, command, slack, {f"tag.{k}": v for k, v in where.items()})


def meminfo(name: str) -> str:
    """Return the command that prints one line of /proc/meminfo in bytes."""
    return f'awk \'$1 == "{name}:" {{ printf "%.0f\\n", $2 * 1024 }}\' /proc/meminfo'


def df(column: str) -> str:
    """Return the command that prints one column of df for the root filesystem."""
    return f"df --block-size=1 --output={column} / | tail -n 1 | tr -d '% '"


FIGURES = (
    figure("memory", "total_bytes", meminfo("MemTotal")),
    figure("memory", "available_bytes", meminfo("MemAvailable"), 2 * GIB),
    figure("memory", "cached_bytes", meminfo("Cached"), 2 * GIB),
    figure("swap", "total_bytes", meminfo("SwapTotal")),
    figure("disk", "total_bytes", df("size"), mount="/"),
    figure("disk", "used_bytes", df("used"), 1 * GIB, mount="/"),
    figure("disk", "available_bytes", df("avail"), 1 * GIB, mount="/"),
    # df rounds up to whole percent
    figure("disk", "used_percent", df("pcent"), 1.0, mount="/"),
    figure("disk", "inodes_total", df("itotal"), mount="/"),
    figure("system", "cores", "nproc"),
    figure("system", "load1", "cut -d ' ' -f 1 /proc/loadavg", 1.5),
    figure("system", "load15", "cut -d ' ' -f 3 /proc/loadavg", 0.3),
    figure("system", "uptime_seconds", "cut -d ' ' -f 1 /proc/uptime", 1.0),
)


@pytest.mark.parametrize("name", ["monitor", "db-01"])
def test_the_api_shows_what_proc_and_df_show(
    name: str, reader: Reader, host_of: Callable[[str], Host], until: Until
) -> None:
    """A look before and a look after a sample enclose what the sample says."""
    host = host_of(name)
    script = "; ".join(wanted.command for wanted in FIGURES)

    def look() -> list[float]:
        return [float(line) for line in str(host.check_output(script)).splitlines()]

    def last_seen() -> int:
        return int(reader.get(f"servers/{name}")["last_seen"])

    before, begin = look(), time.time() * 1000
    until(lambda: last_seen() > begin + 4000, 60)
    shown = [
        reader.last(
            wanted.measurement,
            wanted.field,
            server_id=name,
            start=int(begin),
            **wanted.where,
        ).get(name)
        for wanted in FIGURES
    ]
    after = look()
    wrong = {
        f"{wanted.measurement}.{wanted.field}": (low, value, high)
        for wanted, low, value, high in zip(FIGURES, before, shown, after, strict=True)
        if value is None
        or not min(low, high) - wanted.slack <= value <= max(low, high) + wanted.slack
    }
    assert wrong == {}


@pytest.mark.parametrize("name", ["monitor", "db-01"])
def test_processor_time_adds_up(name: str, reader: Reader) -> None:
    """Usage is what is neither idle nor waiting, and all shares make a hundred."""
    share = {
        field: reader.last("cpu", field, server_id=name, start="-30s", **{"tag.core": "total"})
        for field in ("usage_percent", "idle_percent", "iowait_percent")
    }
    assert sum(values[name] for values in share.values()) == pytest.approx(100, abs=0.1)


def test_labels_and_facts_are_the_inventorys_and_the_hosts(reader: Reader) -> None:
    """Labels come from the inventory, facts from the host."""
    servers = {server["id"]: server for server in reader.get("servers")["servers"]}
    assert set(servers) == {"monitor", "db-01"}
    assert servers["db-01"]["labels"] == {"env": "test", "role": "database"}
    assert "13" in str(servers["db-01"]["facts"]["os"])
    assert "12" in str(servers["monitor"]["facts"]["os"])
