"""Every unit that a role renders is one that systemd takes without a word, and is closed tight."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.policy.repository import ROOT
from tests.templates.render import render, role_variables

if TYPE_CHECKING:
    from pathlib import Path

CHANNELS = {"ops": {"kind": "slack", "webhook_url": "https://hooks.example.org/hush"}}
UNITS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "hostpulse-agent.service": ("hostpulse_agent", "hostpulse-agent.service.j2", {}),
    "hostpulse-grafana.service": ("hostpulse_grafana", "hostpulse-grafana.service.j2", {}),
    "hostpulse-influxdb.service": ("hostpulse_influxdb", "hostpulse-influxdb.service.j2", {}),
    **{
        f"{service['name']}.service": (
            "hostpulse_server",
            "hostpulse-service.service.j2",
            {"__hostpulse_server_service": service, "hostpulse_server_channels": CHANNELS},
        )
        for service in role_variables("hostpulse_server")["__hostpulse_server_services"]
    },
}
EACH = pytest.mark.parametrize("name", UNITS)
# The bars of the design; Debian's own monitoring units are at 7.2 to 9.6.
EXPOSURE = {role: 1.6 if role == "hostpulse_agent" else 1.5 for role, _, _ in UNITS.values()}
# Programs of others, which tell systemd nothing: they are asked by whoever starts them.
SILENT = {"hostpulse-influxdb.service"}
# It says when it is ready, but not that it still lives.
UNWATCHED = {*SILENT, "hostpulse-grafana.service"}


def unit(name: str, directory: Path) -> Path:
    """Render a unit to a file; its program, which is not installed here, becomes one that is."""
    role, template, given = UNITS[name]
    text = render(role, template, **given)
    path = directory / name
    path.write_text(re.sub(r"=([-+!:@]*)/opt/hostpulse/\S+", r"=\1/bin/true", text))
    return path


def test_the_services_have_their_units() -> None:
    """A renamed template must not leave the checks below without work."""
    names = ("agent", "alerts", "api", "grafana", "influxdb", "shipper")
    wanted = {f"hostpulse-{name}.service" for name in names}
    assert set(UNITS) == wanted
    templates = {path.name for path in ROOT.glob("roles/*/templates/*.service.j2")}
    runs_once = {"hostpulse-backup.service.j2"}  # test_backup_templates.py
    assert templates - runs_once == {template for _, template, _ in UNITS.values()}


@pytest.mark.integration
@EACH
def test_systemd_reads_the_unit_without_a_complaint(name: str, tmp_path: Path) -> None:
    """An unknown key or a value out of place would be ignored on the host, silently."""
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
    result = subprocess.run(
        [*command, str(unit(name, tmp_path))], capture_output=True, text=True, check=False
    )
    ours = [line for line in result.stderr.splitlines() if name in line]
    assert ours == []
    assert result.returncode == 0, result.stderr


@pytest.mark.integration
@EACH
def test_the_sandbox_is_as_tight_as_the_design_says(name: str, tmp_path: Path) -> None:
    """The exposure that systemd itself computes stays under the bar."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    result = subprocess.run(
        [*command, str(unit(name, tmp_path))], capture_output=True, text=True, check=True
    )
    level = re.search(r"exposure level for .*: ([0-9.]+)", result.stdout)
    assert level, result.stdout
    assert float(level.group(1)) <= EXPOSURE[UNITS[name][0]]


@EACH
def test_the_service_comes_back_and_reports_ready(name: str, tmp_path: Path) -> None:
    """Crashed, hung or leaking: systemd notices and restarts, with a backoff and a limit."""
    text = unit(name, tmp_path).read_text()
    for line in ("Restart=always", "NoNewPrivileges=true", "ProtectSystem=strict"):
        assert f"\n{line}\n" in text, line
    assert (f"\nType={'exec' if name in SILENT else 'notify'}\n") in text
    watched = () if name in UNWATCHED else ("WatchdogSec",)
    for key in (*watched, "MemoryMax", "StartLimitBurst", "RestartSec", "User"):
        assert re.search(rf"^{key}=\S", text, re.MULTILINE), key


@EACH
def test_no_secret_is_in_the_unit(name: str, tmp_path: Path) -> None:
    """Secrets are credentials or files; the environment is readable in /proc by the same user."""
    text = unit(name, tmp_path).read_text()
    assert "hush" not in text
    for line in re.findall(r"^Environment=.*|^Exec.*", text, re.MULTILINE):
        assert not re.search(r"hp_|token=|password=|secret=", line, re.IGNORECASE), line
