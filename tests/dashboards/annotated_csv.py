"""InfluxDB's annotated CSV, read as tables.

https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/
"""

from __future__ import annotations

import csv
import io
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ANNOTATIONS = ["datatype", "group", "default"]
_ERROR = ["error", "reference"]


class QueryError(Exception):
    """InfluxDB refused a query or gave up on it; the message holds its words."""


class Column(NamedTuple):
    """What the annotations say of a column."""

    name: str
    datatype: str
    grouped: bool  # in the group key
    default: str


class Table(NamedTuple):
    """Columns, and at least one row; null is an empty text."""

    columns: list[Column]
    rows: list[list[str]]

    def labels(self) -> dict[str, str]:
        """Return the group key: column → its value, which is the same in every row."""
        cells = zip(self.columns, self.rows[0], strict=True)
        return {column.name: cell for column, cell in cells if column.grouped}

    def values(self) -> dict[str, list[str]]:
        """Return the columns that are not in the group key: name → values."""
        return {
            column.name: [row[number] for row in self.rows]
            for number, column in enumerate(self.columns)
            if not column.grouped
        }


def tables(text: str) -> Iterator[Table]:
    """Yield the tables of all results that have rows, without the columns ``result`` and ``table``.

    Raises QueryError when the answer ends with an error, which InfluxDB reports as a table once it
    has begun to answer.
    """
    for columns, rows in _blocks(text):
        if [column.name for column in columns] == _ERROR:
            raise QueryError(rows[0][0])
        for _, ours in groupby(rows, key=lambda row: row[:2]):
            yield Table(columns[2:], [row[2:] for row in ours])


def _blocks(text: str) -> Iterator[tuple[list[Column], list[list[str]]]]:
    """Yield the parts of an answer that have a header each: its columns, its rows."""
    annotations: dict[str, list[str]] = {}
    columns: list[Column] = []
    rows: list[list[str]] = []
    for first, *cells in filter(None, csv.reader(io.StringIO(text, newline=""))):
        if first.startswith("#"):
            if columns:
                yield columns, rows
                annotations, columns, rows = {}, [], []
            annotations[first[1:]] = cells
        elif columns:
            rows.append(
                [cell or column.default for cell, column in zip(cells, columns, strict=True)]
            )
        else:
            datatypes, groups, defaults = (annotations[name] for name in ANNOTATIONS)
            described = zip(cells, datatypes, groups, defaults, strict=True)
            columns = [
                Column(name, kind, flag == "true", text) for name, kind, flag, text in described
            ]
    if columns:
        yield columns, rows
