"""What provisioning files no longer have goes out of Grafana; what people made stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.telling import GIVEN, ROLE, SECRET
from tests.policy.estate import ROOT, load
from tests.servers.grafana_api.local import SERVERS
from tests.templates.render import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engines.grafana.local import Grafana

TASKS = load(ROOT / "roles" / ROLE / "tasks/managed.yml")
MODULE = "hostpulse.platform.grafana_prune"
(OURS,) = (task[MODULE] for task in TASKS if MODULE in task)
CLIENT = {"url": "http://127.0.0.1:1", "org": "o", "bucket_raw": "raw", "bucket_rollup": "rollup"}

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


@pytest.fixture(scope="module", params=SERVERS)
def grafana(request: pytest.FixtureRequest, provisioning: Path) -> Iterator[Grafana]:
    """Give a server that has the watchdog's rules."""
    folder = provisioning / request.param.name
    with request.param.start(folder, provisioning=provisioning) as server:
        yield server


def test_nothing_of_the_watchdog_is_left_when_it_is_off(desk: Any, provisioning: Path) -> None:
    """Rules, contact point, policy, template, mute timing, and the folder once it is empty."""
    there = "/api/v1/provisioning"
    always = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
    desk.grafana.api("PUT", f"{there}/templates/hostpulse-mine", {"template": "mine"})
    mine = {"name": "hostpulse mine", "time_intervals": always}
    desk.grafana.api("POST", f"{there}/mute-timings", mine)
    (folder,) = desk.grafana.api("GET", "/api/search?type=dash-folder")
    dashboard = {"dashboard": {"uid": "mine", "title": "Mine"}, "folderUid": folder["uid"]}
    desk.grafana.api("POST", "/api/dashboards/db", dashboard)
    given = {
        **{key: value for key, value in OURS.items() if "{{" not in value},
        "folder": str(provisioning / "alerting"),
    }
    watchdog = provisioned(provisioning, "watchdog")
    assert not desk.run("prune", **given, document=watchdog)["changed"]
    off = provisioned(provisioning, "off")
    said = desk.twice("prune", **given, document=off)["diff"]["before"]
    assert said["templates"] == ["hostpulse"]
    assert said["mute timings"] == ["hostpulse tells nobody"]
    assert (said["policy"], said["folder"]) == (True, False)
    assert desk.grafana.api("GET", f"{there}/alert-rules") == []
    for kind, name in (("templates", "hostpulse-mine"), ("mute-timings", "hostpulse mine")):
        assert [one["name"] for one in desk.grafana.api("GET", f"{there}/{kind}")] == [name]
    assert desk.grafana.api("GET", "/api/dashboards/uid/mine")["meta"]["folderUid"] == folder["uid"]
    desk.grafana.api("DELETE", "/api/dashboards/uid/mine")
    desk.twice("prune", **given, document=off)
    assert desk.grafana.api("GET", "/api/search?type=dash-folder") == []
