"""Flux over the measurement ``alert``, which has a point a transition, two of a severity's."""

from __future__ import annotations

from tools.dashboards import flux

_HOUR_NS = 3600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_WINDOW_NS = 300 * 10**9
_LOOK_BACK_DAYS = 30
RULES = "r.rule =~ /^${rule:regex}$/"
MOST_ROWS = 200

# `change` is 1 or -1: its sum is how many alerts of a rule fire on a server with a severity. One
# that gets another has a point of nothing else, which takes it out of those with the one it had.
# An alert may have begun long before the time that is shown, so the sum begins where rollups do;
# what is newer than an hour may not be rolled up yet. Groups, sums and the newest are the storage
# engine's work, as long as each source has one reader: sources named once and read twice took 30 s.
# Which servers are chosen is asked of the few rows at the end: of every series and day, an
# expression with all their names took longer than reading what it leaves out. `join.inner` is
# quicker than `join`, and fails where nothing fires.
_STANDING = f"""\
stop = int(v: v.timeRangeStop)
border = time(v: (stop - {_HOUR_NS}) / {_WINDOW_NS} * {_WINDOW_NS})
before = time(v: stop - {_LOOK_BACK_DAYS * _DAY_NS})
changes = (bucket, start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "alert")
        |> filter(fn: (r) => {flux.fields("change", "sum")})
        |> group(columns: ["server_id", "rule", "severity"])
        |> sum()
begun = (bucket, start, stop) =>
    from(bucket: bucket)
        |> range(start: start, stop: stop)
        |> filter(fn: (r) => r._measurement == "alert" and r.state == "firing")
        |> filter(fn: (r) => {flux.fields("duration_seconds", "last")})
        |> group(columns: ["server_id", "rule", "severity"])
        |> last()
        |> group()
ranked = (r) => if r.severity == "critical" then 0 else if r.severity == "warning" then 1 else 2
named = (r) => if exists r.server_id then r.server_id else ""
counted =
    union(
        tables: [
            changes(bucket: rollup, start: before, stop: border),
            changes(bucket: bucket, start: border, stop: v.timeRangeStop),
        ],
    )
        |> group(columns: ["server_id", "rule", "severity"])
        |> sum()
        |> filter(fn: (r) => r._value > 0.0)
        |> group()
        |> map(
            fn: (r) =>
                ({{
                    firing: r._value,
                    rule: r.rule,
                    server_id: named(r: r),
                    severity: r.severity,
                }}),
        )
newest =
    union(
        tables: [
            begun(bucket: rollup, start: before, stop: border),
            begun(bucket: bucket, start: border, stop: v.timeRangeStop),
        ],
    )
        |> sort(columns: ["_time"], desc: true)
        |> map(
            fn: (r) =>
                ({{
                    key: named(r: r) + " " + r.rule + " " + r.severity,
                    rule: r.rule,
                    server_id: named(r: r),
                    severity: r.severity,
                    rank: ranked(r: r),
                    since: time(v: int(v: r._time) - int(v: r._value * 1000000000.0)),
                }}),
        )
        |> unique(column: "key")
standing =
    join(tables: {{counted: counted, newest: newest}}, on: ["server_id", "rule", "severity"])
        CONDITIONS
"""


def firing(*conditions: str) -> str:
    """Return a query for what fires at the end: a row a server, rule and severity."""
    return flux.query(
        _standing(conditions),
        f"""
standing
    |> sort(columns: ["rank", "since"])
    |> limit(n: {MOST_ROWS})
    |> drop(columns: ["key", "rank"])
""",
    )


def firing_by_severity(*conditions: str) -> str:
    """Return a query for how many alerts fire, a column a severity; 0 if none ever did."""
    return flux.query(
        _standing(conditions),
        """
count = (r, severity) => if r.severity == severity then int(v: r.firing) else 0
none = array.from(rows: [{severity: "", firing: 0.0}])

union(tables: [none, standing |> keep(columns: ["severity", "firing"])])
    |> reduce(
        identity: {critical: 0, warning: 0, info: 0},
        fn: (r, accumulator) =>
            ({
                critical: accumulator.critical + count(r: r, severity: "critical"),
                warning: accumulator.warning + count(r: r, severity: "warning"),
                info: accumulator.info + count(r: r, severity: "info"),
            }),
    )
""",
    )


def history(*conditions: str, most: int = MOST_ROWS) -> str:
    """Return a query for transitions, the newest first; of rollups, one row a window.

    It looks first when the oldest row that it shows was: sorting whole rows is slow.
    """
    names = "value threshold duration_seconds"
    times = flux.source("alert", flux.fields("duration_seconds", "last"), *conditions)
    shown = flux.source("alert", flux.fields(names, "last"), *conditions, start="oldest")
    return flux.query(f"""
times =
    {times.strip()}
    |> group()
    |> keep(columns: ["_time"])
    |> sort(columns: ["_time"], desc: true)
    |> limit(n: {most})
    |> findColumn(fn: (key) => true, column: "_time")
found = length(arr: times)
oldest = if found > 0 then times[found - 1] else v.timeRangeStart

{shown}    |> group()
    |> map(
        fn: (r) =>
            ({{
                _field: strings.trimSuffix(v: r._field, suffix: "_last"),
                _time: r._time,
                _value: r._value,
                rule: r.rule,
                server_id: if exists r.server_id then r.server_id else "",
                severity: r.severity,
                state: r.state,
            }}),
    )
    |> pivot(
        rowKey: ["_time", "server_id", "rule", "severity", "state"],
        columnKey: ["_field"],
        valueColumn: "_value",
    )
    |> sort(columns: ["_time"], desc: true)
    |> limit(n: {most})
""")


def begun(by: str, *conditions: str, most: int = 20) -> str:
    """Return a query for how many alerts began, by a tag, the most first."""
    firing = 'r.state == "firing"'
    chosen = flux.source("alert", flux.fields("change", "sum"), firing, *conditions)
    return flux.query(f"""
{chosen}    |> group(columns: ["{by}"])
    |> sum()
    |> group()
    |> filter(fn: (r) => r._value > 0.0)
    |> top(n: {most})
    |> keep(columns: ["{by}", "_value"])
    |> rename(columns: {{_value: "begun"}})
""")


def durations(*conditions: str) -> str:
    """Return a query for how long alerts lasted, a row a rule: how many ended, mean, longest."""
    filters = "\n        ".join(f"|> filter(fn: (r) => {one})" for one in conditions)
    return flux.query(f"""
ended = (field, other) =>
    from(bucket: bucket)
        |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
        |> filter(fn: (r) => r._measurement == "alert" and r.state == "resolved")
        |> filter(fn: (r) => r._field == field or r._field == other)
        {filters}
        |> group(columns: ["rule"])
totals = (field) =>
    ended(field: field, other: field + "_sum")
        |> sum()
        |> set(key: "_field", value: field)

union(
    tables: [
        totals(field: "change"),
        totals(field: "duration_seconds"),
        ended(field: "duration_seconds", other: "duration_seconds_max")
            |> max()
            |> keep(columns: ["rule", "_value"])
            |> set(key: "_field", value: "longest"),
    ],
)
    |> group()
    |> pivot(rowKey: ["rule"], columnKey: ["_field"], valueColumn: "_value")
    |> map(
        fn: (r) =>
            ({{
                rule: r.rule,
                ended: -1.0 * r.change,
                mean: r.duration_seconds / (-1.0 * r.change),
                longest: r.longest,
            }}),
    )
    |> sort(columns: ["ended"], desc: true)
    |> limit(n: {MOST_ROWS})
""")


def marks(*conditions: str) -> str:
    """Return a query for marks in panels: a row a transition, with its text."""
    chosen = flux.source("alert", flux.fields("duration_seconds", "last"), *conditions)
    return flux.query(f"""
{chosen}    |> group()
    |> map(
        fn: (r) =>
            ({{
                _time: r._time,
                text: r.rule + " " + r.state,
                tags: r.severity,
            }}),
    )
    |> sort(columns: ["_time"], desc: true)
    |> limit(n: {MOST_ROWS})
""")


def _standing(conditions: tuple[str, ...]) -> str:
    filters = "\n        ".join(f"|> filter(fn: (r) => {one})" for one in conditions)
    return _STANDING.replace("CONDITIONS", filters)
