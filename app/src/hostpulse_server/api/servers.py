"""``/servers`` below /api/v1: which servers may report, how they are, and their keys."""

from __future__ import annotations

import dataclasses
from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import request, url_for
from flask_smorest import Blueprint

from hostpulse_server import wire
from hostpulse_server.api.auth import require
from hostpulse_server.api.server_schemas import (
    ListQuery,
    NewKeyView,
    NewServerView,
    ServerCompleteness,
    ServerDetail,
    ServerPage,
    ServerSchema,
)
from hostpulse_server.api.services import services
from hostpulse_server.errors import InvalidItemError, UnsupportedMediaError
from hostpulse_server.operator.completeness import completeness
from hostpulse_server.operator.server_views import server_json
from hostpulse_server.registry.schemas import ServerItem, ServerPatch
from hostpulse_server.state import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostpulse_server.registry import Server

blueprint = Blueprint(
    "servers",
    __name__,
    url_prefix="/api/v1",
    description="Servers that may report, and their keys.",
)
ROOT = "/servers"
_LABEL = "label."
_NO_STORE = {"Cache-Control": "no-store"}  # for answers that hold a key


def takes_json(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let only bodies of JSON, of ``max_body`` bytes at most, reach the view, or none at all.

    Without it a body of another type would be read as an empty one.
    """

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        request.max_content_length = services().config.api.max_body
        is_json = request.mimetype == "application/json"
        body = request.get_data() if is_json or not request.mimetype else b"of another type"
        if body and not is_json:
            raise UnsupportedMediaError("The body must be application/json; set Content-Type.")
        if body:  # the parser behind the schemas fails on nesting and long numbers
            wire.parse(body)
        return view(*args, **kwargs)

    return checked


@blueprint.route(ROOT, methods=["GET"])
@require("reader")
@blueprint.arguments(ListQuery, location="query")
@blueprint.response(200, ServerPage)
def list_servers(query: dict[str, Any]) -> dict[str, Any]:
    """List servers with status, completeness and facts."""
    labels = _labels(query)
    service = services()
    now_ms = service.clock.now_ms()
    after = query.get("cursor", "")
    limit = query["limit"]
    found = [one for one in service.registry.servers(labels=labels) if one.id > after]
    seen = service.seen.get([one.id for one in found])
    page: list[dict[str, Any]] = []
    for server in found:
        shown = server_json(server, seen.get(server.id), now_ms)
        if query.get("status") not in (None, shown["status"]):
            continue
        if len(page) == limit:
            return {"servers": page, "next": page[-1]["id"]}
        page.append(shown)
    return {"servers": page, "next": None}


def _labels(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the ``label.NAME`` parameters; raise InvalidItemError for unknown ones."""
    extra = {name: text for name, text in request.args.items() if name not in query}
    unknown = [name for name in extra if not name.startswith(_LABEL)]
    if unknown:
        raise InvalidItemError(
            {f"/{name}": ["is not a parameter of this list"] for name in unknown}
        )
    return {name.removeprefix(_LABEL): text for name, text in extra.items()}


@blueprint.route(ROOT, methods=["POST"])
@require("admin")
@takes_json
@blueprint.arguments(ServerItem)
@blueprint.response(201, NewServerView)
def add_server(item: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Add a server; without `keys` it gets a new key, shown this once."""
    added = services().registry.add(item)
    body = {**_shown(added.server), "key": added.key.text if added.key else None}
    where = url_for("servers.get_server", server_id=added.server.id)
    return body, 201, {"Location": where, **_NO_STORE}


@blueprint.route(f"{ROOT}/<server_id>", methods=["GET"])
@require("reader")
@blueprint.response(200, ServerDetail)
def get_server(server_id: str) -> dict[str, Any]:
    """Show one server with its live keys and which of its samples are stored or missing."""
    service = services()
    shown = _shown(service.registry.server(server_id))
    shown["keys"] = [key.as_json() for key in service.registry.list_keys(server_id=server_id)]
    shown["ledger"] = [dataclasses.asdict(stream) for stream in service.seen.ledger(server_id)]
    return shown


@blueprint.route(f"{ROOT}/<server_id>/completeness", methods=["GET"])
@require("reader")
@blueprint.response(200, ServerCompleteness)
def get_completeness(server_id: str) -> dict[str, Any]:
    """Show which samples of a server are stored, missing, dropped, refused and evaluated."""
    service = services()
    service.registry.server(server_id)
    with reading(service.registry.engine) as session:
        return completeness(session, service.seen, server_id)


@blueprint.route(f"{ROOT}/<server_id>", methods=["PATCH"])
@require("admin")
@takes_json
@blueprint.arguments(ServerPatch)
@blueprint.response(200, ServerSchema)
def patch_server(changes: dict[str, Any], server_id: str) -> dict[str, Any]:
    """Change name, address, labels, allow_from or disabled; what is left out stays."""
    return _shown(services().registry.patch(server_id, changes))


@blueprint.route(f"{ROOT}/<server_id>", methods=["DELETE"])
@require("admin")
@blueprint.response(204)
def remove_server(server_id: str) -> None:
    """Remove a server and its keys; its stored samples stay."""
    services().registry.remove(server_id)


@blueprint.route(f"{ROOT}/<server_id>/keys", methods=["POST"])
@require("admin")
@blueprint.response(201, NewKeyView)
def add_key(server_id: str) -> tuple[dict[str, str], int, dict[str, str]]:
    """Make a second live key, shown this once; a third is refused until one is revoked."""
    key = services().registry.create_key("agent", server_id)
    return {"id": key.id, "key": key.text}, 201, _NO_STORE


@blueprint.route(f"{ROOT}/<server_id>/keys/<key_id>", methods=["DELETE"])
@require("admin")
@blueprint.response(204)
def revoke_key(server_id: str, key_id: str) -> None:
    """Revoke a key, for ever."""
    services().registry.revoke(key_id, server_id=server_id)


def _shown(server: Server) -> dict[str, Any]:
    service = services()
    seen = service.seen.get([server.id]).get(server.id)
    return server_json(server, seen, service.clock.now_ms())
