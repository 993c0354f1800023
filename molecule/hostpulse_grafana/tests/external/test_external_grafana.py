"""After the way back; and as a guest in somebody's Grafana."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    SeenBy = Callable[..., Any]

CHECKOUT = Path(__file__).resolve().parents[4]
DASHBOARDS = {path.stem for path in (CHECKOUT / "grafana/dashboards").glob("*.json")}
HOME = "/opt/hostpulse/grafana"
THEIRS = "http://127.0.0.1:3001"


def test_the_first_release_is_back_with_its_data(monitor: Host) -> None:
    """The rollback swapped the two releases; users and dashboards are those of before."""
    assert "-2+" not in monitor.check_output(f"readlink {HOME}/current")
    assert "-2+" in monitor.check_output(f"readlink {HOME}/previous")
    assert monitor.service("hostpulse-grafana.service").is_running


def test_as_a_guest_we_have_a_folder_a_data_source_and_dashboards(seen_by: SeenBy) -> None:
    """They work there as in a Grafana of ours."""
    guest = seen_by(url=THEIRS)
    found = guest.get("/api/search?type=dash-db")
    assert {one["uid"] for one in found if one["folderUid"] == "hostpulse"} == DASHBOARDS
    assert guest.get("/api/datasources/uid/hostpulse/health")["status"] == "OK"
    (team,) = guest.get("/api/teams/search?name=operations")["teams"]
    assert [one["login"] for one in guest.get(f"/api/teams/{team['id']}/members")] == ["vera"]


def test_what_is_the_hosts_is_untouched(seen_by: SeenBy) -> None:
    """Their dashboard, though it has our tag, data source and policy; no rule is ours."""
    guest = seen_by(url=THEIRS)
    theirs = guest.get("/api/dashboards/uid/theirs-1")
    assert (theirs["meta"]["folderUid"], theirs["dashboard"]["version"]) == ("theirs", 1)
    assert guest.get("/api/datasources/uid/theirs")["version"] == 1
    policy = guest.get("/api/v1/provisioning/policies")
    assert (policy["receiver"], policy["group_by"], policy.get("routes")) == (
        "Theirs", ["theirs"], None
    )  # fmt: skip
    assert guest.get("/api/v1/provisioning/alert-rules") == []


def test_a_second_run_as_a_guest_wrote_nothing(seen_by: SeenBy) -> None:
    """Each dashboard has the versions that the first run made and no others."""
    guest = seen_by(url=THEIRS)
    for uid in DASHBOARDS:
        assert guest.get(f"/api/dashboards/uid/{uid}")["dashboard"]["version"] == 2


def test_the_token_was_there_for_the_run_only(monitor: Host) -> None:
    """No copy of what was given stays behind."""
    assert monitor.check_output("find /run -maxdepth 1 -name 'hostpulse-grafana*'") == ""
