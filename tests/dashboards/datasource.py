"""An influxd, asked as the panels, variables and annotations of a dashboard ask it.

Frames have the shape that Grafana 10.0 was seen to give them. Of a time series (``_time`` and
``_value``) what is in the group key is a label, and the value is named by its field, or ``Value``
where it has no label ``_field``. Columns of a table without a group key keep their names. Other
shapes were not seen, and are an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import requests
from testbed.influxdb.local import ORG
from tests.dashboards.annotated_csv import ANNOTATIONS, QueryError, tables
from tests.dashboards.interpolation import (
    ALL,
    Macros,
    Value,
    expand,
    interpolate,
    panel_interval_ms,
    rfc3339,
    selected,
)

if TYPE_CHECKING:
    from tests.dashboards.annotated_csv import Table
    from tests.dashboards.committed import Dashboard, Question

PATIENCE_SECONDS = 60.0
_SERIES = {"_time", "_value"}


class Column(NamedTuple):
    """A name, and values of which null is None or an empty text."""

    name: str
    is_time: bool
    values: list[Any]

    @property
    def filled(self) -> bool:
        """Whether any value is not null."""
        return any(value not in (None, "") for value in self.values)


@dataclass(frozen=True)
class Frame:
    """What a panel gets of one table."""

    labels: dict[str, str]
    columns: list[Column]

    def shown(self) -> list[str]:
        """Return the names of the columns with a value; times alone are none."""
        found = [one for one in self.columns if one.filled]
        return [one.name for one in found] if not all(one.is_time for one in found) else []


class Query(NamedTuple):
    """A query with its variables filled in; ``max_data_points`` is 0 for those without windows."""

    flux: str
    macros: Macros
    max_data_points: int = 0


class DataSource(Protocol):
    """What answers queries."""

    def frames(self, query: Query) -> list[Frame]:
        """Return what a query finds."""


class FluxDataSource:
    """An influxd asked over HTTP with one token; ``now_ms`` is what it takes for now."""

    def __init__(self, url: str, token: str, now_ms: int | None = None) -> None:
        self._url = f"{url}/api/v2/query?org={ORG}"
        self._headers = {"Authorization": f"Token {token}"}
        self._now = {"now": rfc3339(now_ms)} if now_ms else {}

    def frames(self, query: Query) -> list[Frame]:
        """Return what a query finds; raise QueryError."""
        return [_frame(table) for table in tables(self.post(query))]

    def post(self, query: Query) -> str:
        """Return annotated CSV; raise QueryError with the words of an answer that is none."""
        flux = expand(query.flux, query.macros)
        dialect = {"annotations": ANNOTATIONS}
        answer = requests.post(
            self._url,
            json={"query": flux, "type": "flux", "dialect": dialect, **self._now},
            headers=self._headers,
            timeout=PATIENCE_SECONDS,
        )
        if answer.status_code != requests.codes.ok:
            raise QueryError(f"{answer.status_code} {answer.text[:500]} to\n{flux}")
        return answer.text


class View:
    """A dashboard that somebody has opened: its variables and its time range."""

    def __init__(
        self, source: DataSource, dashboard: Dashboard, span_ms: int, stop_ms: int
    ) -> None:
        """Select what is selected at first: All, or the first option there is."""
        self._source = source
        self._span_ms = span_ms
        self._stop_ms = stop_ms
        self.variables: dict[str, Value] = {}
        for one in dashboard.variables():
            if one["type"] == "query":
                frames = source.frames(self._query(one["query"]))
                options = sorted(text for frame in frames for text in frame.columns[0].values)
                choice = ALL if one["includeAll"] else next(iter(options), "")
                self.variables[one["name"]] = selected(one, options, choice)

    def query(self, question: Question) -> Query:
        """Return a query as its panel sends it."""
        return self._query(question.flux, question.points, question.interval_ms)

    def columns(self, question: Question) -> list[str]:
        """Return the names of the columns that a query finds values for, frame by frame."""
        return [name for frame in self.frames(question) for name in frame.shown()]

    def frames(self, question: Question) -> list[Frame]:
        """Return what a query finds."""
        return self._source.frames(self.query(question))

    def _query(self, flux: str, points: int = 0, min_interval_ms: int = 0) -> Query:
        every_ms = panel_interval_ms(self._span_ms, points, min_interval_ms) if points else None
        macros = Macros(self._stop_ms - self._span_ms, self._stop_ms, every_ms)
        return Query(interpolate(flux, self.variables), macros, points)


def _frame(table: Table) -> Frame:
    labels, values = table.labels(), table.values()
    times = {one.name for one in table.columns if one.datatype.startswith("dateTime")}
    if values.keys() == _SERIES:
        names = {"_time": "Time", "_value": labels.pop("_field", "Value")}
    elif labels:
        raise ValueError(f"neither a time series nor ungrouped: {[*labels]} of {[*values]}")
    else:
        names = {name: name for name in values}
    columns = [Column(names[name], name in times, found) for name, found in values.items()]
    return Frame(labels, columns)
