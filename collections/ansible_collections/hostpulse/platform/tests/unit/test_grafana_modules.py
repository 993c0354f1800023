"""What the modules make in Grafana, and that they leave the rest alone.

Against a stand-in of its interface, and against a real one where an archive is had.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from engines.server import EngineError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = {
    "name": "guest", "uid": "guest", "type": "influxdb", "access": "proxy", "isDefault": False,
    "url": "http://127.0.0.1:1", "jsonData": {"version": "Flux"},
}  # fmt: skip


def dashboard(uid: str, title: str) -> dict[str, Any]:
    """Return a dashboard that carries our tag."""
    return {"uid": uid, "title": title, "tags": ["ours"], "panels": [], "schemaVersion": 38}


def uids(desk: Any) -> set[str]:
    """Return the uids of all dashboards."""
    return {one["uid"] for one in desk.grafana.api("GET", "/api/search?type=dash-db")}


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
    assert (
        desk.grafana.api("GET", "/api/user", login=("ada", "ada-1"))["email"] == "ada@example.org"
    )
    said = desk.twice(
        "access",
        users=[{"login": "ada", "role": "viewer", "password": "ada-2"}],
        teams=[{"name": "crew", "members": []}],
        folder="shared",
        permissions=[{"team": "crew", "permission": "admin"}],
    )
    assert said["diff"]["before"]["folder shared"] == {"role viewer": "view", "user ada": "edit"}
    assert "ada-2" not in json.dumps(said)
    with pytest.raises(EngineError, match="401"):
        desk.grafana.api("GET", "/api/user", login=("ada", "ada-1"))
    assert desk.grafana.api("GET", "/api/user", login=("ada", "ada-2"))["login"] == "ada"


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


def test_as_a_guest_we_write_our_own_and_nothing_else(desk: Any, tmp_path: Path) -> None:
    """What we wrote and is no longer wanted goes; what others put into the folder stays."""
    (tmp_path / "read.token").write_text("not-a-real-token\n")
    given = {
        "uid": "guest", "title": "Guest", "tag": "ours", "datasource": SOURCE,
        "secret_files": {"token": str(tmp_path / "read.token")},
    }  # fmt: skip
    desk.twice("folder", **given, dashboards=[dashboard("g-1", "One"), dashboard("g-2", "Two")])
    theirs: list[dict[str, Any]] = [
        {"dashboard": {"uid": "t-1", "title": "Theirs"}, "folderUid": "guest"},
        {"dashboard": dashboard("t-2", "A copy of One"), "folderUid": "guest"},
        {
            "dashboard": {**dashboard("g-1", "One, changed by hand"), "version": 2},
            "folderUid": "guest", "overwrite": True,
        },
    ]  # fmt: skip
    for one in theirs:
        desk.grafana.api("POST", "/api/dashboards/db", one)
    desk.twice("folder", **given, dashboards=[dashboard("g-2", "Two")])
    assert {"t-1", "t-2", "g-2"} <= uids(desk)
    assert "g-1" not in uids(desk)
    desk.twice("folder", **given, dashboards=[dashboard("g-3", "Two")])
    assert "g-2" not in uids(desk)
    desk.twice("folder", **given, dashboards=[dashboard("g-2", "Two")])
    changed = {"dashboard": dashboard("g-2", "Changed by hand"), "folderUid": "guest"}
    desk.grafana.api("POST", "/api/dashboards/db", {**changed, "overwrite": True})
    desk.twice("folder", **given, dashboards=[dashboard("g-2", "Two")])
    read = desk.run("dashboards_info", folder="guest", dashboard="g-2")["dashboards"]
    assert read == {"g-2": dashboard("g-2", "Two")}


def test_a_folder_of_somebody_elses_with_our_title_stays(desk: Any, tmp_path: Path) -> None:
    """The operator is told which it is and what to do."""
    (tmp_path / "read.token").write_text("not-a-real-token\n")
    desk.grafana.api("POST", "/api/folders", {"uid": "theirs", "title": "Namesake"})
    said = desk.run(
        "folder", uid="ours", title="Namesake", tag="ours", datasource=SOURCE,
        secret_files={"token": str(tmp_path / "read.token")},
    )  # fmt: skip
    assert said["failed"]
    assert "a folder 'Namesake' of somebody else's (uid theirs)" in said["msg"]
    assert "rename that one in Grafana" in said["msg"]


def test_a_dashboard_of_somebody_elses_with_a_title_of_ours_stays(
    desk: Any, tmp_path: Path
) -> None:
    """Grafana would write ours over it."""
    (tmp_path / "read.token").write_text("not-a-real-token\n")
    desk.grafana.api("POST", "/api/folders", {"uid": "shares", "title": "Shares"})
    theirs = {"dashboard": {"uid": "s-theirs", "title": "One"}, "folderUid": "shares"}
    desk.grafana.api("POST", "/api/dashboards/db", theirs)
    said = desk.run(
        "folder", uid="shares", title="Shares", tag="ours", datasource=SOURCE,
        dashboards=[dashboard("s-1", "One")],
        secret_files={"token": str(tmp_path / "read.token")},
    )  # fmt: skip
    found = desk.grafana.api("GET", "/api/dashboards/uid/s-theirs")
    assert found["meta"]["version"] == 1
    assert said["failed"]
    assert "a dashboard 'One' of somebody else's (uid s-theirs)" in said["msg"]


def test_another_token_reaches_the_data_source(desk: Any, tmp_path: Path) -> None:
    """Grafana gives no secret back: a fingerprint tells that it is another."""
    token = tmp_path / "new.token"
    token.write_text("first\n")
    given = {
        "uid": "rotated", "title": "Rotated", "tag": "ours",
        "datasource": {**SOURCE, "uid": "rotated", "name": "rotated"},
        "secret_files": {"token": str(token)},
    }  # fmt: skip
    desk.twice("folder", **given)
    token.write_text("second\n")
    desk.twice("folder", **given)


def test_the_administrators_password_becomes_the_one_kept(desk: Any) -> None:
    """Whatever it was before; it is on no command line and in no message."""
    home = desk.grafana.home()
    config = desk.grafana.directory / "grafana.ini"
    command = [
        str(home / "bin/grafana"), "cli", "--homepath", str(home), "--config", str(config),
        "admin", "reset-admin-password", "--password-from-stdin",
    ]  # fmt: skip
    assert not desk.run("admin", command=command)["changed"]
    before = desk.grafana.password
    desk.password_file.write_text("another-password\n")
    try:
        said = desk.twice("admin", command=command)
        assert "another-password" not in json.dumps(said)
    finally:
        desk.password_file.write_text(f"{before}\n")
        desk.run("admin", command=command)


def test_somebody_else_can_lock_the_administrator_out_and_it_is_said(
    desk: Any, tmp_path: Path
) -> None:
    """Grafana refuses the right password after five wrong ones, in the same words."""
    desk.run("access", users=[{"login": "locked", "role": "admin", "password": "right-one"}])
    for _ in range(5):
        with pytest.raises(EngineError, match="401"):
            desk.grafana.api("GET", "/api/user", login=("locked", "wrong-one"))
    path = tmp_path / "right.password"
    path.write_text("right-one\n")
    right = {"user": "locked", "password_file": str(path)}
    for said in (desk.run("admin", **right, command=["true"]), desk.run("access", **right)):
        assert said["failed"]
        assert "too many consecutive incorrect login attempts" in said["msg"]


def test_a_proof_names_what_is_missing(desk: Any) -> None:
    """A data source that reaches nothing, a dashboard that is not there."""
    desk.grafana.api("POST", "/api/datasources", {**SOURCE, "uid": "dead", "name": "dead"})
    said = desk.run("verify", datasource="dead")
    assert said["failed"]
    gone = desk.run("dashboards_info", folder="nowhere", dashboard="lost")
    assert "no dashboard lost" in gone["msg"]
