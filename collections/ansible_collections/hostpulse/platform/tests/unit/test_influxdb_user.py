"""The module ``influxdb_user`` against the real server."""

from __future__ import annotations

import base64
import http.client
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def name(estate: Any) -> Iterator[str]:
    """Give a name of its own: users belong to no organization; the user is ended afterwards."""
    mine = f"user-{uuid.uuid4().hex}"
    yield mine
    estate.run("user", name=mine, state="absent")


@pytest.fixture
def password(estate: Any) -> Path:
    """Give a file with a password that has a space."""
    path: Path = estate.folder / "password"
    path.write_text("correct horse\n")
    return path


def signs_in(estate: Any, name: str, password: str) -> bool:
    """Tell whether the server takes the password."""
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    with closing(http.client.HTTPConnection("127.0.0.1", estate.influxd.port)) as connection:
        connection.request("POST", "/api/v2/signin", headers={"Authorization": f"Basic {pair}"})
        return connection.getresponse().status == 204


def roles(estate: Any, name: str) -> list[str]:
    """Return what the user is in the estate's organization."""
    return [
        role
        for role in ("member", "owner")
        for user in estate.influxd.call("GET", f"/api/v2/orgs/{estate.org_id}/{role}s")["users"]
        if user["name"] == name
    ]


def test_a_user_is_made_and_signs_in(estate: Any, name: str, password: Path) -> None:
    """A member, active, with the password of the file, which no output holds."""
    said = estate.twice("user", name=name, password_file=str(password))
    assert signs_in(estate, name, "correct horse")
    assert roles(estate, name) == ["member"]
    assert said["diff"]["after"]["password"] == f"the one in {password}"
    assert "correct horse" not in str(said)


def test_a_role_changes_and_ends(estate: Any, name: str) -> None:
    """The server refuses a second role beside the first, so one goes before the other comes."""
    estate.twice("user", name=name)
    estate.twice("user", name=name, role="owner")
    assert roles(estate, name) == ["owner"]
    estate.twice("user", name=name, role="none")
    assert roles(estate, name) == []
    estate.twice("user", name=name, role="owner")
    assert roles(estate, name) == ["owner"]


def test_a_password_is_changed_only_when_asked(estate: Any, name: str, password: Path) -> None:
    """What the user has set since stays, unless the file is always right."""
    given = {"name": name, "password_file": str(password)}
    estate.run("user", **given)
    password.write_text("battery staple\n")
    assert not estate.run("user", **given)["changed"]
    assert signs_in(estate, name, "correct horse")
    estate.twice("user", **given, update_password="always")
    assert signs_in(estate, name, "battery staple")


def test_a_user_half_made_is_finished(estate: Any, name: str, password: Path) -> None:
    """A run that died before the last step leaves an inactive user."""
    estate.influxd.call("POST", "/api/v2/users", {"name": name, "status": "inactive"})
    estate.twice("user", name=name, password_file=str(password))
    assert signs_in(estate, name, "correct horse")
    found = estate.influxd.call("GET", f"/api/v2/users?name={name}")["users"]
    assert found[0]["status"] == "active"


def test_a_password_that_the_server_refuses_leaves_a_user_to_be_finished(
    estate: Any, name: str, password: Path
) -> None:
    """The reason is told, the password is not; the next run mends it."""
    password.write_text("12345")
    said = estate.run("user", name=name, password_file=str(password))
    assert "passwords must be between 8 and 72 characters" in said["msg"]
    assert "12345" not in said["msg"]
    password.write_text("correct horse")
    assert estate.run("user", name=name, password_file=str(password))["changed"]
    assert signs_in(estate, name, "correct horse")


def test_ending_a_user_leaves_others(estate: Any, name: str) -> None:
    """Also the one whose token is in use, whose end would end the token."""
    every = estate.influxd.call("GET", "/api/v2/users?limit=100")["users"]
    estate.run("user", name=name)
    estate.twice("user", name=name, state="absent")
    assert estate.influxd.call("GET", "/api/v2/users?limit=100")["users"] == every
    said = estate.run("user", name="operator", state="absent")
    assert "is one of user 'operator' and would end with it" in said["msg"]


def test_a_password_file_that_is_not_there_is_told(estate: Any, name: str) -> None:
    """Before the user is made."""
    said = estate.run("user", name=name, password_file="/nowhere/password")
    assert "/nowhere/password is not there; it holds the user's password" in said["msg"]
    assert not estate.run("user", name=name, state="absent")["changed"]
