"""What the modules make over Grafana's interface, and that they leave the rest alone.

Against a stand-in of its interface, and against a real one where an archive is had.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from testbed.influxdb.local import ORG
from testbed.server import EngineError
from tests.support.http_server import QuietHandler, serving, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.influxdb.local import Influxd

SOURCE = {
    "name": "guest", "uid": "guest", "type": "influxdb", "access": "proxy", "isDefault": False,
    "url": "http://127.0.0.1:1", "jsonData": {"version": "Flux"},
}  # fmt: skip


def dashboard(uid: str, title: str) -> dict[str, Any]:
    """Return a dashboard that carries our tag."""
    return {"uid": uid, "title": title, "tags": ["ours"], "panels": [], "schemaVersion": 38}


def uids(desk: Any) -> set[str]:
    """Return the uids of all dashboards."""
    found = desk.grafana.api("GET", "/api/search?type=dash-db&limit=5000")
    return {one["uid"] for one in found}


def test_with_a_token_a_folder_is_written_and_read(
    guest: Any, influxd: Influxd, tmp_path: Path
) -> None:
    """As the role does in a server that is not ours."""
    (tmp_path / "read.token").write_text(influxd.operator_token)
    given = {
        "uid": "by-token", "title": "By token", "tag": "ours",
        "datasource": {**SOURCE, "uid": "by-token", "name": "by token"},
        "secret_files": {"token": str(tmp_path / "read.token")},
    }  # fmt: skip
    ours = [dashboard(f"b-{n}", f"Number {n}") for n in range(3)]
    guest.twice("folder", **given, dashboards=ours)
    read = guest.run("dashboards_info", folder="by-token")["dashboards"]
    assert read == {one["uid"]: one for one in ours}
    guest.twice("folder", **given, dashboards=ours[:1])
    assert list(guest.run("dashboards_info", folder="by-token")["dashboards"]) == ["b-0"]


def test_a_folder_gets_another_title(desk: Any, tmp_path: Path) -> None:
    """It stays the same folder, with what is in it."""
    (tmp_path / "read.token").write_text("not-a-real-token\n")
    given = {
        "uid": "titled", "tag": "ours", "dashboards": [dashboard("n-1", "Titled one")],
        "datasource": {**SOURCE, "uid": "titled", "name": "titled"},
        "secret_files": {"token": str(tmp_path / "read.token")},
    }  # fmt: skip
    desk.twice("folder", title="Before", **given)
    said = desk.twice("folder", title="After + more", **given)
    assert said["diff"]["before"]["folder"] == "Before"
    assert desk.grafana.api("GET", "/api/folders/titled")["title"] == "After + more"
    assert desk.grafana.api("GET", "/api/dashboards/uid/n-1")["meta"]["folderUid"] == "titled"


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
        # Behind so many versions of somebody else's the one that is ours is found, too.
        *(
            {
                "dashboard": dashboard("g-1", f"One, changed by hand {number}"),
                "folderUid": "guest", "overwrite": True,
            }
            for number in range(3)
        ),
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
    for other in ("A Namesake", "Another Namesake"):
        desk.grafana.api("POST", "/api/folders", {"title": other})
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
    """It would become an older version of ours."""
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


def test_another_token_reaches_the_data_source(desk: Any, influxd: Influxd, tmp_path: Path) -> None:
    """The interface gives no secret back: a fingerprint tells that it is another."""
    token = tmp_path / "new.token"
    token.write_text("first\n")
    settings = {"version": "Flux", "organization": ORG, "defaultBucket": "first"}
    source = {
        **SOURCE, "uid": "rotated", "name": "rotated", "url": influxd.url, "jsonData": settings
    }  # fmt: skip
    given = {
        "uid": "rotated", "title": "Rotated", "tag": "ours", "datasource": source,
        "secret_files": {"token": str(token)},
    }  # fmt: skip
    path = "/api/datasources/uid/rotated"
    desk.twice("folder", **given)
    assert desk.grafana.api("GET", path)["secureJsonFields"] == {"token": True}
    with pytest.raises(EngineError):
        desk.grafana.api("GET", f"{path}/health")
    token.write_text(f"{influxd.operator_token}\n")
    desk.twice("folder", **given)
    found = desk.grafana.api("GET", path)
    assert found["secureJsonFields"] == {"token": True}
    assert found["jsonData"].items() >= settings.items()
    assert desk.grafana.api("GET", f"{path}/health")["status"] == "OK"


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
    """After five wrong ones the right one is refused, too, and in the same words."""
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


def test_a_proof_says_what_was_found(desk: Any, influxd: Influxd) -> None:
    """The data source reads buckets, and the dashboards are there."""
    source = {
        **SOURCE, "uid": "well", "name": "well", "url": influxd.url,
        "jsonData": {"version": "Flux", "organization": ORG, "defaultBucket": "first"},
        "secureJsonData": {"token": influxd.operator_token},
    }  # fmt: skip
    desk.grafana.api("POST", "/api/datasources", source)
    for one in (dashboard("p-1", "Proof one"), dashboard("p-2", "Proof two")):
        desk.grafana.api("POST", "/api/dashboards/db", {"dashboard": one})
    said = desk.run("verify", datasource="well", dashboards=["p-1", "p-2"])
    assert said["text"].endswith("buckets found; 2 dashboards")
    said = desk.run("verify", datasource="well", dashboards=["p-1", "p-3", "p-4"])
    assert said["failed"]
    assert said["msg"].endswith("Grafana has no dashboard p-3, p-4")


def test_a_proof_names_what_is_missing(desk: Any) -> None:
    """A data source that reaches nothing, a dashboard that is not there."""
    desk.grafana.api("POST", "/api/datasources", {**SOURCE, "uid": "dead", "name": "dead"})
    said = desk.run("verify", datasource="dead")
    assert said["failed"]
    assert "/api/datasources/uid/dead/health with 400: " in said["msg"]
    assert "connection refused" in said["msg"].lower()
    gone = desk.run("dashboards_info", folder="nowhere", dashboard="lost")
    assert "no dashboard lost" in gone["msg"]


class Ill(QuietHandler):
    """Answers as a server of the interface whose data source has lost its rights."""

    def respond(self) -> None:
        """Say so with 200, as some data sources do."""
        self.reply(200, b'{"status": "ERROR", "message": "unauthorized: token revoked"}')


def test_a_proof_says_what_an_ill_data_source_says(controller: Any) -> None:
    """Whatever the status of the answer."""
    controller.prefix = "grafana"
    controller.token_file.write_text("any\n")
    with serving(Ill) as server:
        controller.url = url_of(server)
        said = controller.run("verify", datasource="ill")
    assert said["failed"]
    assert said["msg"].endswith("the data source does not work: unauthorized: token revoked")
