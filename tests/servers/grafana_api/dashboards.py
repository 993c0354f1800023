"""Dashboards of the stand-in, their versions, and the search for them and for folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api import folders
from tests.servers.grafana_api.api import VIEWER, ApiError, Call, Route, now, refuse, said

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import Document, State

LIMIT, MOST = 1000, 5000  # of a search that names none, and of any (documented)


def store(state: State, uid: str, document: dict[str, Any], folder: str, **more: Any) -> Document:
    """Save the next version of a dashboard; ``more`` has message, by and keep."""
    with state.lock:
        there = state.find("dashboard", uid)
        version = (there["version"] if there else 0) + 1
        made = there["created"] if there else now()
        body = {
            "uid": uid, "title": document["title"], "tags": document.get("tags") or [],
            "folder": folder, "version": version, "document": document, "created": made,
            "updated": now(), "by": more.get("by", ""),
        }  # fmt: skip
        saved = state.put("dashboard", uid, body)
        # The first version does not have the message that it was saved with (observed).
        message = more.get("message", "") if there else ""
        state.insert("dashboard_version", f"{uid}/{version}",
                     {"version": version, "message": message, "created": now(),
                      "createdBy": more.get("by", "")})  # fmt: skip
        for old in state.keyed("dashboard_version", f"{uid}/")[: -more.get("keep", 20)]:
            state.delete("dashboard_version", old["key"])
        return saved


def drop(state: State, uid: str) -> None:
    """Remove a dashboard and its versions."""
    state.delete("dashboard", uid)
    for old in state.keyed("dashboard_version", f"{uid}/"):
        state.delete("dashboard_version", old["key"])


def _found(call: Call, uid: str, needed: int = folders.VIEW) -> Document:
    one = call.state.find("dashboard", uid)
    if one is None:
        raise ApiError(404, "Dashboard not found")
    if folders.level(call.state, call.who, one["folder"]) < needed:
        refuse("dashboards:write" if needed > folders.VIEW else "dashboards:read")
    return one


def _url(one: Document) -> str:
    return f"/d/{one['uid']}/{folders.slug(one['title'])}"


def _whole(one: Document) -> dict[str, Any]:
    own = {"id": one["id"], "uid": one["uid"], "version": one["version"]}
    return {**one["document"], **own}


def read(call: Call, uid: str) -> dict[str, Any]:
    """Answer one dashboard and what is known of it."""
    one = _found(call, uid)
    folder = call.state.find("folder", one["folder"]) or {"id": 0, "title": "General"}
    may = folders.level(call.state, call.who, one["folder"])
    kept = call.state.find("dashboard_provisioning", uid)
    meta = {
        "type": "db", "slug": folders.slug(one["title"]), "url": _url(one),
        "canSave": may >= folders.EDIT, "canEdit": may >= folders.EDIT,
        "canDelete": may >= folders.EDIT, "canAdmin": may >= folders.MANAGE, "canStar": True,
        "isStarred": False,
        "created": one["created"], "updated": one["updated"], "createdBy": one["by"],
        "updatedBy": one["by"], "version": one["version"], "hasAcl": False, "isFolder": False,
        "folderId": folder["id"], "folderUid": one["folder"], "folderTitle": folder["title"],
        "provisioned": bool(kept), "provisionedExternalId": kept["file"] if kept else "",
    }  # fmt: skip
    return {"meta": meta, "dashboard": _whole(one)}


def save(call: Call) -> dict[str, Any]:
    """Save a dashboard, as a new one or as the next version."""
    given = call.document()
    document, overwrite = given.get("dashboard"), bool(given.get("overwrite"))
    if not isinstance(document, dict) or not str(document.get("title") or "").strip():
        raise ApiError(400, "Dashboard title cannot be empty", status="empty-name")
    uid, folder = folders.checked_uid(document.get("uid")), str(given.get("folderUid") or "")
    with call.state.lock:
        there = call.state.find("dashboard", uid)
        _may_save(call, there, folder)
        if there and not overwrite and document.get("version") != there["version"]:
            raise ApiError(
                412,
                "The dashboard has been changed by someone else",
                status="version-mismatch",
            )
        namesake = _namesake(call.state, uid, folder, str(document["title"]))
        if namesake and not overwrite:
            raise ApiError(
                412,
                "A dashboard with the same name in the folder already exists",
                status="name-exists",
            )
        # Overwriting takes the dashboard of that title for another version of this one (observed).
        uid = namesake or uid
        kept = {key: value for key, value in document.items() if key not in ("id", "version")}
        saved = store(
            call.state,
            uid,
            kept,
            folder,
            message=str(given.get("message") or ""),
            by=call.who.login,
            keep=call.settings.number("dashboards", "versions_to_keep"),
        )
    return {
        "id": saved["id"], "uid": uid, "url": _url(saved), "status": "success",
        "version": saved["version"], "slug": folders.slug(saved["title"]),
    }  # fmt: skip


def _may_save(call: Call, there: Document | None, folder: str) -> None:
    if folder and call.state.find("folder", folder) is None:
        raise ApiError(400, "folder not found")
    for place in {folder, there["folder"] if there else folder}:
        if folders.level(call.state, call.who, place) < folders.EDIT:
            refuse("dashboards:write" if there else "dashboards:create")
    kept = there and call.state.find("dashboard_provisioning", there["uid"])
    if kept and not kept["updates"]:
        raise ApiError(400, "Cannot save provisioned dashboard")


def _namesake(state: State, uid: str, folder: str, title: str) -> str:
    """Return the uid of another dashboard with this title in the folder."""
    for one in state.all("dashboard"):
        if (one["folder"], one["title"].lower()) == (folder, title.lower()) and one["uid"] != uid:
            return str(one["uid"])
    return ""


def remove(call: Call, uid: str) -> dict[str, Any]:
    """Remove a dashboard, unless a file of provisioning has it."""
    one = _found(call, uid, folders.EDIT)
    if call.state.find("dashboard_provisioning", uid):
        raise ApiError(400, "provisioned dashboard cannot be deleted")
    drop(call.state, uid)
    title = one["title"]
    return said(f"Dashboard {title} deleted", title=title, id=one["id"])


def versions(call: Call, uid: str) -> Any:
    """Answer the versions of a dashboard, the newest first: a list, or as since 12 an object."""
    one = _found(call, uid, folders.EDIT)
    kept = call.state.keyed("dashboard_version", f"{uid}/")
    shown = [
        {
            "id": version["id"], "dashboardId": one["id"], "uid": uid,
            "parentVersion": max(version["version"] - 1, 0), "restoredFrom": 0,
            "version": version["version"], "created": version["created"],
            "createdBy": version["createdBy"], "message": version["message"],
        }
        for version in reversed(kept)
    ][: call.most("limit", LIMIT)]  # fmt: skip
    if call.settings.text("stand_in", "versions") == "object":
        return {"continueToken": "", "versions": shown}
    return shown


def search(call: Call) -> list[dict[str, Any]]:
    """Answer the folders and dashboards that can be seen, by type, title and tag."""
    found = [*_folders(call), *_dashboards(call)]
    kind, text, tags = call.given("type"), call.given("query").lower(), call.query.get("tag", [])
    inside = {int(one) for one in call.query.get("folderIds", [])}
    hits = [
        one
        for one in found
        if kind in ("", one["type"])
        and (not inside or one.get("folderId", 0) in inside)
        and text in one["title"].lower()
        and set(tags) <= set(one["tags"])
    ]
    hits.sort(key=lambda one: (one["type"] != "dash-folder", one["title"].lower()))
    limit = call.most("limit", LIMIT)
    if limit > MOST:
        raise ApiError(400, f"a search answers {MOST} at most")
    return hits[:limit]


def _folders(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": one["id"], "uid": one["uid"], "title": one["title"], "type": "dash-folder",
            "tags": [], "uri": f"db/{folders.slug(one['title'])}", "slug": "", "isStarred": False,
            "url": folders.shown(one)["url"], "sortMeta": 0,
        }
        for one in call.state.all("folder")
        if folders.level(call.state, call.who, one["uid"])
    ]  # fmt: skip


def _dashboards(call: Call) -> list[dict[str, Any]]:
    found = []
    for one in call.state.all("dashboard"):
        if folders.level(call.state, call.who, one["folder"]):
            hit = {
                "id": one["id"], "uid": one["uid"], "title": one["title"], "type": "dash-db",
                "tags": one["tags"], "uri": f"db/{folders.slug(one['title'])}", "slug": "",
                "url": _url(one), "isStarred": False, "sortMeta": 0,
            }  # fmt: skip
            folder = call.state.find("folder", one["folder"])
            if folder:
                hit |= {
                    "folderId": folder["id"], "folderUid": folder["uid"],
                    "folderTitle": folder["title"], "folderUrl": folders.shown(folder)["url"],
                }  # fmt: skip
            found.append(hit)
    return found


ROUTES = (
    Route("GET", "/api/search", VIEWER, search),
    Route("POST", "/api/dashboards/db", VIEWER, save),
    Route("GET", "/api/dashboards/uid/{}", VIEWER, read),
    Route("DELETE", "/api/dashboards/uid/{}", VIEWER, remove),
    Route("GET", "/api/dashboards/uid/{}/versions", VIEWER, versions),
)
