"""Flux queries of the stand-in's data sources, asked of InfluxDB as Grafana documents it."""

from __future__ import annotations

import csv
import io
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATIENCE_SECONDS = 30
_SPAN = re.compile(r"now(?:-(\d+)([smhd]))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBERS = {"double", "long", "unsignedLong"}


class QueryError(Exception):
    """InfluxDB refused or could not be reached; the message has its words."""


def milliseconds(text: str) -> int:
    """Return the time of ``now``, ``now-5m`` or of milliseconds as text."""
    found = _SPAN.fullmatch(text)
    if found is None:
        return int(text)
    span = int(found[1]) * _SECONDS[found[2]] if found[1] else 0
    return int((time.time() - span) * 1000)


def filled(
    flux: str, start_ms: int, stop_ms: int, interval_ms: int, source: Mapping[str, Any]
) -> str:
    """Put the documented macros of a Flux query in their places."""
    settings = source["jsonData"]
    places = {
        "v.timeRangeStart": _moment(start_ms),
        "v.timeRangeStop": _moment(stop_ms),
        "v.windowPeriod": f"{interval_ms}ms",
        "v.defaultBucket": json.dumps(settings.get("defaultBucket", "")),
        "v.organization": json.dumps(settings.get("organization", "")),
        "$__interval_ms": str(interval_ms),
    }
    for place, text in places.items():
        flux = flux.replace(place, text)
    return flux


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def frames(source: Mapping[str, Any], flux: str) -> list[dict[str, Any]]:
    """Return a frame a table; what a table is grouped by are labels, other columns are fields."""
    found: list[dict[str, Any]] = []
    for names, kinds, groups, rows in _tables(_asked(source, flux)):
        columns = [
            index
            for index, name in enumerate(names)
            if name not in ("", "result", "table") and groups[index] != "true"
        ]
        labels = {
            name: rows[0][index]
            for index, name in enumerate(names)
            if groups[index] == "true" and name not in ("_start", "_stop")
        }
        fields = [
            {
                "name": {"_time": "Time", "_value": "Value"}.get(names[index], names[index]),
                "type": _kind(kinds[index]),
                "labels": labels,
            }
            for index in columns
        ]
        values = [[_value(kinds[index], row[index]) for row in rows] for index in columns]
        found.append({"schema": {"fields": fields}, "data": {"values": values}})
    return found


def _kind(datatype: str) -> str:
    if datatype.startswith("dateTime"):
        return "time"
    return "number" if datatype in _NUMBERS else "boolean" if datatype == "boolean" else "string"


def _value(datatype: str, text: str) -> Any:
    if text == "":
        return None
    if datatype.startswith("dateTime"):
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    return (
        float(text) if datatype in _NUMBERS else text == "true" if datatype == "boolean" else text
    )


def _tables(text: str) -> Iterator[tuple[list[str], list[str], list[str], list[list[str]]]]:
    """Yield names, datatypes, group marks and rows of each table of an annotated CSV."""
    kinds: list[str] = []
    groups: list[str] = []
    names: list[str] = []
    rows: list[list[str]] = []
    last = ""
    for row in csv.reader(io.StringIO(text)):
        if not row or row[0].startswith("#default"):
            continue
        if row[0].startswith("#datatype"):
            if rows:
                yield names, kinds, groups, rows
            kinds, names, rows = row, [], []
        elif row[0].startswith("#group"):
            groups = row
        elif not names:
            if row[1:2] == ["error"]:
                raise QueryError(str(next(csv.reader(io.StringIO(text.splitlines()[-1])))[1]))
            names = row
        else:
            table = row[names.index("table")]
            if rows and table != last:
                yield names, kinds, groups, rows
                rows = []
            last = table
            rows.append(row)
    if rows:
        yield names, kinds, groups, rows


def _asked(source: Mapping[str, Any], flux: str) -> str:
    secrets = source["secrets"]
    settings = source["jsonData"]
    context = None
    if source["url"].startswith("https:"):
        authority = secrets.get("tlsCACert") if settings.get("tlsAuthWithCACert") else None
        context = ssl.create_default_context(cadata=authority)
    request = urllib.request.Request(  # noqa: S310 - the URL of a data source of a test
        f"{source['url']}/api/v2/query?org={settings.get('organization', '')}",
        json.dumps(
            {"query": flux, "dialect": {"annotations": ["datatype", "group", "default"]}}
        ).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": f"Token {secrets.get('token', '')}",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS, context=context) as answer:  # noqa: S310
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise QueryError(error.read().decode(errors="replace")[:500]) from error
    except (OSError, ValueError) as error:
        raise QueryError(f"error performing flux query: {error}") from error
