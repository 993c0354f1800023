"""What the server role renders is what the server reads, whatever an inventory puts into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.templates.render import evaluate, render

from hostpulse_server import config as server_config

if TYPE_CHECKING:
    from pathlib import Path

AWKWARD = 'a "quoted" \\ back\\slash, ünïcode 🖥, {{ braces }} and a # hash'


def load(directory: Path, **given: Any) -> server_config.ServerConfig:
    """Render the configuration and read it with the server's own loader."""
    path = directory / "server.toml"
    path.write_text(render("hostpulse_server", "server.toml.j2", **given), encoding="utf-8")
    return server_config.load(path, {})


def test_the_defaults_render_to_the_servers_own_defaults(tmp_path: Path) -> None:
    """Beyond address and proxy, a role without a setting leaves each choice to the program."""
    ours, plain = load(tmp_path), server_config.load(None, {})
    assert ours.data_dir == plain.data_dir
    assert ours.site.public_url == "https://Web-01:8443"
    assert ours.api.trusted_proxies == 1
    assert ours.api.bind == plain.api.bind
    assert ours.store.kind == "embedded"
    for section in ("state", "journal", "shipper", "retention", "alerts", "channels", "routes"):
        assert getattr(ours, section) == getattr(plain, section), section


def test_text_with_every_special_character_arrives_unchanged(tmp_path: Path) -> None:
    """Quotes, backslashes, braces and characters beyond the basic plane are only text."""
    assert load(tmp_path, hostpulse_server_site=AWKWARD).site.name == AWKWARD


def test_settings_channels_and_routes_reach_the_server(tmp_path: Path) -> None:
    """Nested sections, lists of tables and keys with dots are written as TOML wants them."""
    config = load(
        tmp_path,
        hostpulse_server_settings={
            "api": {"threads": 4, "cors_origins": ["https://a.example", "https://b.example"]},
            "journal": {"max_bytes": "5GiB"},
            "store": {"influxdb": {"org": "somebody"}},
            "channels": {
                "slack": {
                    "kind": "slack", "webhook_url_file": "slack_webhook_url", "allow_private": True
                },
                "mail": {
                    "kind": "email", "host": "smtp.example.org", "from": "a@example.org",
                    "to": ["b@example.org"],
                },
            },
            "routes": [
                {"match": {"severity": "critical", "rule": '"*'}, "channels": ["slack", "mail"]},
                {"match": {}, "channels": ["slack"]},
            ],
        },
    )  # fmt: skip
    assert config.api.threads == 4
    assert config.api.cors_origins == ("https://a.example", "https://b.example")
    assert config.api.trusted_proxies == 1
    assert config.journal.max_bytes == 5 << 30
    assert config.store.influxdb.org == "somebody"
    assert config.store.kind == "embedded"
    assert set(config.channels) == {"slack", "mail"}
    assert dict(config.routes[0].match) == {"severity": "critical", "rule": '"*'}
    assert config.routes[0].channels == ("slack", "mail")
    assert dict(config.routes[1].match) == {}


def test_a_label_with_dots_can_be_matched_by_a_route(tmp_path: Path) -> None:
    """A key that TOML would take apart at its dots is quoted."""
    match = {"team.name": "storage"}
    config = load(
        tmp_path,
        hostpulse_server_settings={
            "channels": {"slack": {"kind": "slack", "webhook_url_file": "slack_webhook_url"}},
            "routes": [{"match": match, "channels": ["slack"]}],
        },
    )
    assert dict(config.routes[0].match) == match


def test_the_embedded_store_is_refused_above_twenty_hosts_unless_a_variable_says_so() -> None:
    """With the number, and what to do."""

    def problems(count: int, **given: object) -> str:
        groups = {"hostpulse_agents": [f"h{number}" for number in range(count)]}
        name = "__hostpulse_server_wrong_store"
        return str(evaluate("hostpulse_server", name, groups=groups, **given)).strip()

    assert problems(20) == ""
    assert "is meant for 20 hosts, and the inventory has 21:" in problems(21)
    assert "hostpulse_server_embedded_max_hosts: 21" in problems(21)
    assert problems(21, hostpulse_server_embedded_max_hosts=21) == ""
    assert problems(500, hostpulse_server_store="influxdb") == ""


def test_what_keeps_alerts_from_people_is_said() -> None:
    """No channel, unless Grafana notifies; no heartbeat, wherever it is configured."""
    name = "__hostpulse_server_unnotified"

    def said(**given: object) -> list[str]:
        return [str(line).split(":")[0] for line in evaluate("hostpulse_server", name, **given)]

    nobody, unseen = "nobody is notified of alerts", "nobody learns that hostpulse itself is down"
    channels = {"mail": {"kind": "email"}}
    alerts = {"heartbeat_url": "https://watch.example.org/ping"}
    assert said() == [nobody, unseen]
    assert said(hostpulse_server_channels=channels) == [unseen]
    assert said(__hostpulse_server_grafana_notifies=True) == [unseen]
    assert said(hostpulse_server_alerts=alerts) == [nobody]
    settings = {"channels": channels, "alerts": alerts}
    assert said(hostpulse_server_settings=settings) == []
