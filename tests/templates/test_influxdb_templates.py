"""What the influxdb role renders for influxd, and the server role for a server that uses it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from tests.templates.render import HOST, evaluate, render, role_variables

from hostpulse_server import config as server_config

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = {
    "url": "https://store:8086",
    "org": "somebody",
    "bucket_raw": "raw",
    "bucket_rollup": "rollup",
    "ca_file": "/etc/hostpulse/influxdb_ca.pem",
    "host": "store",
    "unit": "",
}
OWN_HOST = {
    "inventory_hostname": "store",
    "groups": {**HOST["groups"], "hostpulse_influxdb": ["store"]},
    "hostvars": {**HOST["hostvars"], "store": {"ansible_host": "192.0.2.9"}},
}


def settings(**given: Any) -> dict[str, Any]:
    """Render influxd's configuration and read it."""
    return tomllib.loads(render("hostpulse_influxdb", "influxdb.toml.j2", **given))


def test_beside_the_server_it_is_on_loopback_without_tls() -> None:
    """Nobody else reaches it, and its tokens do not leave the host."""
    found = settings(inventory_hostname="Monitor")
    assert found["http-bind-address"] == "127.0.0.1:8086"
    assert "tls-cert" not in found
    assert found["reporting-disabled"] is True


def test_on_a_host_of_its_own_it_speaks_tls_on_every_address() -> None:
    """The certificate comes as a credential of the unit, so that influxd's user reads no file."""
    found = settings(**OWN_HOST)
    assert found["http-bind-address"] == ":8086"
    assert found["tls-cert"] == found["tls-key"]
    unit = render("hostpulse_influxdb", "hostpulse-influxdb.service.j2", **OWN_HOST)
    loaded = re.search(r"^LoadCredential=(\S+):(/etc/hostpulse/influxdb/\S+)$", unit, re.MULTILINE)
    assert loaded
    assert found["tls-cert"].endswith(f"/hostpulse-influxdb.service/{loaded[1]}")


@pytest.mark.parametrize(
    ("bind", "near"),
    [
        (":8086", "https://127.0.0.1:8086"),
        ("10.0.0.5:9000", "https://10.0.0.5:9000"),
        ("[::1]:8086", "http://[::1]:8086"),
    ],
)
def test_on_its_own_host_it_is_asked_where_it_listens(bind: str, near: str) -> None:
    """An address of one interface is not reached by loopback."""
    found = evaluate(
        "hostpulse_influxdb",
        "__hostpulse_influxdb_admin_url",
        hostpulse_influxdb_bind=bind,
        **OWN_HOST,
    )
    assert found == near


def test_any_setting_of_influxd_can_be_given_and_ours_overridden() -> None:
    """Texts, numbers and truth values are written as TOML wants them."""
    given = {"query-concurrency": 4, "ui-disabled": True, "log-level": 'odd "level"'}
    found = settings(hostpulse_influxdb_settings=given)
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(
    ("limit", "soft"), [("2G", "1717986918"), ("512M", "429496729"), ("infinity", "")]
)
def test_the_garbage_collector_knows_the_memory_limit(limit: str, soft: str) -> None:
    """Four fifths of what systemd allows; where it allows all there is no such number."""
    unit = render(
        "hostpulse_influxdb",
        "hostpulse-influxdb.service.j2",
        hostpulse_influxdb_memory_max=limit,
    )
    assert re.findall(r"GOMEMLIMIT=(\d+)", unit) == ([soft] if soft else [])


def test_the_server_reads_where_its_store_is(tmp_path: Path) -> None:
    """What the influxdb role says is what the server's own loader understands."""
    path = tmp_path / "server.toml"
    text = render(
        "hostpulse_server",
        "server.toml.j2",
        hostpulse_server_store="influxdb",
        __hostpulse_influxdb_client=CLIENT,
    )
    path.write_text(text, encoding="utf-8")
    store = server_config.load(path, {}).store
    assert store.kind == "influxdb"
    for name in ("url", "org", "bucket_raw", "bucket_rollup", "ca_file"):
        assert getattr(store.influxdb, name) == CLIENT[name], name


@pytest.mark.parametrize("beside", ["", "hostpulse-influxdb.service"])
def test_each_service_gets_the_one_token_that_it_needs(beside: str) -> None:
    """The api reads and the shipper writes, alerts do neither; beside it they start after it."""
    for service in role_variables("hostpulse_server")["__hostpulse_server_services"]:
        unit = render(
            "hostpulse_server",
            "hostpulse-service.service.j2",
            hostpulse_server_store="influxdb",
            __hostpulse_influxdb_client={**CLIENT, "unit": beside},
            __hostpulse_server_service=service,
        )
        purposes = {"hostpulse-api": ["query"], "hostpulse-shipper": ["write"]}
        names = [f"influxdb_{purpose}_token" for purpose in purposes.get(service["name"], [])]
        assert re.findall(r"^LoadCredential=(.*)$", unit, re.MULTILINE) == [
            f"{name}:/etc/hostpulse/{name}" for name in names
        ]
        for key in ("After", "Wants"):
            (units,) = re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)
            assert ("hostpulse-influxdb.service" in units.split()) is bool(beside)
