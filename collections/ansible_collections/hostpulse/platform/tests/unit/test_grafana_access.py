"""Users, teams and rights on a folder that a module makes over Grafana's interface.

Against a stand-in of it, and against a real one where an archive is had.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from testbed.server import EngineError


def member(desk: Any, login: str) -> dict[str, Any]:
    """Return a user of the organization."""
    (found,) = (one for one in desk.grafana.api("GET", "/api/org/users") if one["login"] == login)
    return dict(found)


def allowed(desk: Any, folder: str) -> set[tuple[str, int]]:
    """Return who may what in a folder, in the numbers of the interface; admins may everything."""
    found = desk.grafana.api("GET", f"/api/folders/{folder}/permissions")
    return {
        (one.get("role") or one.get("team") or one["userLogin"], one["permission"])
        for one in found
        if not one["inherited"] and one.get("role") != "Admin"
    }


def outsider(desk: Any, login: str) -> None:
    """Make a user of the server who is in another organization alone."""
    number = desk.grafana.api("POST", "/api/orgs", {"name": f"Another of {login}"})["orgId"]
    user = {"login": login, "password": "outside-1", "OrgId": number}
    desk.grafana.api("POST", "/api/admin/users", user)
    assert login not in {one["login"] for one in desk.grafana.api("GET", "/api/org/users")}


def test_people_teams_and_rights_are_made_once(desk: Any) -> None:
    """A dry run tells the truth, and a second run changes nothing."""
    desk.grafana.api("POST", "/api/folders", {"uid": "shared", "title": "Shared"})
    desk.twice(
        "access",
        users=[{"login": "ada", "role": "editor", "email": "ada@example.org", "password": "ada-1"}],
        teams=[{"name": "crew", "email": "crew@example.org", "members": ["ada"]}],
        folder="shared",
        permissions=[
            {"role": "viewer", "permission": "view"}, {"user": "ada", "permission": "edit"}
        ],
    )  # fmt: skip
    signed_in = desk.grafana.api("GET", "/api/user", login=("ada", "ada-1"))
    assert signed_in["email"] == "ada@example.org"
    assert member(desk, "ada")["role"] == "Editor"
    assert allowed(desk, "shared") == {("Viewer", 1), ("ada", 2)}
    said = desk.twice(
        "access",
        users=[{"login": "ada", "role": "viewer", "password": "ada-2"}],
        teams=[{"name": "crew", "members": []}],
        folder="shared",
        permissions=[{"team": "crew", "permission": "admin"}],
    )
    assert allowed(desk, "shared") == {("crew", 4)}
    assert member(desk, "ada")["role"] == "Viewer"
    assert said["diff"]["before"]["folder shared"] == {"role viewer": "view", "user ada": "edit"}
    assert "ada-2" not in json.dumps(said)
    with pytest.raises(EngineError, match="401"):
        desk.grafana.api("GET", "/api/user", login=("ada", "ada-1"))
    assert desk.grafana.api("GET", "/api/user", login=("ada", "ada-2"))["login"] == "ada"


def test_a_change_of_the_address_leaves_the_rest_of_a_user(desk: Any) -> None:
    """The interface takes login, name and address as a whole."""
    dora = {"login": "dora", "name": "Dora D.", "email": "dora@example.org", "password": "dora-1"}
    desk.twice("access", users=[dora])
    desk.twice("access", users=[{"login": "dora", "email": "new@example.org"}])
    found = desk.grafana.api("GET", "/api/users/lookup?loginOrEmail=dora")
    assert (found["login"], found["name"], found["email"]) == (
        "dora", "Dora D.", "new@example.org"
    )  # fmt: skip
    assert desk.grafana.api("GET", "/api/user", login=("dora", "dora-1"))["login"] == "dora"


def test_a_team_goes_and_its_people_stay(desk: Any) -> None:
    """Its name may have blanks and signs that mean something in an address."""
    name = "on call + ops & more"
    desk.run("access", users=[{"login": "fay", "password": "fay-1234"}])
    desk.twice("access", teams=[{"name": name, "members": ["fay"]}])
    desk.twice("access", teams=[{"name": name, "state": "absent"}])
    search = "/api/teams/search?name=on+call+%2B+ops+%26+more"
    assert desk.grafana.api("GET", search)["teams"] == []
    assert member(desk, "fay")["role"] == "Viewer"


def test_a_user_of_the_server_is_taken_into_the_organization(desk: Any) -> None:
    """Without a password: there is one already."""
    outsider(desk, "gus+ops@example.org")
    desk.twice("access", users=[{"login": "gus+ops@example.org", "role": "editor"}])
    assert member(desk, "gus+ops@example.org")["role"] == "Editor"


def test_with_a_token_people_teams_and_rights_are_made_too(guest: Any) -> None:
    """Of people who are on the server: a token makes none."""
    outsider(guest, "hal")
    guest.grafana.api("POST", "/api/folders", {"uid": "lent", "title": "Lent"})
    guest.twice(
        "access",
        users=[{"login": "hal", "role": "editor"}],
        teams=[{"name": "guests", "members": ["hal"]}],
        folder="lent",
        permissions=[
            {"team": "guests", "permission": "admin"}, {"user": "hal", "permission": "view"}
        ],
    )  # fmt: skip
    assert member(guest, "hal")["role"] == "Editor"
    assert allowed(guest, "lent") == {("guests", 4), ("hal", 1)}
    said = guest.run("access", users=[{"login": "nobody-there"}])
    assert said["failed"]
    assert "user nobody-there is not there, and a token makes none" in said["msg"]


def test_people_who_are_not_named_stay(desk: Any) -> None:
    """Only who is said to be absent goes."""
    desk.run(
        "access", users=[{"login": "bo", "password": "bo-12"}, {"login": "cy", "password": "cy-12"}]
    )
    desk.twice("access", users=[{"login": "bo", "state": "absent"}])
    there = {one["login"] for one in desk.grafana.api("GET", "/api/org/users")}
    assert "bo" not in there
    assert {"admin", "cy"} <= there


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"users": [{"login": "x", "role": "boss", "password": "12345"}]}, "none of viewer"),
        ({"users": [{"login": "nobody"}]}, "needs a password"),
        ({"teams": [{"name": "t", "members": ["stranger"]}]}, "no user 'stranger'"),
        ({"folder": "f", "permissions": [{"role": "viewer", "permission": "x"}]}, "as permission"),
        ({"folder": "f", "permissions": [{"team": "gone", "permission": "view"}]}, "no team"),
    ],
)
def test_what_cannot_be_is_said_with_a_way_out(desk: Any, wrong: dict[str, Any], told: str) -> None:
    """The operator reads what to write."""
    said = desk.run("access", **wrong)
    assert said["failed"]
    assert told in said["msg"]


def test_a_new_user_without_a_password_is_refused_before_anybody_is_made(desk: Any) -> None:
    """A dry run says so too, and names the variable that lacks it."""
    users = [{"login": "first", "password": "first-1"}, {"login": "second"}]
    for check in (True, False):
        said = desk.run("access", check=check, users=users)
        assert said["failed"]
        assert "user second is not there yet" in said["msg"]
        assert "give it one in hostpulse_grafana_users" in said["msg"]
    assert "first" not in {one["login"] for one in desk.grafana.api("GET", "/api/org/users")}
