"""What ``hostpulse-server dev`` decides before it starts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.commands import dev
from hostpulse_server.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_configuration_one_is_made_once(tmp_path: Path) -> None:
    """In a folder that is ours alone; a change to it is kept."""
    config = dev._configure(None, None)
    assert config.data_dir == tmp_path / "hostpulse-dev"
    assert config.data_dir.stat().st_mode & 0o777 == 0o700
    assert config.api.bind == dev.DEFAULT_BIND
    assert config.alerts.rules == (f"{config.data_dir}/rules/*.yml",)
    assert (config.data_dir / "rules").is_dir()
    made = config.data_dir / "server.toml"
    made.write_text(made.read_text().replace("8080", "8099"))
    assert dev._configure(None, None).api.port == 8099
    assert dev._configure(None, "127.0.0.1:8100").api.port == 8100


def test_a_given_configuration_is_used(tmp_path: Path) -> None:
    """Its data directory is made; nothing appears in the current folder."""
    given = tmp_path / "server.toml"
    given.write_text(f'data_dir = "{tmp_path}/else/where"\n')
    assert dev._configure(given, None).data_dir == tmp_path / "else" / "where"
    assert (tmp_path / "else" / "where").is_dir()
    assert not (tmp_path / "hostpulse-dev").exists()


def test_a_malformed_address_is_refused() -> None:
    """By the same check as in the file, which does not get to hold it."""
    with pytest.raises(ConfigError, match=r"bind"):
        dev._configure(None, "8080")
    assert dev._configure(None, None).api.bind == dev.DEFAULT_BIND


def test_the_address_of_the_first_start_is_kept() -> None:
    """The configuration that is made has it."""
    dev._configure(None, "127.0.0.1:8100")
    assert dev._configure(None, None).api.port == 8100


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("monitor", "monitor")],
)
def test_the_address_shown_is_one_that_an_agent_may_use(host: str, shown: str) -> None:
    """Plain http is for the loopback, and 0.0.0.0 is no address to connect to."""
    assert dev._reachable(host) == shown


def test_a_host_name_that_is_no_server_id_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the command shown works."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Web-01")
    assert dev._server_id() == "web-01"
    monkeypatch.setattr(socket, "gethostname", lambda: "-odd_")
    assert dev._server_id() == "this-host"
