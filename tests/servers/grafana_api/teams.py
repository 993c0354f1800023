"""Teams of the stand-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api.api import ADMIN, ORGANIZATION, ApiError, Call, Route, said

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import Document

PAGE = 1000


def _team(call: Call, number: str) -> Document:
    team = call.state.by_id("team", int(number))
    if team is None:
        raise ApiError(404, "Team not found")
    return team


def _shown(team: Document) -> dict[str, Any]:
    return {
        "id": team["id"], "orgId": ORGANIZATION, "name": team["name"], "email": team["email"],
        "memberCount": len(team["members"]), "permission": 0,
    }  # fmt: skip


def search(call: Call) -> dict[str, Any]:
    """Answer the teams, or those of one name."""
    name, size = call.given("name"), call.most("perpage", PAGE)
    page = int(call.given("page", "1"))
    found = [_shown(one) for one in call.state.all("team") if name in ("", one["name"])]
    shown = found[(page - 1) * size : page * size]
    return {"totalCount": len(found), "teams": shown, "page": page, "perPage": size}


def create(call: Call) -> dict[str, Any]:
    """Add a team; a user who makes one is in it."""
    given = call.document()
    name = given.get("name")
    if not name:
        raise ApiError(400, "bad request data")
    if call.state.find("team", name):
        raise ApiError(409, "Team name taken")
    first = [call.who.id] if call.who.kind == "user" else []
    body = {"name": name, "email": given.get("email", ""), "members": first}
    return said("Team created", teamId=call.state.insert("team", name, body)["id"])


def read(call: Call, number: str) -> dict[str, Any]:
    """Answer one team."""
    return _shown(_team(call, number))


def change(call: Call, number: str) -> dict[str, Any]:
    """Give a team another name or address."""
    team, given = _team(call, number), call.document()
    changed: dict[str, Any] = {key: given[key] for key in ("name", "email") if key in given}
    if changed.get("name", team["name"]) != team["name"]:
        raise ApiError(400, "the stand-in does not rename teams")
    call.state.update("team", team["key"], {**team, **changed})
    return said("Team updated")


def remove(call: Call, number: str) -> dict[str, Any]:
    """Remove a team."""
    call.state.delete("team", _team(call, number)["key"])
    return said("Team deleted")


def members(call: Call, number: str) -> list[dict[str, Any]]:
    """Answer who is in a team."""
    team = _team(call, number)
    people = (call.state.by_id("user", one) for one in team["members"])
    return [
        {
            "orgId": ORGANIZATION, "teamId": team["id"], "userId": one["id"], "login": one["login"],
            "email": one["email"] or one["login"], "name": one["name"], "labels": [],
            "permission": 0,
        }
        for one in people
        if one
    ]  # fmt: skip


def add(call: Call, number: str) -> dict[str, Any]:
    """Take a user into a team."""
    team, user = _team(call, number), call.document().get("userId")
    if call.state.by_id("user", int(user or 0)) is None:
        raise ApiError(404, "user not found")
    if user in team["members"]:
        raise ApiError(400, "User is already added to this team")
    call.state.update("team", team["key"], {**team, "members": [*team["members"], user]})
    return said("Member added to Team")


def expel(call: Call, number: str, user: str) -> dict[str, Any]:
    """Take a user out of a team."""
    team = _team(call, number)
    if int(user) not in team["members"]:
        raise ApiError(404, "Team member not found")
    kept = [one for one in team["members"] if one != int(user)]
    call.state.update("team", team["key"], {**team, "members": kept})
    return said("Team Member removed")


ROUTES = (
    Route("GET", "/api/teams/search", ADMIN, search),
    Route("POST", "/api/teams", ADMIN, create),
    Route("GET", "/api/teams/{}", ADMIN, read),
    Route("PUT", "/api/teams/{}", ADMIN, change),
    Route("DELETE", "/api/teams/{}", ADMIN, remove),
    Route("GET", "/api/teams/{}/members", ADMIN, members),
    Route("POST", "/api/teams/{}/members", ADMIN, add),
    Route("DELETE", "/api/teams/{}/members/{}", ADMIN, expel),
)
