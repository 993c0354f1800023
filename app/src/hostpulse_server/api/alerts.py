"""``/alerts`` below /api/v1: lists, shows and acknowledges alerts, with their history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import g
from flask_smorest import Blueprint
from marshmallow import RAISE

from hostpulse_server.api.alert_schemas import (
    AckBody,
    AlertDetail,
    AlertPage,
    AlertSchema,
    AlertsQuery,
    HistoryQuery,
)
from hostpulse_server.api.auth import require
from hostpulse_server.api.servers import takes_json
from hostpulse_server.api.services import services
from hostpulse_server.errors import InvalidItemError
from hostpulse_server.notifications.routing import channels_for
from hostpulse_server.operator import actions, history, serializers
from hostpulse_server.operator.timeline import Destinations
from hostpulse_server.state import reading, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.state.alert_models import AlertRow

blueprint = Blueprint(
    "alerts",
    __name__,
    url_prefix="/api/v1",
    description="Alerts, their history, and acknowledgements.",
)
ROOT = "/alerts"
_ONE = f"{ROOT}/<int:alert_id>"


@blueprint.route(ROOT, methods=["GET"])
@require("reader")
@blueprint.arguments(AlertsQuery, location="query", unknown=RAISE)
@blueprint.response(200, AlertPage)
def list_alerts(query: dict[str, Any]) -> dict[str, Any]:
    """List alerts that are not over: pending, firing or both."""
    service, limit = services(), query["limit"]
    with reading(service.registry.engine) as session:
        rows = history.active(session, _wanted(query), after=int(query["cursor"]), limit=limit + 1)
        page = serializers.alerts_json(session, rows[:limit], service.clock.now_ms())
    return {"alerts": page, "next": str(page[-1]["id"]) if len(rows) > limit else None}


@blueprint.route(f"{ROOT}/history", methods=["GET"])
@require("reader")
@blueprint.arguments(HistoryQuery, location="query", unknown=RAISE)
@blueprint.response(200, AlertPage)
def list_history(query: dict[str, Any]) -> dict[str, Any]:
    """List alerts that fired, the newest first: how long, who was told, who acknowledged."""
    service, limit = services(), query["limit"]
    start_ms, end_ms = query.get("start"), query.get("end")
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise InvalidItemError({"/start": ["must be before end"]})
    place = query.get("cursor")
    with reading(service.registry.engine) as session:
        rows = history.fired(
            session,
            _wanted(query),
            limit=limit + 1,
            start_ms=start_ms,
            end_ms=end_ms,
            before=history.PageCursor(*map(int, place.split("-"))) if place else None,
        )
        page = serializers.alerts_json(session, rows[:limit], service.clock.now_ms())
    last = f"{page[-1]['fired']}-{page[-1]['id']}" if len(rows) > limit else None
    return {"alerts": page, "next": last}


def _wanted(query: Mapping[str, Any]) -> history.AlertFilter:
    return history.AlertFilter(
        state=query.get("state", ""),
        rule=query["rule"],
        server_id=query["server_id"],
        severity=query["severity"],
        labels=query["labels"],
    )


@blueprint.route(_ONE, methods=["GET"])
@require("reader")
@blueprint.response(200, AlertDetail)
def get_alert(alert_id: int) -> dict[str, Any]:
    """Show one alert with its timeline: which channel was notified when, or why not."""
    service = services()
    with reading(service.registry.engine) as session:
        row = actions.any_alert(session, alert_id)
        return serializers.detail_json(
            session, row, _to(service.config, row), service.clock.now_ms()
        )


@blueprint.route(f"{_ONE}/ack", methods=["POST"])
@require("operator")
@takes_json
@blueprint.arguments(AckBody)
@blueprint.response(200, AlertSchema)
def acknowledge(body: dict[str, Any], alert_id: int) -> dict[str, Any]:
    """Acknowledge an alert: it is not repeated until then; anew replaces."""
    service = services()
    with writing(service.registry.engine) as session:
        row = actions.acknowledge(
            session,
            alert_id,
            actions.Act(caller(), service.clock.now_ms(), body["comment"]),
            body["until"],
        )
        return _shown(session, row)


@blueprint.route(f"{_ONE}/ack", methods=["DELETE"])
@require("operator")
@blueprint.response(204)
def unacknowledge(alert_id: int) -> None:
    """Take an alert's acknowledgement back."""
    service = services()
    with writing(service.registry.engine) as session:
        actions.unacknowledge(session, alert_id, actions.Act(caller(), service.clock.now_ms()))


def caller() -> str:
    """Return who calls, as alerts and silences name it: the public id of the key."""
    return f"key {g.identity.key_id}"


def _to(config: ServerConfig, row: AlertRow) -> Destinations:
    routed = channels_for(config, row.severity, row.rule, row.server_id, row.labels)
    return Destinations(tuple(config.channels), routed)


def _shown(session: Session, row: AlertRow) -> dict[str, Any]:
    return serializers.alerts_json(session, [row], services().clock.now_ms())[0]
