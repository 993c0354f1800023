"""Flux of panels and variables: each query reads raw values or rollups, as the time range says.

A query begins with ``HEAD``, which chooses the bucket. A field is looked for under both of its
names, ``used_percent`` and ``used_percent_mean``: each bucket holds but one of them, and what is
compared with literals is done by the storage engine. So is ``aggregateWindow`` right after
``filter``; what follows it works on a few hundred rows a series.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hostpulse_server.config.model import RetentionConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

_NS = 10**9
# a day, as long as it is where clocks are set back
_RAW_SECONDS: Final = 25 * 3600
_RETENTION = RetentionConfig()
_DAY: Final = 24 * 3600
_RAW_STEP_MS: Final = 10_000
_RECENT_RAW_SECONDS: Final = 600
# the window that is not over yet, the one that is being rolled up, and patience
_RECENT_ROLLUP_SECONDS: Final = 1800

# Durations as Grafana prints them (v.windowPeriod as 1m26.4s) are not all Flux, so milliseconds
# are taken. The bucket is a constant to the planner: this costs no query its push-down. The first
# three lines are what the role puts a site's own values into, and takes them out of again: nothing
# else in a query names a bucket or says how long raw values are kept.
HEAD = f"""\
raw = "hostpulse_raw"
rollup = "hostpulse_rollup"
retention = {int(_RETENTION.raw) // _DAY}d
span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
age = int(v: now()) - int(v: v.timeRangeStart)
long = span > {_RAW_SECONDS * _NS} or age > int(v: retention)
bucket = if long then rollup else raw
"""
_EVERY = f"""\
least = if long then {int(_RETENTION.rollup_window) * 1000} else {_RAW_STEP_MS}
every = duration(v: (if $__interval_ms > least then $__interval_ms else least) * 1000000)
"""
_RECENT = f"""\
back = if long then {_RECENT_ROLLUP_SECONDS * _NS} else {_RECENT_RAW_SECONDS * _NS}
recent = time(v: int(v: v.timeRangeStop) - back)
"""

# Server ids need no escapes in a regular expression but dots, and those Grafana makes.
SERVERS = "r.server_id =~ /^${server:regex}$/"
# also what belongs to no server: a missing tag is an empty text to the storage engine
SERVERS_AND_NONE = "r.server_id =~ /^(${server:regex}|)$/"
SERVER = 'r.server_id == "${server}"'
MOUNTS = "r.mount =~ /^${mount:regex}$/"
INTERFACES = "r.interface =~ /^${interface:regex}$/"
_PACKAGES = ("array", "regexp", "strings", "influxdata/influxdb/schema")


def query(*parts: str) -> str:
    """Join parts to a query: the packages they use, the head, and they."""
    body = "\n".join(part.strip() for part in parts)
    head = HEAD
    if re.search(r"\bevery: every\b", body):
        head += _EVERY
    if re.search(r"\bstart: recent\b", body):
        head += _RECENT
    names = [name for name in _PACKAGES if re.search(rf"\b{name.rpartition('/')[2]}\.", body)]
    imports = "".join(f'import "{name}"\n' for name in names)
    return f"{imports}{head}{body}\n"


def fields(names: str, ending: str = "mean") -> str:
    """Return the condition for fields, separated by spaces, in either bucket."""
    several = names.split()
    if len(several) == 1:
        return f'r._field == "{names}" or r._field == "{names}_{ending}"'
    return f"r._field =~ /^({'|'.join(several)})(_{ending})?$/"


def source(measurement: str, *conditions: str, start: str = "v.timeRangeStart") -> str:
    """Return where rows come from; ``start`` is ``recent`` for what is now."""
    filters = "".join(
        f"    |> filter(fn: (r) => {condition})\n"
        for condition in (f'r._measurement == "{measurement}"', *conditions)
    )
    return f"from(bucket: bucket)\n    |> range(start: {start}, stop: v.timeRangeStop)\n{filters}"


def windows(
    measurement: str,
    names: str,
    *conditions: str,
    keep: Iterable[str] = (),
    fn: str = "mean",
    ending: str = "",
) -> str:
    """Return a query for time series, one for each value of the tags in ``keep``.

    Windows without values are there and empty, so that a line breaks where data is missing.
    """
    chosen = source(measurement, fields(names, ending or fn), *conditions)
    columns = ", ".join(f'"{name}"' for name in ("_time", "_value", *keep))
    return query(f"""
{chosen}    |> aggregateWindow(every: every, fn: {fn}, createEmpty: true, timeSrc: "_start")
    |> keep(columns: [{columns}])
""")


def joined(
    measurement: str,
    names: str,
    *conditions: str,
    fn: str,
    over: str,
    each: str = "",
) -> str:
    """Return a query for one time series: windows of each series by ``fn``, all by ``over``.

    ``each`` is a tag of which one value counts once in a window, if it has several series there.
    """
    chosen = source(measurement, fields(names, fn), *conditions)
    # windows of each server took 1.7 s of 50 servers; all of them in one table take 0.2 s
    shown = (
        f"""\
    |> map(fn: (r) => ({{_time: r._time, _value: r._value, key: r.{each} + string(v: r._time)}}))
    |> sort(columns: ["_value"], desc: true)
    |> unique(column: "key")
"""
        if each
        else ""
    )
    return query(f"""
{chosen}    |> aggregateWindow(every: every, fn: {fn}, createEmpty: false, timeSrc: "_start")
    |> group()
{shown}    |> aggregateWindow(every: every, fn: {over}, createEmpty: true, timeSrc: "_start")
    |> keep(columns: ["_time", "_value"])
""")


def latest(measurement: str, names: str, *conditions: str, ending: str = "last") -> str:
    """Return the text (not a whole query) for the newest value of each series."""
    return f"""
{source(measurement, fields(names, ending), *conditions, start="recent")}    |> last()
"""


def latest_of_servers(field: str, *conditions: str) -> str:
    """Return the text for the newest value of each server, whatever its tags are or were.

    Labels and the agent's version are tags of the measurement ``server``: where one changes, the
    series there was ends, and for a while its last value is still recent.
    """
    return f"""
{latest("server", field, *conditions).strip()}
    |> group(columns: ["server_id"])
    |> sort(columns: ["_time"])
    |> last()
    |> group()
"""


def newest(
    measurement: str, names: str, *conditions: str, ending: str = "last", pick: str = ""
) -> str:
    """Return a query for one value now, chosen by ``pick`` where there are several series."""
    chosen = f"    |> {pick}\n" if pick else ""
    return query(f"""
{latest(measurement, names, *conditions, ending=ending).strip()}
    |> group()
{chosen}    |> keep(columns: ["_time", "_value"])
""")


def tag_values(tag: str, *conditions: str) -> str:
    """Return a variable's query: the values of a tag, from the index alone."""
    return query(f"""
schema.tagValues(
    bucket: bucket,
    tag: "{tag}",
    predicate: (r) => {" and ".join(conditions)},
    start: v.timeRangeStart,
    stop: v.timeRangeStop,
)
""")
