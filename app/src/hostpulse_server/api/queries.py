"""Reading samples back: ``GET /api/v1/metrics``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from hostpulse_server.api.auth import require
from hostpulse_server.api.problems import ProblemError
from hostpulse_server.api.query_parameters import Parameters, ParametersError, parse
from hostpulse_server.api.services import Services, services
from hostpulse_server.store.base import Query
from hostpulse_server.store.planning import Horizon, QueryPlan, plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.store.base import Series

DEFAULT_INTERVAL_MS = 10_000

blueprint = Blueprint("queries", __name__, url_prefix="/api/v1", description="Reading samples")


class SeriesAnswer(Schema):
    """One field of one measurement of one server with one set of tags."""

    server_id = fields.String()
    measurement = fields.String()
    field = fields.String()
    tags = fields.Dict(keys=fields.String(), values=fields.String())
    points = fields.List(
        fields.List(fields.Float()),
        metadata={"description": "[window start in epoch ms, value], ascending; no empty windows"},
    )


class MetricsAnswer(Schema):
    """Series as they were asked for."""

    resolution = fields.String(metadata={"enum": ["raw", "rollup", "mixed"]})
    step_ms = fields.Integer()
    series = fields.List(fields.Nested(SeriesAnswer))


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "in": "query",
        "name": name,
        "description": description,
        "required": name == "measurement",
        "schema": schema or {"type": "string"},
    }


_TEXTS = {"type": "array", "items": {"type": "string"}}
_TIME = 'epoch milliseconds, RFC 3339, or relative such as "-1h"'
_PARAMETERS = [
    _parameter("measurement", "what to read, such as cpu"),
    _parameter("server_id", "repeatable; default all servers", **_TEXTS),
    _parameter("field", "repeatable; default all fields", **_TEXTS),
    _parameter("label.NAME", "only servers whose label NAME has this value"),
    _parameter("tag.NAME", "only series whose tag NAME has this value"),
    _parameter("start", f"{_TIME}; default -1h"),
    _parameter("end", f"{_TIME}; default now"),
    _parameter("step", 'length of a window, such as "30s"; by default one that suits the range'),
    _parameter("aggregate", "", type="string", enum=["mean", "min", "max", "last"], default="mean"),
]


@blueprint.route("/metrics", methods=["GET"])
@blueprint.doc(
    summary="Read samples", parameters=_PARAMETERS, security=[{"key": []}, {"apiKey": []}]
)
@blueprint.response(200, MetricsAnswer)
@require("reader")
def metrics() -> Response:
    """Return samples, aggregated over windows that are aligned to the epoch.

    Every window that overlaps [start, end) is answered whole and stamped at its start.
    """
    parts = services()
    now_ms = parts.clock.now_ms()
    try:
        wanted = parse(dict(request.args.lists()), now_ms)
    except ParametersError as error:
        raise ProblemError(
            422,
            f"Some parameters are wrong: {error}.",
            {f"/{name}": messages for name, messages in error.faults.items()},
        ) from None
    server_ids = _servers(parts, wanted)
    decided = _plan(parts, wanted, server_ids, now_ms)
    found = parts.store.query(
        Query(
            server_ids=server_ids,
            measurement=wanted.measurement,
            fields=wanted.fields,
            tags=tuple(sorted(wanted.tags.items())),
            start_ms=wanted.start_ms,
            end_ms=wanted.end_ms,
            step_ms=decided.step_ms,
            aggregate=wanted.aggregate,
            raw_from_ms=decided.raw_from_ms,
        )
    )
    return _answer(decided, found)


def _servers(parts: Services, wanted: Parameters) -> tuple[str, ...] | None:
    """Return the ids to read, ``None`` for all, removed ones included: their history stays."""
    if wanted.labels:
        return tuple(parts.registry.resolve(dict(wanted.labels), list(wanted.server_ids)))
    return wanted.server_ids or None


def _plan(
    parts: Services, wanted: Parameters, server_ids: tuple[str, ...] | None, now_ms: int
) -> QueryPlan:
    retention = parts.config.retention
    intervals = [seen.interval_ms for seen in parts.seen.get(server_ids).values()]
    return plan(
        wanted.start_ms,
        wanted.end_ms,
        wanted.step_ms,
        max(min(intervals, default=DEFAULT_INTERVAL_MS), 1000),
        Horizon(
            raw_since_ms=now_ms - int(retention.raw * 1000),
            window_ms=int(retention.rollup_window * 1000),
            oldest_dirty_ms=parts.seen.raw_from_ms(server_ids),
        ),
    )


def _answer(decided: QueryPlan, found: Iterable[Series]) -> Response:
    document = {
        "resolution": decided.resolution,
        "step_ms": decided.step_ms,
        "series": [
            {
                "server_id": one.server_id,
                "measurement": one.measurement,
                "field": one.field,
                "tags": dict(one.tags),
                "points": one.points,
            }
            for one in found
        ],
    }
    return Response(json.dumps(document, separators=(",", ":")), mimetype="application/json")
