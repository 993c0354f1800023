"""The module ``servers_apply``, run against the real hostpulse-server on a registry of its own."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from hostpulse_server import state
from hostpulse_server.registry import Registry, Server

pytestmark = pytest.mark.integration

MODULE = Path(__file__).parents[2] / "plugins/modules/servers_apply.py"
BIN = Path(sys.executable).parent
SECRET = "hp_abcdefghijkl_" + "s" * 43
KEY = {"id": "abcdefghijkl", "sha256": hashlib.sha256(SECRET.encode()).hexdigest()}


class Host:
    """A server host with its configuration below ``directory``."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.config = directory / "server.toml"
        self.config.write_text(f'data_dir = "{directory}"\n')
        self.arguments = {
            "executable": str(BIN / "hostpulse-server"),
            "config": str(self.config),
        }

    def apply(
        self, servers: list[dict[str, Any]], *, check: bool = False, diff: bool = False, **more: Any
    ) -> dict[str, Any]:
        """Run the module; return what it tells Ansible."""
        arguments = {
            **self.arguments,
            "servers": servers,
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            **more,
        }
        # As Ansible's wrapper does on a target: hand over the arguments, run the file as a script.
        # (Not by runpy: it takes the file for a folder once Ansible's collection finder is loaded.)
        with patch_module_args(arguments), pytest.raises(SystemExit) as exited:
            SourceFileLoader("__main__", str(MODULE)).exec_module(ModuleType("__main__"))
        said: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert bool(exited.value.code) == bool(said.get("failed"))
        return said

    def servers(self) -> list[Server]:
        """Return what the registry holds."""
        engine = state.open_engine(f"sqlite:///{self.config.parent}/state.db")
        found = Registry(engine).servers()
        engine.dispose()
        return found


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    """Return a host whose state database does not exist yet."""
    return Host(tmp_path, capsys)


def test_servers_are_added_and_a_second_run_changes_nothing(host: Host) -> None:
    """What the inventory says is in the registry, labels as text, and stays."""
    servers = [
        {
            "id": "web-01",
            "address": "192.0.2.1",
            "labels": {"env": "prod", "rack": 12, "spare": False},
            "allow_from": ["192.0.2.0/24"],
            "keys": [KEY],
        },
        {"id": "web-02", "address": ""},
    ]
    first = host.apply(servers)
    assert first["changed"]
    assert first["added"] == ["web-01", "web-02"]
    second = host.apply(servers)
    assert not second["changed"]
    assert second["unchanged"] == ["web-01", "web-02"]
    stored, other = host.servers()
    assert stored.labels == {"env": "prod", "rack": "12", "spare": "false"}
    assert stored.keys == (KEY["id"],)
    assert other.address is None


def test_check_and_diff_tell_the_change_without_making_it(host: Host, tmp_path: Path) -> None:
    """A dry run shows settings before and after and leaves no file behind."""
    said = host.apply([{"id": "a", "keys": [KEY]}], check=True, diff=True)
    assert said["changed"]
    assert said["diff"][0]["before"] == {}
    assert said["diff"][0]["after"]["keys"] == [KEY["id"]]
    assert KEY["sha256"] not in json.dumps(said)
    assert [path.name for path in tmp_path.iterdir()] == ["server.toml"]
    host.apply([{"id": "a", "name": "A"}])
    changed = host.apply([{"id": "a", "name": "B"}], check=True, diff=True)
    assert changed["changed_servers"] == ["a"]
    assert changed["diff"][0]["before"]["name"] == "A"
    assert changed["diff"][0]["after"]["name"] == "B"
    assert [server.name for server in host.servers()] == ["A"]


def test_purge_removes_what_is_not_listed(host: Host) -> None:
    """Only when asked."""
    host.apply([{"id": "a"}, {"id": "b"}])
    assert host.apply([{"id": "a"}], purge=True)["removed"] == ["b"]


def test_a_wrong_item_fails_with_its_name_and_reason(host: Host) -> None:
    """The program's own message reaches the operator."""
    said = host.apply([{"id": "ok"}, {"id": "Not-Ok"}])
    assert said["failed"]
    assert "/1/id: 'Not-Ok': must be 1-253 of a-z" in said["msg"]
    assert host.servers() == []


def test_a_bare_host_passes_check_mode_and_fails_otherwise(host: Host, tmp_path: Path) -> None:
    """Before the server is installed a dry run counts every server as one to add."""
    absent = {"executable": str(tmp_path / "absent")}
    said = host.apply([{"id": "b"}, {"id": "a"}], check=True, diff=True, **absent)
    assert (said["changed"], said["added"]) == (True, ["a", "b"])
    failed = host.apply([{"id": "a"}], **absent)
    assert "install the hostpulse_server role first" in failed["msg"]


def test_another_program_is_told_apart(host: Host, tmp_path: Path) -> None:
    """Output that is no JSON is an error of its own."""
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\ncat > /dev/null\necho hello\n")
    other.chmod(0o700)
    said = host.apply([{"id": "a"}], executable=str(other))
    assert f"{other} is not a hostpulse-server of this release" in said["msg"]


def test_ansible_itself_runs_the_module_and_shows_no_hash(host: Host, ansible: Any) -> None:
    """Through ansible: found by its name, packed, run with check and diff, hashes masked."""
    arguments = json.dumps({**host.arguments, "servers": [{"id": "a", "keys": [KEY]}]})
    shown = ansible(
        "ansible",
        "localhost",
        "--module-name=hostpulse.platform.servers_apply",
        f"--args={arguments}",
        f"--extra-vars=ansible_python_interpreter={sys.executable}",
        "--check",
        "--diff",
        "-vvv",
    )
    shown = shown[shown.index("localhost | CHANGED") :]
    assert KEY["sha256"] not in shown
    assert KEY["id"] in shown
