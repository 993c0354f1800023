"""Preflight with an inventory full of faults: each is told, with what to do; nothing changes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.policy.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
HERE: dict[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "ansible_become": False,
}


def preflight(
    folder: Path, groups: dict[str, Any], limit: str = "", extra: str = "", **common: Any
) -> str:
    """Run preflight on an inventory whose hosts all are this machine; return all it said."""
    inventory = {
        "all": {"vars": {**HERE, **common}},
        **{name: {"hosts": hosts} for name, hosts in groups.items()},
    }
    (folder / "hosts.json").write_text(json.dumps(inventory))
    done = subprocess.run(
        [
            *(str(PLAYBOOK), "-i", str(folder / "hosts.json"), "playbooks/preflight.yml"),
            *(("--limit", limit) if limit else ()),
            *(("--extra-vars", extra) if extra else ()),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(folder / "ansible")},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    return " ".join(said.split())


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """Give a port that a program that is none of ours listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a payload that this machine cannot run: made for other machines and another Python."""
    folder = tmp_path_factory.mktemp("payload")
    manifest = {"version": "1", "sha256": "0" * 64, "machines": ["z80"], "python": ["2.7"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, taken: int, payload: Path) -> str:
    """Return what preflight says of a server's host that lacks everything."""
    return preflight(
        tmp_path_factory.mktemp("server"),
        {"hostpulse_server": {"monitor": {}}},
        hostpulse_public_name="no-such-host.invalid",
        hostpulse_public_port=taken,
        hostpulse_server_payload=str(payload),
        hostpulse_server_min_free_mib=10**9,
        hostpulse_server_bind=f"127.0.0.1:{taken}",
        hostpulse_server_settings={"channels": {"chat": "{{ vault_that_nobody_gave }}"}},
        hostpulse_proxy_certificate="/no/such/certificate.pem",
        extra="__hostpulse_backup_payload=/no/such/backup/payload",
        hostpulse_server_store="influxdb",
        hostpulse_influxdb_bind=f"0.0.0.0:{taken}",
        hostpulse_influxdb_tls=False,
        hostpulse_influxdb_min_free_mib=10**9,
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what preflight says of two hosts for InfluxDB, with an archive that is another's."""
    folder = tmp_path_factory.mktemp("stores")
    (folder / "influxdb.tar.gz").write_bytes(b"something else")
    return preflight(
        folder,
        {"hostpulse_server": {"monitor": {}}, "hostpulse_influxdb": {"one": {}, "two": {}}},
        limit="one,two",
        hostpulse_influxdb_bind="127.0.0.1:99999",
        hostpulse_influxdb_archive=str(folder / "influxdb.tar.gz"),
        hostpulse_influxdb_sha256="0" * 64,
    )


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what preflight says where nothing tells how to get into a given InfluxDB."""
    return preflight(
        tmp_path_factory.mktemp("guest"),
        {"hostpulse_server": {"monitor": {}}},
        hostpulse_server_store="influxdb",
        hostpulse_influxdb_install=False,
    )


def test_a_store_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    """A misspelt store would have been found only by the program that reads it."""
    said = preflight(
        tmp_path, {"hostpulse_server": {"monitor": {}}}, hostpulse_server_store="inflxdb"
    )
    assert 'hostpulse_server_store is "inflxdb"; let it be embedded or influxdb' in said


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what preflight says of agents that collide, are out of time and have no payload."""
    folder = tmp_path_factory.mktemp("agents")
    same = {"hostpulse_agent_server_id": "same"}
    return preflight(
        folder,
        {"hostpulse_agents": {"one": same, "two": same}},
        hostpulse_agent_payload=str(folder / "nothing"),
        hostpulse_agent_min_free_mib=10**9,
        hostpulse_agent_urls=["https://no-such-host.invalid:8443", "http://192.0.2.1:8443"],
        # No clock is that right: what is off by nothing is off by more than -1.
        hostpulse_agent_clock_tolerance_seconds=-1,
    )


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("hostpulse_server_settings refers to a variable that is not defined", "give the vault"),
        ("the payload of hostpulse-server has wheels for z80", "Build one for it"),
        ("It has no Python that hostpulse-server runs on (2.7,", "hostpulse_server_python"),
        ("hostpulse-server wants 1000000000", "lower hostpulse_server_min_free_mib"),
        ("It cannot resolve no-such-host.invalid", "set hostpulse_public_name"),
        ("is taken by another program", "choose another port with hostpulse_server_bind"),
        ("is taken by another program", "choose another port with hostpulse_public_port"),
        ("wants both hostpulse_proxy_certificate and", "give both, or neither"),
        ("/no/such/certificate.pem: no such file on the controller", "Put your own certificate"),
        ("There is no payload in /no/such/backup/payload", "make dist"),
        ("The archive of influxdb 2.9.1 is not named", "the SHA-256 that its vendor publishes"),
        ("The archive of influxdb 2.9.1 is not named", "testbed/get influxdb"),
        ("without TLS, and everybody on the way", "Set hostpulse_influxdb_tls: true"),
        ("is taken by another program", "choose another port with hostpulse_influxdb_bind"),
        ("for /opt/hostpulse; hostpulse-influxdb wants", "lower hostpulse_influxdb_min_free_mib"),
        ("for /var/lib/hostpulse-influxdb; hostpulse-influxdb wants", "Free some, or"),
    ],
)
def test_a_servers_host_is_told_each_fault_and_remedy(server: str, fault: str, remedy: str) -> None:
    """One run names all that is wrong with the host, and what to do about each."""
    assert fault in server
    assert remedy in server


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ('the server id "same", and so would two', "Set hostpulse_agent_server_id"),
        ('the server id "same", and so would one', "Set hostpulse_agent_server_id"),
        ("has no host in the group hostpulse_server", "Add the host that shall run"),
        ("http://192.0.2.1:8443 in hostpulse_agent_urls is not https", "give the https address"),
        ("There is no payload in", "make dist"),
        ("hostpulse-agent wants 1000000000", "lower hostpulse_agent_min_free_mib"),
        ("It cannot resolve no-such-host.invalid", "Add the name to DNS"),
        ("off the controller's", "timedatectl set-ntp true"),
    ],
)
def test_a_monitored_host_is_told_each_fault_and_remedy(
    agents: str, fault: str, remedy: str
) -> None:
    """One run names all that is wrong with each host, and what to do about each."""
    assert fault in agents
    assert remedy in agents


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("has 2 hosts (one, two), but hostpulse stores in one", "Leave one host in it"),
        (f"not {'0' * 64}", "Fetch it again, or correct hostpulse_influxdb_sha256"),
        ('"99999" is no port', "give one from 1 to 65535 in hostpulse_influxdb_bind"),
        ("where what runs on monitor does not reach it", "Set hostpulse_influxdb_bind"),
    ],
)
def test_hosts_for_influxdb_are_told_each_fault_and_remedy(
    stores: str, fault: str, remedy: str
) -> None:
    """An archive that is another's, two hosts for one store, and an address nobody reaches."""
    assert fault in stores
    assert remedy in stores


def test_a_given_influxdb_wants_an_address_and_a_token(guest: str) -> None:
    """Without an installation of ours there is nothing that could be guessed."""
    assert "it wants hostpulse_influxdb_url (not given) and" in guest
    assert "hostpulse_influxdb_operator_token_file" in guest
    assert "Give both." in guest


def test_faults_of_a_host_come_in_one_message(server: str) -> None:
    """Nobody mends one fault only to be told the next."""
    assert server.count("monitor is not ready, and nothing was changed:") <= 2  # summary and task
    assert "changed=0" in server


@pytest.mark.parametrize(
    ("groups", "counts"),
    [
        ({"web": {"one": {}}}, "it has 0 and 0"),
        ({"hostpulse_server": {"one": {}, "two": {}}}, "it has 2 and 0"),
    ],
)
def test_an_inventory_that_is_none_of_hostpulse_is_refused(
    tmp_path: Path, groups: dict[str, Any], counts: str
) -> None:
    """A mistyped path or group is no success, and two servers are one too many."""
    said = preflight(tmp_path, groups)
    assert counts in said
    assert "Is -i the right path? See inventories/example." in said
