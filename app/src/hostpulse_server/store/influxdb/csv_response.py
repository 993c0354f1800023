"""Rows of InfluxDB's annotated CSV to series; no record object a row.

https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.errors import StoreFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostpulse_server.values.points import Tags

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TABLE = 2  # columns 0 to 2 are annotation, result and table, whatever tags are named
_NUMBERS = frozenset({"double", "long", "unsignedLong"})
_OURS = frozenset({"_time", "_value", "_field", "_measurement", "server_id"})


class TableLabels(NamedTuple):
    """What a table is of; ``field`` as stored, so with its ending in a rollup."""

    server_id: str
    measurement: str
    tags: Tags
    field: str


class CsvTable(NamedTuple):
    """Values of one series: (time or window start in ms, value), ascending."""

    labels: TableLabels
    values: list[tuple[int, float]]


class _Block:
    """The rows under one header, of values of one type."""

    def __init__(self, header: list[str], types: list[str]) -> None:
        names = list(enumerate(header))[_TABLE + 1 :]
        places = {name: index for index, name in names if name in _OURS}
        self.time, self.value, self.field = (places[n] for n in ("_time", "_value", "_field"))
        self.is_numeric = types[self.value] in _NUMBERS
        self.measurement = places["_measurement"]
        self.server = places.get("server_id")
        self.tags = sorted((name, index) for index, name in names if name not in _OURS)

    def labels(self, row: list[str]) -> TableLabels:
        return TableLabels(
            "" if self.server is None else row[self.server],
            row[self.measurement],
            tuple((name, row[index]) for name, index in self.tags),
            row[self.field],
        )


def tables(rows: Iterable[list[str]]) -> Iterator[CsvTable]:
    """Yield the tables of numbers; raise StoreFailedError when the engine broke the answer off.

    A text, even one that reads as a number, is not ours: another program wrote it.
    """
    rows = iter(rows)
    times: dict[str, int] = {}
    block: _Block | None = None
    table: CsvTable | None = None
    number = ""
    for row in rows:
        if not row:
            continue
        if row[0] == "#datatype":
            block, number = _block(row, rows), ""
            continue
        if block is None:
            raise _broken_off(row)
        if not block.is_numeric:
            continue
        if row[_TABLE] != number or table is None:
            if table is not None:
                yield table
            number = row[_TABLE]
            table = CsvTable(block.labels(row), [])
        text = row[block.time]
        time_ms = times.get(text)
        if time_ms is None:
            time_ms = times[text] = (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
        table.values.append((time_ms, float(row[block.value])))
    if table is not None:
        yield table


def texts(rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield ``_value`` of each row as text; raise StoreFailedError when the engine broke off."""
    rows = iter(rows)
    place: int | None = None
    for row in rows:
        if not row:
            continue
        if row[0] == "#datatype":
            place = _header(rows).index("_value")
        elif place is None:
            raise _broken_off(row)
        else:
            yield row[place]


def _block(types: list[str], rows: Iterator[list[str]]) -> _Block:
    return _Block(_header(rows), types)


def _header(rows: Iterator[list[str]]) -> list[str]:
    header = next(rows, [])
    if header[:3] != ["", "result", "table"]:
        raise _broken_off(next(rows, header))
    return header


def _broken_off(row: list[str]) -> StoreFailedError:
    return StoreFailedError(f"InfluxDB broke a query off: {' '.join(row).strip()[:300]}")
