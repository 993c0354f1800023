"""What provisioning files no longer have goes; what people made stays.

Against a stand-in of Grafana's interface, and against a real one where an archive is had.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.grafana_alerting import GIVEN, ROLE, SECRET
from tests.policy.repository import ROOT, load
from tests.servers.grafana_api.local import MODULE_SERVERS
from tests.templates.render import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.grafana.local import Grafana

TASKS = load(ROOT / "roles" / ROLE / "tasks/managed.yml")
MODULE = "hostpulse.platform.grafana_prune"
(OURS,) = (task[MODULE] for task in TASKS if MODULE in task)
CLIENT = {"url": "http://127.0.0.1:1", "org": "o", "bucket_raw": "raw", "bucket_rollup": "rollup"}

HAVE_READ = "/api/admin/provisioning/alerting/reload"
FOLDER = OURS["rules_folder"]
SOURCE = {"name": "hostpulse", "uid": "hostpulse", "type": "influxdb", "access": "proxy"}
DATA_SOURCES = {"apiVersion": 1, "datasources": [SOURCE]}


def provisioned(folder: Path, mode: str) -> dict[str, Any]:
    """Write what the role provisions in a mode; return it."""
    made = evaluate(
        ROLE,
        "__hostpulse_grafana_alerting_rendered",
        **GIVEN,
        __hostpulse_influxdb_client={**CLIENT, "ca_file": ""},
        __hostpulse_grafana_credentials_dir=str(folder),
        role_path=str(ROOT / "roles" / ROLE),
        hostpulse_grafana_alerts=mode,
    )["provisioning"]
    (folder / "alerting/hostpulse.json").write_text(json.dumps(made))
    return json.loads(json.dumps(made))


@pytest.fixture(scope="module")
def provisioning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of provisioning files."""
    folder = tmp_path_factory.mktemp("provisioning")
    (folder / "alerting").mkdir()
    (folder / "datasources").mkdir()
    (folder / SECRET).write_text("http://127.0.0.1:1/hook\n")
    (folder / "datasources/hostpulse.json").write_text(json.dumps(DATA_SOURCES))
    provisioned(folder, "watchdog")
    return folder


@pytest.fixture(scope="module", params=MODULE_SERVERS)
def grafana(request: pytest.FixtureRequest, provisioning: Path) -> Iterator[Grafana]:
    """Give a server that has the watchdog's rules."""
    folder = provisioning / request.param.name
    with request.param.start(folder, provisioning=provisioning) as server:
        yield server


def given(provisioning: Path) -> dict[str, Any]:
    """Return the module's arguments as the role's task has them."""
    named = {key: value for key, value in OURS.items() if "{{" not in value}
    return {**named, "folder": str(provisioning / "alerting")}


def watched(desk: Any, provisioning: Path) -> dict[str, Any]:
    """Have the server read what the watchdog has, whatever a test before took out; return that."""
    document = provisioned(provisioning, "watchdog")
    desk.grafana.api("POST", HAVE_READ)
    return document


def folders(desk: Any) -> list[str]:
    """Return the uids of the folder of rules: one, or none."""
    found = desk.grafana.api("GET", "/api/search?type=dash-folder&limit=5000")
    return [one["uid"] for one in found if one["title"] == FOLDER]


def files(provisioning: Path) -> list[str]:
    """Return the names of the files that alerting is provisioned from."""
    return sorted(path.name for path in (provisioning / "alerting").iterdir())


def test_nothing_of_the_watchdog_is_left_when_it_is_off(desk: Any, provisioning: Path) -> None:
    """Rules, contact point, policy, template, mute timing, and the folder once it is empty."""
    there = "/api/v1/provisioning"
    watchdog = watched(desk, provisioning)
    for title in ("A folder", "Another"):
        desk.grafana.api("POST", "/api/folders", {"title": title})
    always = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
    desk.grafana.api("PUT", f"{there}/templates/hostpulse-mine", {"template": "mine"})
    mine = {"name": "hostpulse mine", "time_intervals": always}
    desk.grafana.api("POST", f"{there}/mute-timings", mine)
    (folder,) = folders(desk)
    dashboard = {"dashboard": {"uid": "mine", "title": "Mine"}, "folderUid": folder}
    desk.grafana.api("POST", "/api/dashboards/db", dashboard)
    task = given(provisioning)
    assert not desk.run("prune", **task, document=watchdog)["changed"]
    off = provisioned(provisioning, "off")
    said = desk.twice("prune", **task, document=off)["diff"]["before"]
    assert files(provisioning) == ["hostpulse.json"]
    assert said["templates"] == ["hostpulse"]
    assert said["mute timings"] == ["hostpulse tells nobody"]
    assert (said["policy"], said["folder"]) == (True, False)
    assert desk.grafana.api("GET", f"{there}/alert-rules") == []
    for kind, name in (("templates", "hostpulse-mine"), ("mute-timings", "hostpulse mine")):
        assert [one["name"] for one in desk.grafana.api("GET", f"{there}/{kind}")] == [name]
    assert desk.grafana.api("GET", "/api/dashboards/uid/mine")["meta"]["folderUid"] == folder
    desk.grafana.api("DELETE", "/api/dashboards/uid/mine")
    desk.twice("prune", **task, document=off)
    assert folders(desk) == []
    root = desk.grafana.api("GET", f"{there}/policies")
    assert root["receiver"] == "grafana-default-email"
    assert not root.get("routes")
    points = desk.grafana.api("GET", f"{there}/contact-points")
    assert {one["name"] for one in points} == {root["receiver"]}


def test_the_folder_stays_while_a_rule_of_somebody_elses_is_in_it(
    desk: Any, provisioning: Path
) -> None:
    """Theirs is provisioned from another file, into the folder that we made."""
    rules = watched(desk, provisioning)["groups"][0]["rules"]
    theirs = provisioning / "alerting/theirs.json"
    rule = {**rules[0], "uid": "theirs", "title": "Theirs"}
    group = {"orgId": 1, "name": "theirs", "folder": FOLDER, "interval": "1m", "rules": [rule]}
    theirs.write_text(json.dumps({"apiVersion": 1, "groups": [group]}))
    desk.grafana.api("POST", HAVE_READ)
    task, off = given(provisioning), provisioned(provisioning, "off")
    said = desk.twice("prune", **task, document=off)["diff"]["before"]
    assert (len(said["rules"]), said["folder"]) == (len(rules), False)
    left = desk.grafana.api("GET", "/api/v1/provisioning/alert-rules")
    assert [(one["uid"], one["folderUID"]) for one in left] == [("theirs", *folders(desk))]
    assert files(provisioning) == ["hostpulse.json", "theirs.json"]
    gone = {"apiVersion": 1, "deleteRules": [{"orgId": 1, "uid": "theirs"}]}
    theirs.write_text(json.dumps(gone))
    desk.grafana.api("POST", HAVE_READ)
    theirs.unlink()
    desk.twice("prune", **task, document=off)
    assert folders(desk) == []


def test_the_file_does_not_stay_where_it_is_refused(desk: Any, provisioning: Path) -> None:
    """Or the next start would fail over it."""
    watched(desk, provisioning)
    off = provisioned(provisioning, "off")
    broken = provisioning / "alerting/theirs.json"
    broken.write_text('{"apiVersion": 1, "policies": [{"receiver": "nowhere to be found"}]}')
    said = desk.run("prune", **given(provisioning), document=off)
    broken.unlink()
    assert said["failed"]
    assert files(provisioning) == ["hostpulse.json"]
