"""The module ``influxdb_setup`` on servers that are fresh, set up, or somebody else's."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest
from testbed.influxdb.local import Influxd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

FIRST = {"org": "hostpulse", "bucket": "hostpulse_raw", "retention": "7d"}


@pytest.fixture
def fresh(tmp_path: Path, controller: Any) -> Iterator[Influxd]:
    """Start a server that nobody has set up."""
    with Influxd.fresh(tmp_path / "influxd") as server:
        controller.url = server.url
        yield server


def mode(path: Path) -> int:
    """Return the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_fresh_server_is_set_up_with_a_token_made_here(fresh: Influxd, controller: Any) -> None:
    """Token and password are in 0600 files, the token opens the server, a second run is idle."""
    password = controller.folder / "password"
    said = controller.twice("setup", **FIRST, password_file=str(password))
    assert said["version"] == "2.9.1"
    assert (mode(controller.token_file), mode(password)) == (0o600, 0o600)
    assert password.read_text().strip() not in str(said)
    fresh.operator_token = controller.token_file.read_text().strip()
    (bucket,) = fresh.call("GET", "/api/v2/buckets?name=hostpulse_raw")["buckets"]
    assert bucket["retentionRules"][0]["everySeconds"] == 7 * 86400
    names = [path.name for path in controller.folder.iterdir()]
    assert sorted(names) == ["influxd", "operator.token", "password"]
    user = controller.run("user", name="hostpulse", role="owner", update_password="always",
                          password_file=str(password))  # fmt: skip
    assert not user["changed"]


def test_a_dry_run_of_a_fresh_server_makes_nothing(fresh: Influxd, controller: Any) -> None:
    """Neither a token nor the first user."""
    assert controller.run("setup", check=True, **FIRST)["changed"]
    assert not controller.token_file.exists()
    assert fresh.call("GET", "/api/v2/setup")["allowed"]


def test_a_token_left_by_a_run_that_died_is_used(fresh: Influxd, controller: Any) -> None:
    """What is in the file is what the server gets, whether or not it got it before."""
    controller.token_file.write_text("t" * 40 + "\n")
    assert controller.run("setup", **FIRST)["changed"]
    assert controller.token_file.read_text() == "t" * 40 + "\n"
    assert not controller.run("setup", **FIRST)["changed"]
    fresh.operator_token = "t" * 40
    assert fresh.call("GET", "/api/v2/me")["name"] == "hostpulse"


def test_the_token_is_on_disk_before_the_server_knows_it(fresh: Influxd, controller: Any) -> None:
    """A server that refuses leaves a token file that the next run uses."""
    (controller.folder / "password").write_text("short")
    said = controller.run("setup", **FIRST, password_file=str(controller.folder / "password"))
    assert "passwords must be between 8 and 72 characters" in said["msg"]
    token = controller.token_file.read_text()
    assert controller.run("setup", **FIRST)["changed"]
    assert controller.token_file.read_text() == token


def test_a_server_set_up_by_others_without_its_token_is_told(
    influxd: Influxd, controller: Any
) -> None:
    """No token is made for a server that cannot take it; the advice names the way out."""
    controller.url = influxd.url
    said = controller.run("setup", **FIRST)
    assert "is set up already" in said["msg"]
    assert "influxd recovery auth create-operator" in said["msg"]
    assert not controller.token_file.exists()


def test_a_server_set_up_with_another_token_is_told(influxd: Influxd, controller: Any) -> None:
    """The token's file is named, the token is not, and it stays as it is."""
    controller.url = influxd.url
    controller.token_file.write_text("of-another-server")
    said = controller.run("setup", **FIRST)
    assert f"does not know the token in {controller.token_file}" in said["msg"]
    assert "influxd recovery auth create-operator" in said["msg"]
    assert controller.token_file.read_text() == "of-another-server"


def test_a_folder_that_is_not_there_is_told(fresh: Influxd, controller: Any) -> None:
    """The module makes files, the caller their folder."""
    said = controller.run("setup", **FIRST, token_file=str(controller.folder / "no/token"))
    assert f"{controller.folder}/no is not there; make it, mode 0700" in said["msg"]


def test_a_dry_run_without_a_server_counts_as_a_change(controller: Any) -> None:
    """Before influxd is installed there is nothing to ask."""
    said = controller.run("setup", check=True, **FIRST)
    assert said["changed"]
    assert "not there yet" in str(said["warnings"])
