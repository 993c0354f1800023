"""Data sources of the stand-in, and queries through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.dashboards.annotated_csv import QueryError
from tests.servers.grafana_api import flux
from tests.servers.grafana_api.api import (
    ADMIN,
    ORGANIZATION,
    VIEWER,
    Answer,
    ApiError,
    Call,
    Route,
    said,
)
from tests.servers.grafana_api.folders import checked_uid

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import Document, State

DEFAULT_INTERVAL_MS = 1000
NEEDED = ("name", "type", "access")
ACCESS = ("proxy", "direct")
SETTINGS = {
    *("access", "basicAuth", "database", "editable", "isDefault", "jsonData", "name", "orgId"),
    *("readOnly", "secureJsonData", "type", "uid", "url", "user", "version", "withCredentials"),
}


def made(given: dict[str, Any], *, read_only: bool = False) -> dict[str, Any]:
    """Return a data source as it is kept; refuse what is none."""
    if not all(given.get(key) for key in NEEDED):
        raise ApiError(400, "bad request data")
    if given["access"] not in ACCESS:
        raise ApiError(400, f"access is {given['access']!r}, neither {' nor '.join(ACCESS)}")
    return {
        "uid": checked_uid(given.get("uid")), "name": given["name"], "type": given["type"],
        "access": given["access"], "url": given.get("url", ""),
        "isDefault": bool(given.get("isDefault")), "jsonData": given.get("jsonData") or {},
        "secrets": given.get("secureJsonData") or {}, "readOnly": read_only, "version": 1,
    }  # fmt: skip


def _found(call: Call, uid: str) -> Document:
    one = call.state.find("data_source", uid)
    if one is None:
        raise ApiError(404, "Data source not found")
    return one


def _shown(one: Document) -> dict[str, Any]:
    """Return all but the secrets, of which only the names are given."""
    own = {
        "id": one["id"], "orgId": ORGANIZATION, "typeLogoUrl": "", "user": "", "database": "",
        "basicAuth": False, "basicAuthUser": "", "withCredentials": False,
        "secureJsonFields": dict.fromkeys(one["secrets"], True),
    }  # fmt: skip
    hidden = ("id", "key", "secrets")
    return {**{key: value for key, value in one.items() if key not in hidden}, **own}


def _refuse_taken(state: State, name: str, uid: str) -> None:
    if any(one["name"] == name and one["uid"] != uid for one in state.all("data_source")):
        raise ApiError(409, "data source with the same name already exists")


def listing(call: Call) -> list[dict[str, Any]]:
    """Answer all data sources."""
    return [_shown(one) for one in call.state.all("data_source")]


def read(call: Call, uid: str) -> dict[str, Any]:
    """Answer one data source."""
    return _shown(_found(call, uid))


def create(call: Call) -> dict[str, Any]:
    """Add a data source."""
    body = made(call.document())
    _refuse_taken(call.state, body["name"], "")
    if call.state.find("data_source", body["uid"]):
        raise ApiError(409, "data source with the same uid already exists")
    one = {**call.state.insert("data_source", body["uid"], body), "key": body["uid"]}
    return said("Datasource added", id=one["id"], name=one["name"], datasource=_shown(one))


def change(call: Call, uid: str) -> dict[str, Any]:
    """Replace a data source; secrets that are not given stay."""
    there = _found(call, uid)
    if there["readOnly"]:
        raise ApiError(403, "Cannot update read-only data source")
    body = made({"uid": uid, **call.document()})
    _refuse_taken(call.state, body["name"], uid)
    body["secrets"] = {**there["secrets"], **body["secrets"]}
    call.state.update("data_source", uid, {**body, "version": there["version"] + 1})
    one = _found(call, uid)
    return said("Datasource updated", id=one["id"], name=one["name"], datasource=_shown(one))


def remove(call: Call, uid: str) -> dict[str, Any]:
    """Remove a data source."""
    one = _found(call, uid)
    if one["readOnly"]:
        raise ApiError(403, "Cannot delete read-only data source")
    call.state.delete("data_source", uid)
    return said("Data source deleted", id=one["id"])


def health(call: Call, uid: str) -> Any:
    """Answer whether InfluxDB takes a query with the token."""
    one = _found(call, uid)
    try:
        found = flux.frames(one, "buckets()")
    except QueryError as error:
        return Answer(400, {"status": "ERROR", "message": f"error reading InfluxDB: {error}"})
    count = sum(len(frame["data"]["values"][0]) for frame in found)
    return {"status": "OK", "message": f"{count} buckets found"}


def query(call: Call) -> Any:
    """Answer the frames of queries."""
    given = call.document()
    start, stop = (flux.milliseconds(str(given.get(key))) for key in ("from", "to"))
    results: dict[str, Any] = {}
    for one in given.get("queries") or []:
        source = call.state.find("data_source", (one.get("datasource") or {}).get("uid", ""))
        if source is None:
            raise ApiError(404, "Data source not found")
        every = int(one.get("intervalMs") or DEFAULT_INTERVAL_MS)
        text = flux.filled(str(one.get("query", "")), start, stop, every, source)
        try:
            results[one["refId"]] = {"status": 200, "frames": flux.frames(source, text)}
        except QueryError as error:
            results[one["refId"]] = {"status": 400, "error": str(error), "frames": []}
    failed = any("error" in one for one in results.values())
    return Answer(400 if failed else 200, {"results": results})


ROUTES = (
    Route("GET", "/api/datasources", VIEWER, listing),
    Route("POST", "/api/datasources", ADMIN, create),
    Route("GET", "/api/datasources/uid/{}", VIEWER, read),
    Route("PUT", "/api/datasources/uid/{}", ADMIN, change),
    Route("DELETE", "/api/datasources/uid/{}", ADMIN, remove),
    Route("GET", "/api/datasources/uid/{}/health", VIEWER, health),
    Route("POST", "/api/ds/query", VIEWER, query),
)
