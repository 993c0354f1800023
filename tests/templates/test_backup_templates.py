"""What the backup's role renders: settings that the program takes, units that systemd takes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.template import Templar, trust_as_template
from hostpulse_backup import settings
from tests.policy.repository import ROOT
from tests.templates.render import HOST, evaluate, loader, render, role_variables

HOSTS = ["Monitor", "Store", "db-01"]
GROUPS = {"all": HOSTS, "hostpulse_server": ["Monitor"], "hostpulse_influxdb": ["Store"]}
INFLUXDB = {
    "url": "https://127.0.0.1:8086",
    "ca_file": "/etc/hostpulse/ca/ca.pem",
    "org": "hostpulse",
    "bucket_raw": "hostpulse_raw",
    "bucket_rollup": "hostpulse_rollup",
    "token_file": "/etc/hostpulse/influxdb/backup.token",
    "data_dir": "/var/lib/hostpulse-influxdb",
    "service": "hostpulse-influxdb.service",
    "program": "/opt/hostpulse/influxdb/current/bin/influxd",
    "user": "hostpulse-influxdb",
}


def host(name: str, **given: Any) -> dict[str, Any]:
    """Return what Ansible knows of a host of an estate with InfluxDB on one of its own."""
    known = {"__hostpulse_influxdb_backup": INFLUXDB} if name == "Store" else {}
    return {"inventory_hostname": name, "groups": GROUPS, **known, **given}


def written(**given: Any) -> settings.Settings:
    """Return the settings as the program reads them."""
    templar = Templar(loader(), {**HOST, **role_variables("hostpulse_backup"), **given})
    text = templar.template(trust_as_template("{{ __hostpulse_backup_settings_text }}"))
    return settings.parse(json.loads(text))


def test_the_servers_host_has_databases_and_no_influxdb() -> None:
    """What is asked of a host follows from its groups."""
    found = written(**host("Monitor"))
    assert found.state is not None
    assert found.state.url == "sqlite:////var/lib/hostpulse/state.db"
    assert found.influxdb is None
    assert found.results == Path("/var/lib/hostpulse/backups")


def test_influxdbs_host_has_influxdb_and_no_databases() -> None:
    """Its results wait for the playbook that takes them to the server."""
    found = written(**host("Store"))
    assert found.state is None
    assert found.influxdb is not None
    assert found.influxdb.program == Path("/opt/hostpulse/influxdb/current/bin/influxd")
    assert found.results == Path("/var/backups/hostpulse/results")


def test_settings_of_the_inventory_arrive() -> None:
    """A state database elsewhere, another policy, and somebody else's databases."""
    url = "postgresql+psycopg://hostpulse@db/hostpulse"
    given = {"hostpulse_server_settings": {"state": {"url": url}}, "hostpulse_backup_raw": True}
    found = written(**host("Monitor", **given, hostpulse_backup_keep_monthly=6))
    assert found.state is not None
    assert (found.state.url, found.raw, found.keep.monthly) == (url, True, 6)
    elsewhere = written(**host("Monitor", hostpulse_backup_state=False)).state
    assert elsewhere is not None
    assert elsewhere.url == ""


def unit(kind: str, name: str, directory: Path) -> Path:
    """Render a unit of a host to a file; its program becomes one that is here."""
    template = f"hostpulse-backup.{kind}"
    text = render("hostpulse_backup", f"{template}.j2", **host(name))
    path = directory / template
    path.write_text(re.sub(r"=/usr/local/sbin/\S+", "=/bin/true", text))
    return path


@pytest.mark.integration
@pytest.mark.parametrize("name", ["Monitor", "Store"])
@pytest.mark.parametrize("kind", ["service", "timer"])
def test_systemd_reads_the_unit_without_a_complaint(kind: str, name: str, tmp_path: Path) -> None:
    """An unknown key or a value out of place would be ignored on the host, silently."""
    unit("service", name, tmp_path)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
    result = subprocess.run(
        [*command, str(unit(kind, name, tmp_path))], capture_output=True, text=True, check=False
    )
    assert [line for line in result.stderr.splitlines() if "hostpulse-backup" in line] == []
    assert result.returncode == 0, result.stderr


@pytest.mark.integration
def test_the_sandbox_is_as_tight_as_its_work_allows(tmp_path: Path) -> None:
    """Root it has to be, to read what others own; Debian's own services are at 7 to 9."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    result = subprocess.run(
        [*command, str(unit("service", "Monitor", tmp_path))],
        capture_output=True,
        text=True,
        check=True,
    )
    level = re.search(r"exposure level for .*: ([0-9.]+)", result.stdout)
    assert level, result.stdout
    assert float(level.group(1)) <= 3.5


def test_the_store_is_copied_after_the_books(tmp_path: Path) -> None:
    """InfluxDB on a host of its own is backed up an hour after the server."""
    for name, hour in (("Monitor", "02"), ("Store", "03")):
        text = unit("timer", name, tmp_path).read_text()
        assert f"\nOnCalendar=*-*-* {hour}:30:00\n" in text
        assert "\nPersistent=true\n" in text


def test_grafanas_host_has_its_database() -> None:
    """One that is somebody else's is theirs to back up."""
    groups = {**GROUPS, "hostpulse_grafana": ["Monitor"]}
    found = written(**host("Monitor", groups=groups))
    assert found.grafana is not None
    assert found.grafana.data_dir == Path("/var/lib/hostpulse-grafana")
    given = written(**host("Monitor", groups=groups, hostpulse_grafana_install=False))
    assert given.grafana is None
    assert written(**host("Store", groups=groups)).grafana is None


def wanted(payload: Path) -> list[str]:
    """Return the lines that make a server's host settled, with the payload of a folder."""
    given = {"role_path": str(ROOT / "roles" / "hostpulse_backup")}
    given["__hostpulse_backup_payload"] = str(payload)
    found: list[str] = evaluate(
        "hostpulse_backup", "__hostpulse_backup_wanted", **host("Monitor", **given)
    )
    return found


def test_a_host_has_one_file_with_the_programs_sum_and_no_other(tmp_path: Path) -> None:
    """What an earlier release left in the folder unsettles the host, as a damaged file does."""
    (tmp_path / "manifest.json").write_text(json.dumps({"version": "1", "sha256": "ab" * 32}))
    lines = wanted(tmp_path)
    program = "/opt/hostpulse/backup/hostpulse-backup.pyz"
    assert f"file {program} root root 644 {'ab' * 32}" in lines
    assert "folder /opt/hostpulse/backup hostpulse-backup.pyz" in lines
    assert f" -I -B {program} " in render("hostpulse_backup", "hostpulse-backup.sh.j2")


def test_a_program_that_was_not_built_names_what_builds_it(tmp_path: Path) -> None:
    """As for the agent and the server; without it the role could be looked at, at least."""
    said = evaluate(
        *("hostpulse_backup", "__hostpulse_backup_no_payload"),
        __hostpulse_backup_payload=str(tmp_path),
    )
    assert f"There is no payload in {tmp_path}. Build it on the controller" in said
    assert "make dist" in said
    assert not evaluate(
        *("hostpulse_backup", "__hostpulse_backup_built"),
        __hostpulse_backup_payload=str(tmp_path),
    )
