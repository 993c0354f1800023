"""Flux queries of the stand-in's data sources, asked of InfluxDB as Grafana documents it."""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.error
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.dashboards.annotated_csv import ANNOTATIONS, QueryError, tables
from tests.dashboards.interpolation import Macros, expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.dashboards.annotated_csv import Table

PATIENCE_SECONDS = 30
_SPAN = re.compile(r"now(?:-(\d+)([smhd]))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBERS = {"double", "long", "unsignedLong"}


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
    bucket, organization = settings.get("defaultBucket"), settings.get("organization")
    return expand(flux, Macros(start_ms, stop_ms, interval_ms, bucket, organization))


def frames(source: Mapping[str, Any], flux: str) -> list[dict[str, Any]]:
    """Return a frame a table; what a table is grouped by are labels, other columns are fields."""
    return [_frame(table) for table in tables(_asked(source, flux))]


def _frame(table: Table) -> dict[str, Any]:
    labels = {
        name: value for name, value in table.labels().items() if name not in ("_start", "_stop")
    }
    shown = {"_time": "Time", "_value": labels.pop("_field", "Value")}
    kinds = {one.name: one.datatype for one in table.columns}
    values = table.values()
    fields = [
        {"name": shown.get(name, name), "type": _kind(kinds[name]), "labels": labels}
        for name in values
    ]
    cells = [[_value(kinds[name], one) for one in column] for name, column in values.items()]
    return {"schema": {"fields": fields}, "data": {"values": cells}}


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


def _asked(source: Mapping[str, Any], flux: str) -> str:
    secrets = source["secrets"]
    settings = source["jsonData"]
    context = None
    if source["url"].startswith("https:"):
        authority = secrets.get("tlsCACert") if settings.get("tlsAuthWithCACert") else None
        context = ssl.create_default_context(cadata=authority)
    request = urllib.request.Request(  # noqa: S310 - the URL of a data source of a test
        f"{source['url']}/api/v2/query?org={settings.get('organization', '')}",
        json.dumps({"query": flux, "dialect": {"annotations": ANNOTATIONS}}).encode(),
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
