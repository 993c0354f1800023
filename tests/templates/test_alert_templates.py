"""Channels, routes and rules of an inventory are what the engine reads; secrets stay files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from ansible.template import Templar, trust_as_template
from tests.templates.render import HOST, evaluate, loader, render, role_variables

from hostpulse_server import config as server_config
from hostpulse_server.rules.loading import load_texts

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {
    "channel_ops": "https://hooks.example.org/services/T0/B0/hush",
    "channel_mail": 'p"ss: {{ word }} # ü',
    "channel_pager": "https://pager.example.org/v2/hush",
    "channel_pager.proxy": "http://ops:hush-proxy@proxy.example.org:3128",
}
CHANNELS: dict[str, Any] = {
    "ops": {"kind": "slack", "webhook_url": SECRETS["channel_ops"]},
    "mail": {
        "kind": "email",
        "host": "smtp.example.org",
        "username": "hostpulse",
        "password": SECRETS["channel_mail"],
        "from": "hostpulse@example.org",
        "to": ["ops@example.org"],
    },
    "relay": {
        "kind": "email",
        "host": "relay.example.org",
        "security": "none",
        "password": "",
        "from": "hostpulse@example.org",
        "to": ["night@example.org"],
    },
    "pager": {
        "kind": "webhook",
        "url": SECRETS["channel_pager"],
        "allow_private": True,
        "proxy_url": SECRETS["channel_pager.proxy"],
    },
}
ROUTES = [
    {"match": {"severity": "critical", "env": "production"}, "channels": ["ops", "mail"]},
    {"match": {}, "channels": ["relay"]},
]
GIVEN = {"hostpulse_server_channels": CHANNELS, "hostpulse_server_routes": ROUTES}


def service(name: str) -> dict[str, Any]:
    """Return one of the server's services as the role knows it."""
    (found,) = (
        one
        for one in role_variables("hostpulse_server")["__hostpulse_server_services"]
        if one["name"] == name
    )
    return dict(found)


def credentials(text: str) -> dict[str, str]:
    """Return what systemd is to load: path by name."""
    return dict(re.findall(r"LoadCredential=([^:\s]+):(\S+)", text))


def test_channels_routes_and_grouping_reach_the_engine(tmp_path: Path) -> None:
    """The server's own loader understands them, and finds each secret by the credential's name."""
    path = tmp_path / "server.toml"
    alerts = {"group_wait": "0s", "group_by": ["rule", "env"], "messages_per_minute": 20}
    alerts["flap"] = {"window": 10}
    text = render("hostpulse_server", "server.toml.j2", hostpulse_server_alerts=alerts, **GIVEN)
    path.write_text(text, encoding="utf-8")
    for name, secret in SECRETS.items():
        (tmp_path / name).write_text(f"{secret}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    config = server_config.load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert set(config.channels) == set(CHANNELS)
    names = {
        "ops": config.channels["ops"].webhook_url_file,  # type: ignore[union-attr]
        "mail": config.channels["mail"].password_file,  # type: ignore[union-attr]
        "pager": config.channels["pager"].url_file,  # type: ignore[union-attr]
    }
    assert names["pager"] == "channel_pager"
    names["proxy"] = config.channels["pager"].proxy_url_file  # type: ignore[union-attr]
    assert {config.secret(names[name]) for name in names} == set(SECRETS.values())
    assert config.channels["relay"].password_file == ""  # type: ignore[union-attr]
    assert config.alerts.group_wait == 0
    assert config.alerts.group_by == ("rule", "env")
    assert (config.alerts.flap.window, config.alerts.flap.low) == (10, 0.25)
    assert [route.channels for route in config.routes] == [("ops", "mail"), ("relay",)]


def test_no_secret_is_written_where_others_read() -> None:
    """Neither configuration nor units nor the command for people have a value."""
    texts = [
        render("hostpulse_server", "server.toml.j2", **GIVEN),
        render("hostpulse_server", "hostpulse-server.sh.j2", **GIVEN),
        render(
            "hostpulse_server",
            "hostpulse-service.service.j2",
            __hostpulse_server_service=service("hostpulse-alerts"),
            **GIVEN,
        ),
    ]
    for text in texts:
        assert "hush" not in text
        assert "word" not in text.replace("password_file", "")


def test_the_alert_engine_gets_the_secrets_and_the_other_services_do_not() -> None:
    """The command for people gets them, too, so that it can test a channel."""
    loaded = {
        one["name"]: credentials(
            render(
                "hostpulse_server",
                "hostpulse-service.service.j2",
                __hostpulse_server_service=one,
                **GIVEN,
            )
        )
        for one in role_variables("hostpulse_server")["__hostpulse_server_services"]
    }
    wanted = {name: f"/etc/hostpulse/secrets/{name}" for name in SECRETS}
    assert loaded == {"hostpulse-api": {}, "hostpulse-shipper": {}, "hostpulse-alerts": wanted}
    assert credentials(render("hostpulse_server", "hostpulse-server.sh.j2", **GIVEN)) == wanted


def test_the_files_get_the_values_of_the_inventory() -> None:
    """Without a word changed, and none for a channel that has no secret."""
    assert evaluate("hostpulse_server", "__hostpulse_server_secrets", **GIVEN) == SECRETS


def test_only_the_alert_engine_reads_its_rules_again() -> None:
    """The others have nothing to reload; a reload of them would end them."""
    for one in role_variables("hostpulse_server")["__hostpulse_server_services"]:
        text = render(
            "hostpulse_server", "hostpulse-service.service.j2", __hostpulse_server_service=one
        )
        reloads = "\nExecReload=/bin/kill -HUP $MAINPID\n" in text
        assert reloads is (one["name"] == "hostpulse-alerts")


@pytest.mark.parametrize("name", ["Ops", "9", "a/b", "a b"])
def test_a_channel_with_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    """Its secret is a file of that name."""
    given = {name: {"kind": "slack", "webhook_url": "https://x.example"}, "ops": "slack"}
    said = evaluate(
        "hostpulse_server", "__hostpulse_server_wrong_channels", hostpulse_server_channels=given
    )
    assert f"{name}, ops is no channel" in " ".join(said.split())
    said = evaluate("hostpulse_server", "__hostpulse_server_wrong_channels", **GIVEN)
    assert not (said or "").strip()


@pytest.mark.parametrize("key", ["webhook_url", "url"])
def test_an_address_that_the_engine_would_refuse_is_refused_before_anything_changes(
    key: str,
) -> None:
    """Named by channel and key, without the address, which is a secret."""
    plain = {"kind": "slack" if key == "webhook_url" else "webhook", key: "http://x.example/hush"}

    def said(**more: Any) -> str:
        given = {"ops": {**plain, **more}}
        told = evaluate(
            "hostpulse_server", "__hostpulse_server_wrong_channels", hostpulse_server_channels=given
        )
        return " ".join((told or "").split())

    assert f"{key} of ops is no https address" in said()
    assert "hush" not in said()
    assert said(allow_private=True) == ""


def rules(**given: Any) -> dict[str, Any]:
    """Return what the role makes of the inventory's rules and thresholds."""
    hosts = {"Monitor": {}, "Web-01": {}, "db-01": {"hostpulse_agent_server_id": "primary"}}
    thresholds = given.pop("thresholds", {})
    hostvars = {
        name: {**values, **thresholds.get(name, {}), "inventory_hostname": name}
        for name, values in hosts.items()
    }
    known = {"role_path": str(loader().get_basedir()) + "/roles/hostpulse_server"}
    variables = {**HOST, **role_variables("hostpulse_server"), **known, **given}
    variables["hostvars"] = hostvars
    template = trust_as_template("{{ __hostpulse_server_rules_rendered }}")
    return dict(Templar(loader(), variables).template(template))


def test_a_threshold_of_a_host_finds_it_by_its_server_id() -> None:
    """Where that differs from its name in the inventory, and in lower case otherwise."""
    wanted = {
        "db-01": {"hostpulse_thresholds": {"cpu_usage": {"warning": 70}}},
        "Web-01": {"hostpulse_thresholds": {"cpu_usage": {"warning": 60}}},
    }
    found = rules(thresholds=wanted)
    assert found["faults"] == []
    book = load_texts(found["files"])
    shown = {}
    for host in ("primary", "web-01", "monitor", "db-01"):
        rule = book.effective("cpu_usage", host, {"core": "total"}, {})
        assert rule is not None
        shown[host] = rule.levels[0].threshold
    assert shown == {"primary": 70, "web-01": 60, "monitor": 80, "db-01": 80}


def test_rules_come_from_files_on_the_controller_or_the_inventory(tmp_path: Path) -> None:
    """A summary with braces is the server's template, not Ansible's; a missing file is named."""
    text = (
        "rules:\n- name: load\n  summary: '{{ value }} wait'\n  measurement: system\n"
        "  field: load1\n  levels: {warning: {above: 8}}\n"
    )
    (tmp_path / "team.yml").write_text(text)
    later = {"name": "later", "rules": [{"name": "cpu_usage", "for": "10m"}]}
    found = rules(hostpulse_server_rules=[str(tmp_path / "team.yml"), later])
    assert found["faults"] == []
    assert found["files"]["50-01-team.yml"] == text
    book = load_texts(found["files"])
    assert book.rules["load"].summary == "{{ value }} wait"
    assert {level.for_ms for level in book.rules["cpu_usage"].levels} == {600_000}
    (fault,) = rules(hostpulse_server_rules=[str(tmp_path / "missing.yml")])["faults"]
    assert "hostpulse_server_rules[0] is neither a file on the controller" in fault
