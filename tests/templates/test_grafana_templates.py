"""What the Grafana role renders, and what other roles say when there is a Grafana."""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest
import yaml
from tests.policy.repository import ROOT, role_tasks
from tests.templates.render import HOST, evaluate, render

CLIENT = {
    "url": "https://store:8086",
    "org": "hostpulse",
    "bucket_raw": "raw",
    "bucket_rollup": "rollup",
    "ca_file": "/etc/hostpulse/influxdb_ca.pem",
    "host": "Monitor",
}
GROUPS = {**HOST["groups"], "hostpulse_grafana": ["Monitor"], "hostpulse_influxdb": ["Monitor"]}
BESIDE: dict[str, Any] = {
    "inventory_hostname": "Monitor",
    "groups": GROUPS,
    "hostpulse_public_name": "monitor.example.org",
    "__hostpulse_influxdb_client": CLIENT,
    "__hostpulse_grafana_smtp": {},
}
CREDENTIALS = "/run/credentials/hostpulse-grafana.service"


def settings(**given: Any) -> configparser.RawConfigParser:
    """Render Grafana's configuration and read it."""
    found = configparser.RawConfigParser()
    found.read_string(render("hostpulse_grafana", "grafana.ini.j2", **{**BESIDE, **given}))
    return found


def test_it_is_on_loopback_below_the_servers_address() -> None:
    """People come through the proxy; links that Grafana makes lead there."""
    found = settings()["server"]
    assert (found["http_addr"], found["http_port"]) == ("127.0.0.1", "3000")
    assert found["root_url"] == "https://monitor.example.org:8443/grafana/"
    assert found["domain"] == "monitor.example.org"
    assert found["serve_from_sub_path"] == "true"


def test_nobody_comes_in_without_a_password_and_nothing_is_told_to_the_vendor() -> None:
    """No sign-up, no anonymous access, no telemetry, look-ups, news or plug-in feeds."""
    found = settings()
    assert found["users"]["allow_sign_up"] == found["auth.anonymous"]["enabled"] == "false"
    assert {found["analytics"][name] for name in found["analytics"]} == {"false"}
    assert found["security"]["disable_gravatar"] == found["security"]["cookie_secure"] == "true"
    assert found["news"]["news_feed_enabled"] == "false"
    assert found["plugins"]["preinstall_disabled"] == "true"


def test_secrets_are_references_to_credentials() -> None:
    """The file can be read by everybody on the host."""
    found = settings(hostpulse_grafana_admin_password="hush-hush-hush")
    assert found["security"]["admin_password"] == f"$__file{{{CREDENTIALS}/admin_password}}"
    assert found["security"]["secret_key"] == f"$__file{{{CREDENTIALS}/secret_key}}"
    assert "hush" not in "".join(str(dict(found[name])) for name in found.sections())


def test_any_setting_can_be_given_and_ours_overridden() -> None:
    """Sign-in by LDAP or OpenID Connect, with its secret as a credential of its own."""
    secret = f"$__file{{{CREDENTIALS}/oidc}}"
    found = settings(
        hostpulse_grafana_settings={
            "auth.generic_oauth": {"enabled": True, "client_secret": secret, "scopes": "a; b"},
            "log": {"level": "info"},
        }
    )
    assert found["auth.generic_oauth"]["enabled"] == "true"
    assert found["auth.generic_oauth"]["client_secret"] == secret
    assert found["auth.generic_oauth"]["scopes"] == '"""a; b"""'
    assert (found["log"]["level"], found["log"]["mode"]) == ("info", "console")
    unit = render(
        "hostpulse_grafana",
        "hostpulse-grafana.service.j2",
        **BESIDE,
        hostpulse_grafana_secrets={"oidc": "hush"},
    )
    assert "\nLoadCredential=oidc:/etc/hostpulse/grafana/oidc\n" in unit
    assert "hush" not in unit


def test_the_data_source_reads_with_a_token_that_is_no_file_of_grafanas() -> None:
    """The token is a credential; the authority of InfluxDB is checked."""
    text = render("hostpulse_grafana", "datasources.yml.j2", **BESIDE)
    (found,) = yaml.safe_load(text)["datasources"]
    assert (found["uid"], found["type"], found["url"]) == (
        "hostpulse", "influxdb", "https://store:8086"
    )  # fmt: skip
    assert found["jsonData"]["version"] == "Flux"
    assert found["jsonData"]["defaultBucket"] == "raw"
    assert found["jsonData"]["tlsAuthWithCACert"] is True
    token = f"$__file{{{CREDENTIALS}/influxdb_grafana_token}}"
    assert found["secureJsonData"] == {
        "token": token, "tlsCACert": "$__file{/etc/hostpulse/influxdb_ca.pem}"
    }  # fmt: skip


def test_dashboards_that_are_no_longer_shipped_disappear() -> None:
    """And what people change in Grafana is kept until the file changes."""
    text = render("hostpulse_grafana", "dashboards.yml.j2", **BESIDE)
    (found,) = yaml.safe_load(text)["providers"]
    assert (found["folderUid"], found["disableDeletion"], found["allowUiUpdates"]) == (
        "hostpulse", False, True
    )  # fmt: skip


def test_the_proxy_shows_grafana_beside_the_api() -> None:
    """Both are behind one certificate; web sockets pass."""
    text = render("hostpulse_proxy", "hostpulse.conf.j2", **BESIDE)
    assert text.count("{") == text.count("}")
    assert "server 127.0.0.1:3000;" in text
    assert "server 127.0.0.1:8080;" in text
    assert re.search(r"location /grafana/ \{\n\s+proxy_pass http://hostpulse_grafana;", text)
    assert "proxy_set_header Upgrade $http_upgrade;" in text
    without = render("hostpulse_proxy", "hostpulse.conf.j2")
    assert "grafana" not in without


def test_on_a_host_of_its_own_there_is_grafana_alone() -> None:
    """The api is not there to be asked."""
    own = {"groups": {**GROUPS, "hostpulse_grafana": ["Web-01"]}}
    text = render("hostpulse_proxy", "hostpulse.conf.j2", **own)
    assert "hostpulse_api" not in text
    assert "return 302 /grafana/;" in text
    given = {**BESIDE, **own, "inventory_hostname": "Web-01"}
    assert settings(**given)["server"]["root_url"] == "https://192.0.2.10:8443/grafana/"


@pytest.mark.parametrize(("alerts", "told"), [("watchdog", True), ("full", False), ("off", True)])
def test_the_servers_channels_are_quiet_where_grafana_tells_everything(
    alerts: str,
    told: bool,  # noqa: FBT001 -- a case
) -> None:
    """One incident is one message; in every other mode the alert engine tells it."""
    text = render(
        "hostpulse_server",
        "server.toml.j2",
        **BESIDE,
        hostpulse_grafana_alerts=alerts,
        hostpulse_server_channels={"ops": {"kind": "slack", "webhook_url": "hush"}},
        hostpulse_server_routes=[{"match": {}, "channels": ["ops"]}],
    )
    assert ("[channels.ops]" in text, "[[routes]]" in text) == (told, told)
    assert 'grafana_url = "https://monitor.example.org:8443/grafana/"' in text


def test_influxdb_is_reached_by_every_host_that_reads_from_it() -> None:
    """Beside the server alone it is on loopback; with Grafana elsewhere it speaks TLS to it."""
    groups = {**GROUPS, "hostpulse_grafana": ["Web-01"]}
    given = {"inventory_hostname": "Monitor", "groups": groups}
    assert evaluate("hostpulse_influxdb", "hostpulse_influxdb_bind", **given) == ":8086"
    assert evaluate("hostpulse_influxdb", "hostpulse_influxdb_tls", **given) is True
    beside = {"inventory_hostname": "Monitor", "groups": GROUPS}
    assert evaluate("hostpulse_influxdb", "hostpulse_influxdb_bind", **beside) == "127.0.0.1:8086"
    tokens = evaluate("hostpulse_influxdb", "__hostpulse_influxdb_tokens", **given)
    (token,) = (one for one in tokens if one["name"] == "hostpulse grafana")
    assert (token["host"], token["path"]) == ("Web-01", "/etc/hostpulse/influxdb_grafana_token")
    assert (len(token["read"]), token["write"]) == (2, [])


SHIPPED = {path.name: path.read_text() for path in (ROOT / "grafana/dashboards").iterdir()}
ELSEWHERE = {"inventory_hostname": "db-01", "hostvars": {**HOST["hostvars"], "Monitor": {}}}


def adapted(**given: Any) -> dict[str, str]:
    """Return the dashboards as they are installed."""
    role = {"role_path": str(ROOT / "roles/hostpulse_grafana")}
    name = "__hostpulse_grafana_dashboards_rendered"
    found: dict[str, str] = evaluate("hostpulse_grafana", name, **{**BESIDE, **role, **given})
    return found


def test_dashboards_ask_for_the_buckets_that_there_are() -> None:
    """Where the buckets have other names, the panels' queries have them, too."""
    found = adapted()
    assert found.keys() == SHIPPED.keys()
    for name, text in found.items():
        assert json.loads(text)["uid"] == name.removesuffix(".json")
        assert 'raw = \\"raw\\"\\nrollup = \\"rollup\\"\\n' in text
        assert "hostpulse_raw" not in text
        assert "hostpulse_rollup" not in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, "7d"),
        ({"hostpulse_server_retention_raw": "2d"}, "2d"),
        ({"hostpulse_influxdb_retention_raw": "1d12h"}, "1d12h"),
        ({"hostpulse_influxdb_retention_raw": 172800}, "172800s"),
        ({"hostpulse_influxdb_retention_raw": "forever"}, "36500d"),
        ({**ELSEWHERE, "hostvars": {"Monitor": {"hostpulse_server_retention_raw": "14d"}}}, "14d"),
        (
            {
                **ELSEWHERE,
                "hostvars": {
                    "Monitor": {
                        "hostpulse_server_retention_raw": "14d",
                        "hostpulse_influxdb_retention_raw": "3d",
                    }
                },
            },
            "3d",
        ),
    ],
)
def test_dashboards_read_raw_samples_as_long_as_there_are_any(
    given: dict[str, Any], kept: str
) -> None:
    """Whoever says how long, on whichever host; each query has it in a line of its own."""
    for name, text in adapted(**given).items():
        lines = re.findall(r"\\nretention = (\w+)\\n", text)
        assert set(lines) == {kept}
        assert len(lines) == SHIPPED[name].count("retention = 7d")


def test_a_dashboard_that_is_brought_back_is_as_it_ships() -> None:
    """A difference in it is what somebody changed, not what installing filled in."""
    there = adapted(hostpulse_server_retention_raw="2d")
    read = {"dashboards": {name[:-5]: json.loads(text) for name, text in there.items()}}
    found = evaluate(
        "hostpulse_grafana",
        "__hostpulse_grafana_dashboards_exported",
        **BESIDE,
        __hostpulse_grafana_read=read,
    )
    assert found == SHIPPED


def test_a_given_grafana_is_asked_with_its_token_and_its_authority() -> None:
    """By every task that is not for a Grafana of ours alone; what was lent for it goes again."""
    tasks = [one for one in role_tasks() if one.role == "hostpulse_grafana"]
    asking = [
        one for one in tasks if "grafana_" in one.module and "token_path" in str(one.arguments)
    ]
    assert {one.path.stem for one in asking} == {"access", "export", "external"}
    ours = {"managed", "verify"}
    for one in tasks:
        if one.module.startswith("hostpulse.platform.grafana_") and one.path.stem not in ours:
            assert one.arguments["token_file"] == "{{ __hostpulse_grafana_token_path }}", one
            assert one.arguments["ca_file"] == "{{ __hostpulse_grafana_admin_ca }}", one
    for stem in ("export", "external"):
        text = (ROOT / f"roles/hostpulse_grafana/tasks/{stem}.yml").read_text()
        always = text.index("  always:")
        assert text.index("install_token.yml") < always < text.index("remove_token.yml")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"groups": {**GROUPS, "hostpulse_grafana": ["Monitor", "db-01"]}}, "Leave one host in it"),
        (
            {"groups": {k: v for k, v in GROUPS.items() if k != "hostpulse_influxdb"}},
            "hostpulse_server_store: influxdb",
        ),
        ({"hostpulse_grafana_admin_password": "short"}, "shorter than 8"),
        ({"hostpulse_grafana_alerts": "loud"}, "watchdog, full or off"),
        (
            {"hostpulse_grafana_users": [{"login": "ada", "role": "boss"}]},
            'ada has the role "boss"',
        ),
        ({"hostpulse_grafana_permissions": [{"role": "all", "permission": "view"}]}, "viewer or"),
        ({"hostpulse_grafana_permissions": [{"team": "crew", "permission": "see"}]}, "view, edit"),
        ({"hostpulse_grafana_permissions": [{"permission": "view"}]}, "a team, a user"),
        ({"hostpulse_grafana_install": False, "hostpulse_grafana_alerts": "off"}, "Give both"),
        ({"hostpulse_grafana_install": False, "hostpulse_grafana_alerts": "full"}, "is theirs"),
    ],
)
def test_preflight_says_what_is_wrong_and_what_to_do(given: dict[str, Any], told: str) -> None:
    """Before anything changes, one sentence or two a fault."""
    found = evaluate("hostpulse_grafana", "__hostpulse_grafana_wrong", **{**BESIDE, **given})
    assert any(told in " ".join(fault.split()) for fault in found), found
    assert evaluate("hostpulse_grafana", "__hostpulse_grafana_wrong", **BESIDE) == []
