"""Folders of the stand-in, and who may do what in them."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api.api import (
    ADMIN,
    EDITOR,
    VIEWER,
    ApiError,
    Call,
    Identity,
    Route,
    now,
    refuse,
    said,
)

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import Document, State

VIEW, EDIT, MANAGE = 1, 2, 4
ROLES = ("Viewer", "Editor", "Admin")
LEVELS = {VIEW: "View", EDIT: "Edit", MANAGE: "Admin"}
UID = re.compile(r"[A-Za-z0-9_-]{1,40}")


def slug(title: str) -> str:
    """Return a title as a part of an address."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "-"


def checked_uid(given: Any) -> str:
    """Return a uid, or a new one where none is given."""
    if not given:
        return secrets.token_hex(7)
    if not UID.fullmatch(str(given)):
        raise ApiError(400, "uid contains illegal characters, or is longer than 40")
    return str(given)


def title_taken(state: State, title: str, but: str = "") -> bool:
    """Tell whether a folder, or a dashboard in none, has a title."""
    folders = [one for one in state.all("folder") if one["key"] != but]
    loose = [one for one in state.all("dashboard") if not one["folder"]]
    return title.lower() in {one["title"].lower() for one in (*folders, *loose)}


def make(state: State, uid: str, title: str, creator: Identity | None = None) -> Document:
    """Add a folder with the rights that a new one has."""
    permissions: list[dict[str, Any]] = [
        {"role": "Editor", "permission": EDIT}, {"role": "Viewer", "permission": VIEW}
    ]  # fmt: skip
    if creator and creator.kind == "user":
        permissions.insert(0, {"userId": creator.id, "permission": MANAGE})
    body = {
        "uid": uid, "title": title, "version": 1, "created": now(), "updated": now(),
        "by": creator.login if creator else "", "permissions": permissions,
    }  # fmt: skip
    return state.insert("folder", uid, body)


def level(state: State, who: Identity, uid: str) -> int:
    """Return what somebody may do in a folder; without one the role decides."""
    if who.rank >= ADMIN:
        return MANAGE
    folder = state.find("folder", uid) if uid else None
    if folder is None:
        return EDIT if who.rank == EDITOR else VIEW if who.rank == VIEWER else 0
    teams = {one["id"] for one in state.all("team") if who.id in one["members"]}
    return max(
        (
            one["permission"]
            for one in folder["permissions"]
            if one.get("role") == who.role
            or (one.get("role") == "Viewer" and who.role == "Editor")
            or (one.get("userId") and (who.kind, who.id) == ("user", one["userId"]))
            or one.get("teamId") in teams
        ),
        default=0,
    )


def found(call: Call, uid: str, needed: int = VIEW) -> Document:
    """Return a folder that the one who asks may use so."""
    folder = call.state.find("folder", uid)
    if folder is None:
        raise ApiError(404, "folder not found")
    if level(call.state, call.who, uid) < needed:
        refuse("folders:write" if needed > VIEW else "folders:read")
    return folder


def shown(folder: Document) -> dict[str, Any]:
    """Return a folder as the interface gives it."""
    return {
        "id": folder["id"], "uid": folder["uid"], "title": folder["title"],
        "url": f"/dashboards/f/{folder['uid']}/{slug(folder['title'])}",
        "hasAcl": False, "canSave": True, "canEdit": True, "canAdmin": True, "canDelete": True,
        "createdBy": folder["by"], "created": folder["created"], "updatedBy": folder["by"],
        "updated": folder["updated"], "version": folder["version"],
    }  # fmt: skip


def listing(call: Call) -> list[dict[str, Any]]:
    """Answer the folders that can be seen."""
    return [
        {key: one[key] for key in ("id", "uid", "title")}
        for one in call.state.all("folder")
        if level(call.state, call.who, one["uid"])
    ]


def create(call: Call) -> dict[str, Any]:
    """Add a folder."""
    given = call.document()
    title = str(given.get("title") or "")
    if not title:
        raise ApiError(400, "folder title cannot be empty")
    uid = checked_uid(given.get("uid"))
    if call.state.find("folder", uid):
        raise ApiError(
            412, "the folder has been changed by someone else", status="version-mismatch"
        )
    if title_taken(call.state, title):
        raise ApiError(
            409, "a folder or dashboard in the general folder with the same name already exists"
        )
    return shown(make(call.state, uid, title, call.who))


def read(call: Call, uid: str) -> dict[str, Any]:
    """Answer one folder."""
    return shown(found(call, uid))


def change(call: Call, uid: str) -> dict[str, Any]:
    """Give a folder another title."""
    folder, given = found(call, uid, EDIT), call.document()
    if not given.get("overwrite") and given.get("version") != folder["version"]:
        raise ApiError(
            412, "the folder has been changed by someone else", status="version-mismatch"
        )
    title = str(given.get("title") or folder["title"])
    if title_taken(call.state, title, but=uid):
        raise ApiError(
            409, "a folder or dashboard in the general folder with the same name already exists"
        )
    changed = {**folder, "title": title, "version": folder["version"] + 1, "updated": now()}
    call.state.update("folder", uid, changed)
    return shown(changed)


def remove(call: Call, uid: str) -> dict[str, Any]:
    """Remove a folder with its dashboards; one with alert rules stays."""
    folder = found(call, uid, EDIT)
    if any(rule["folderUID"] == uid for rule in call.state.all("alert_rule")):
        raise ApiError(400, "folder cannot be deleted: folder is not empty")
    for one in call.state.all("dashboard"):
        if one["folder"] == uid:
            call.state.delete("dashboard", one["key"])
    call.state.delete("folder", uid)
    title = folder["title"]
    return said(f"Folder {title} deleted", title=title, id=folder["id"])


def permissions(call: Call, uid: str) -> list[dict[str, Any]]:
    """Answer who may do what in a folder."""
    folder = found(call, uid, MANAGE)
    return [_permission(call.state, folder, one) for one in folder["permissions"]]


def _permission(state: State, folder: Document, one: dict[str, Any]) -> dict[str, Any]:
    user = state.by_id("user", one.get("userId", 0)) or {}
    team = state.by_id("team", one.get("teamId", 0)) or {}
    answer = {
        "created": folder["created"], "updated": folder["updated"],
        "userId": one.get("userId", 0), "userLogin": user.get("login", ""),
        "userEmail": user.get("email", ""), "teamId": one.get("teamId", 0),
        "team": team.get("name", ""), "teamEmail": team.get("email", ""),
        "permission": one["permission"], "permissionName": LEVELS[one["permission"]],
        "uid": folder["uid"], "title": folder["title"], "slug": slug(folder["title"]),
        "isFolder": True, "url": shown(folder)["url"], "inherited": False,
    }  # fmt: skip
    return {**answer, "role": one["role"]} if "role" in one else answer


def set_permissions(call: Call, uid: str) -> dict[str, Any]:
    """Give a folder exactly these permissions."""
    folder = found(call, uid, MANAGE)
    items = call.document().get("items")
    if not isinstance(items, list):
        raise ApiError(400, "bad request data")
    for one in items:
        names = [key for key in ("role", "userId", "teamId") if one.get(key)]
        if len(names) != 1 or one.get("permission") not in LEVELS:
            raise ApiError(400, "bad request data")
        if names == ["role"] and one["role"] not in ROLES:
            raise ApiError(400, f"{one['role']} is none of the roles {', '.join(ROLES)}")
        if names == ["userId"] and call.state.by_id("user", one["userId"]) is None:
            raise ApiError(400, "user not found")
        if names == ["teamId"] and call.state.by_id("team", one["teamId"]) is None:
            raise ApiError(400, "team not found")
    call.state.update("folder", uid, {**folder, "permissions": items})
    return said("Folder permissions updated", id=folder["id"], title=folder["title"])


ROUTES = (
    Route("GET", "/api/folders", VIEWER, listing),
    Route("POST", "/api/folders", EDITOR, create),
    Route("GET", "/api/folders/{}", VIEWER, read),
    Route("PUT", "/api/folders/{}", VIEWER, change),
    Route("DELETE", "/api/folders/{}", VIEWER, remove),
    Route("GET", "/api/folders/{}/permissions", VIEWER, permissions),
    Route("POST", "/api/folders/{}/permissions", VIEWER, set_permissions),
)
