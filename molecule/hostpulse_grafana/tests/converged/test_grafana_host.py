"""What Grafana's host looks like, who comes in, and what is there as the inventory declares it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    SeenBy = Callable[..., Any]
    Until = Callable[[Callable[[], object], float], None]

CHECKOUT = Path(__file__).resolve().parents[4]
UNIT = "hostpulse-grafana.service"
SECRETS = "/etc/hostpulse/grafana"
VERA, ED = ("vera", "molecule-vera-1"), ("ed", "molecule-ed-1")
DASHBOARDS = {path.stem for path in (CHECKOUT / "grafana/dashboards").glob("*.json")}
PACK = CHECKOUT / "roles/hostpulse_server/files/rules/hostpulse.yml"


def test_the_unit_is_locked_down(monitor: Host, exposure: Callable[[Host, str], float]) -> None:
    """The score is systemd's own; nobody else reads its data."""
    assert monitor.service(UNIT).is_running
    assert monitor.service(UNIT).is_enabled
    assert exposure(monitor, UNIT) <= 1.5
    folder = monitor.file("/var/lib/hostpulse-grafana")
    assert (folder.user, folder.mode) == ("hostpulse-grafana", 0o700)
    assert "127.0.0.1:3000" in monitor.check_output("ss -Hltn sport = :3000")


def test_people_sign_in_through_the_proxy_by_tls_and_nobody_else_comes_in(
    seen_by: SeenBy, monitor: Host
) -> None:
    """The certificate is checked; without a login, or signing up, there is nothing."""
    assert seen_by(*VERA).get("/api/user")["login"] == "vera"
    anonymous = type(seen_by())(monitor, seen_by().url, {})
    form = {"user": "x", "email": "x@example.org", "username": "x", "password": "long-enough"}
    answers = anonymous.answers(
        ("GET", "/api/search", None),
        ("POST", "/api/user/signup", form),
        ("POST", "/api/user/signup/step2", form),
        ("GET", "/metrics", None),
    )
    statuses = [status for status, _ in answers]
    assert statuses[0] == 401
    assert all(status in (401, 403, 404) for status in statuses[1:3]), answers
    assert "go_goroutines" not in str(answers[3][1])
    assert seen_by("vera", "wrong").answers(("GET", "/api/user", None))[0][0] == 401


def test_telemetry_and_feeds_are_off_and_further_settings_are_in_force(seen_by: SeenBy) -> None:
    """The program itself says what it runs with."""
    found = seen_by().get("/api/admin/settings")
    assert found["analytics"]["reporting_enabled"] == "false"
    assert found["analytics"]["check_for_updates"] == "false"
    assert found["security"]["disable_gravatar"] == "true"
    assert found["log"]["level"] == "info"
    assert found["server"]["root_url"].endswith(":8443/grafana/")


def test_the_data_source_works_and_keeps_its_token(seen_by: SeenBy) -> None:
    """Grafana reads live samples through it; the token is given to nobody."""
    found = seen_by().get("/api/datasources/uid/hostpulse")
    assert (found["type"], found["readOnly"]) == ("influxdb", True)
    assert found["secureJsonFields"] == {"token": True}
    assert "token" not in json.dumps(found["jsonData"]).lower()
    assert seen_by().get("/api/datasources/uid/hostpulse/health")["status"] == "OK"


def test_a_viewer_reads_live_values(seen_by: SeenBy, until: Until) -> None:
    """What the agent sent comes back as frames, asked for as a panel does."""
    flux = (
        'from(bucket: "hostpulse_raw") |> range(start: v.timeRangeStart)'
        ' |> filter(fn: (r) => r._measurement == "cpu")'
    )
    source = {"type": "influxdb", "uid": "hostpulse"}
    query = {"refId": "A", "datasource": source, "query": flux}
    document = {"queries": [query], "from": "now-5m", "to": "now"}

    def there() -> bool:
        ((status, found),) = seen_by(*VERA).answers(("POST", "/api/ds/query", document))
        return status == 200 and any(
            frame["data"]["values"] for frame in found["results"]["A"].get("frames", [])
        )

    until(there, 60)


def test_the_token_of_the_data_source_cannot_write_or_see_other_buckets(influxdb: Any) -> None:
    """It reads our two buckets and does nothing else."""
    flux = 'from(bucket: "{}") |> range(start: -1h) |> limit(n: 1)'
    query = "/api/v2/query?org=hostpulse"
    answers = influxdb.answers(
        *(
            ("POST", query, {"query": flux.format(name), "type": "flux"})
            for name in ("hostpulse_raw", "hostpulse_rollup", "_monitoring")
        ),
        ("POST", "/api/v2/write?org=hostpulse&bucket=hostpulse_raw", "x_probe value=1"),
        ("GET", "/api/v2/authorizations", None),
        ("GET", "/api/v2/buckets", None),
    )
    statuses = [status for status, _ in answers]
    assert statuses[:2] == [200, 200]
    assert statuses[2] != 200
    assert statuses[3] in (401, 403)
    assert not (answers[4][1] or {}).get("authorizations")
    assert {one["name"] for one in answers[5][1]["buckets"]} == {
        "hostpulse_raw",
        "hostpulse_rollup",
    }


def test_every_dashboard_of_the_repository_is_in_our_folder(seen_by: SeenBy, until: Until) -> None:
    """No more and no less, under their stable uids."""

    def there() -> bool:
        found = seen_by(*VERA).get("/api/search?type=dash-db")
        return {one["uid"] for one in found if one["folderUid"] == "hostpulse"} == DASHBOARDS

    assert DASHBOARDS
    until(there, 30)


def test_users_teams_and_rights_are_as_declared(seen_by: SeenBy) -> None:
    """Roles by user, the team's members, and the folder's permissions exactly."""
    admin = seen_by()
    roles = {one["login"]: one["role"] for one in admin.get("/api/org/users")}
    assert roles == {"admin": "Admin", "vera": "Viewer", "ed": "Editor"}
    (team,) = admin.get("/api/teams/search?name=operations")["teams"]
    members = admin.get(f"/api/teams/{team['id']}/members")
    assert [one["login"] for one in members] == ["vera"]
    found = {
        (one.get("role") or one.get("team") or one.get("userLogin"), one["permission"])
        for one in admin.get("/api/folders/hostpulse/permissions")
        if one.get("role") != "Admin"
    }
    assert found == {("operations", 1), ("Viewer", 1), ("ed", 2)}


def test_a_viewer_can_read_and_nothing_else(seen_by: SeenBy) -> None:
    """Neither dashboards nor data sources, users or alerts are the viewer's to change."""
    uid = min(DASHBOARDS)
    dashboard = seen_by().get(f"/api/dashboards/uid/{uid}")["dashboard"]
    saved = {"dashboard": dashboard, "folderUid": "hostpulse", "overwrite": True}
    answers = seen_by(*VERA).answers(
        ("GET", f"/api/dashboards/uid/{uid}", None),
        ("POST", "/api/dashboards/db", saved),
        ("DELETE", f"/api/dashboards/uid/{uid}", None),
        ("POST", "/api/folders", {"title": "mine"}),
        ("PUT", "/api/datasources/uid/hostpulse", {"name": "x", "type": "influxdb"}),
        ("GET", "/api/admin/settings", None),
        ("GET", "/api/org/users", None),
        ("GET", "/api/v1/provisioning/contact-points", None),
        ("POST", "/api/serviceaccounts", {"name": "x", "role": "Admin"}),
        ("POST", "/api/admin/provisioning/alerting/reload", None),
    )
    statuses = [status for status, _ in answers]
    assert statuses[0] == 200
    assert set(statuses[1:]) == {403}, list(zip(statuses, range(len(statuses)), strict=True))


def test_in_mode_full_grafana_has_every_rule_and_our_channels_are_quiet(
    seen_by: SeenBy, monitor: Host
) -> None:
    """Rules, contact points and policy are Grafana's; the alert engine tells nobody."""
    found = seen_by().get("/api/v1/provisioning/alert-rules")
    pack = yaml.safe_load(PACK.read_text())["rules"]
    # Grafana has nothing that watches whether a series is there
    rules = {rule["name"] for rule in pack if rule.get("kind") != "absent"}
    watched = {"ingest_silent", "journal_lag", "alert_engine_stalled"}
    assert {one["labels"]["rule"] for one in found} == rules | watched
    points = seen_by().get("/api/v1/provisioning/contact-points")
    ours = {(one["name"], one["type"]) for one in points if one["name"].startswith("hostpulse")}
    assert ours == {
        ("hostpulse ops", "slack"), ("hostpulse ops + mail", "slack"),
        ("hostpulse ops + mail", "email"),
    }  # fmt: skip
    (ours_first, *_) = seen_by().get("/api/v1/provisioning/policies")["routes"]
    receivers = [route["receiver"] for route in ours_first["routes"]]
    assert receivers[:2] == ["hostpulse ops + mail", "hostpulse ops"]
    assert "[channels" not in monitor.file("/etc/hostpulse/server.toml").content_string


def test_the_rules_are_evaluated_without_an_error(seen_by: SeenBy, until: Until) -> None:
    """InfluxDB takes every query that was made of the rules file."""

    def all_well() -> bool:
        groups = seen_by().get("/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        seen = [rule for rule in rules if not rule["lastEvaluation"].startswith("0001")]
        wrong = [(rule["name"], rule.get("lastError")) for rule in seen if rule["health"] == "err"]
        assert not wrong, wrong
        return len(rules) > 0 and len(seen) == len(rules)

    until(all_well, 90)


@pytest.mark.parametrize(
    "path",
    [f"{SECRETS}/admin_password", f"{SECRETS}/secret_key", "/etc/hostpulse/influxdb_grafana_token"],
)
def test_a_secret_is_for_root_alone_and_shows_nowhere(
    path: str, monitor: Host, shown: Callable[[Host, str], list[str]]
) -> None:
    """Not in a journal or a process list, and no other user reads the file."""
    file = monitor.file(path)
    assert (file.user, file.mode) == ("root", 0o600)
    assert shown(monitor, path) == []


def test_what_the_deployment_said_holds_no_secret(monitor: Host) -> None:
    """Neither those that were made nor those of the inventory."""
    log = CHECKOUT / ".cache/molecule/hostpulse_grafana.log"
    if log.exists():
        said = log.read_text(errors="replace")
        made = [monitor.file(f"{SECRETS}/{name}").content_string.strip()
                for name in ("admin_password", "secret_key")]  # fmt: skip
        for secret in (*made, VERA[1], ED[1], "molecule-webhook-secret"):
            assert secret not in said
