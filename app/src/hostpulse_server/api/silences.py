"""``/silences`` below /api/v1: suppresses notifications for a while."""

from __future__ import annotations

from typing import Any

from flask import url_for
from flask_smorest import Blueprint
from marshmallow import RAISE

from hostpulse_server.api.alert_schemas import (
    SilenceBody,
    SilenceMade,
    SilencePage,
    SilencesQuery,
    SilenceView,
)
from hostpulse_server.api.alerts import caller
from hostpulse_server.api.auth import require
from hostpulse_server.api.servers import takes_json
from hostpulse_server.api.services import services
from hostpulse_server.operator import actions, history, serializers
from hostpulse_server.operator.silence_preview import reach_json
from hostpulse_server.state import reading, writing

blueprint = Blueprint(
    "silences",
    __name__,
    url_prefix="/api/v1",
    description="Alerts that are not told for a while.",
)
ROOT = "/silences"
_ONE = f"{ROOT}/<int:silence_id>"


@blueprint.route(ROOT, methods=["GET"])
@require("reader")
@blueprint.arguments(SilencesQuery, location="query", unknown=RAISE)
@blueprint.response(200, SilencePage)
def list_silences(query: dict[str, Any]) -> dict[str, Any]:
    """List silences in force and to come."""
    service, limit = services(), query["limit"]
    now_ms = service.clock.now_ms()
    with reading(service.registry.engine) as session:
        rows = history.silences(
            session,
            now_ms,
            expired=query["expired"],
            after=int(query["cursor"]),
            limit=limit + 1,
        )
        page = [serializers.silence_json(row, now_ms) for row in rows[:limit]]
    return {"silences": page, "next": str(page[-1]["id"]) if len(rows) > limit else None}


@blueprint.route(ROOT, methods=["POST"])
@require("operator")
@takes_json
@blueprint.arguments(SilenceBody)
@blueprint.response(201, SilenceMade)
def add_silence(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Silence what matches, by default from now on."""
    service = services()
    now_ms = service.clock.now_ms()
    with writing(service.registry.engine) as session:
        row = actions.silence(
            session,
            body["matchers"],
            body.get("start", now_ms),
            body["end"],
            actions.Act(caller(), now_ms, body["comment"]),
        )
        shown = serializers.silence_json(row, now_ms)
    with reading(service.registry.engine) as session:
        shown |= reach_json(session, body["matchers"], service.config.alerts.rules)
    return shown, 201, {"Location": url_for("silences.get_silence", silence_id=shown["id"])}


@blueprint.route(_ONE, methods=["GET"])
@require("reader")
@blueprint.response(200, SilenceView)
def get_silence(silence_id: int) -> dict[str, Any]:
    """Show one silence."""
    service = services()
    with reading(service.registry.engine) as session:
        row = actions.any_silence(session, silence_id)
        return serializers.silence_json(row, service.clock.now_ms())


@blueprint.route(_ONE, methods=["DELETE"])
@require("operator")
@blueprint.response(204)
def remove_silence(silence_id: int) -> None:
    """End a silence now; its record stays."""
    service = services()
    with writing(service.registry.engine) as session:
        actions.end_silence(session, silence_id, actions.Act(caller(), service.clock.now_ms()))
