"""Every unit that a role renders is one that systemd takes without a word, and is closed tight."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.policy.estate import ROOT
from tests.templates.render import render

if TYPE_CHECKING:
    from pathlib import Path

UNITS = sorted(ROOT.glob("roles/*/templates/*.service.j2"))
EACH = pytest.mark.parametrize("template", UNITS, ids=lambda path: path.stem)
# The bars of the design; Debian's own monitoring units are at 7.2 to 9.6.
EXPOSURE = {"hostpulse_agent": 1.6, "hostpulse_server": 1.5}


def unit(template: Path, directory: Path) -> Path:
    """Render a unit to a file; its program, which is not installed here, becomes one that is."""
    text = render(template.parents[1].name, template.name)
    path = directory / template.stem
    path.write_text(re.sub(r"=([-+!:@]*)/opt/hostpulse/\S+", r"=\1/bin/true", text))
    return path


def test_the_three_services_have_their_units() -> None:
    """A renamed template must not leave the checks below without work."""
    assert {path.stem for path in UNITS} >= {
        "hostpulse-agent.service",
        "hostpulse-api.service",
        "hostpulse-shipper.service",
    }


@EACH
def test_systemd_reads_the_unit_without_a_complaint(template: Path, tmp_path: Path) -> None:
    """An unknown key or a value out of place would be ignored on the host, silently."""
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
    result = subprocess.run(
        [*command, str(unit(template, tmp_path))], capture_output=True, text=True, check=False
    )
    ours = [line for line in result.stderr.splitlines() if template.stem in line]
    assert ours == []
    assert result.returncode == 0, result.stderr


@EACH
def test_the_sandbox_is_as_tight_as_the_design_says(template: Path, tmp_path: Path) -> None:
    """The exposure that systemd itself computes stays under the bar."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    result = subprocess.run(
        [*command, str(unit(template, tmp_path))], capture_output=True, text=True, check=True
    )
    level = re.search(r"exposure level for .*: ([0-9.]+)", result.stdout)
    assert level, result.stdout
    assert float(level.group(1)) <= EXPOSURE[template.parents[1].name]


@EACH
def test_the_service_comes_back_and_reports_ready(template: Path, tmp_path: Path) -> None:
    """Crashed, hung or leaking: systemd notices and restarts, with a backoff and a limit."""
    text = unit(template, tmp_path).read_text()
    for line in ("Type=notify", "Restart=always", "NoNewPrivileges=true", "ProtectSystem=strict"):
        assert f"\n{line}\n" in text, line
    for key in ("WatchdogSec", "MemoryMax", "StartLimitBurst", "RestartSec", "User"):
        assert re.search(rf"^{key}=\S", text, re.MULTILINE), key


@EACH
def test_no_secret_is_in_the_unit(template: Path, tmp_path: Path) -> None:
    """Secrets are credentials or files; the environment is readable in /proc by the same user."""
    text = unit(template, tmp_path).read_text()
    for line in re.findall(r"^Environment=.*|^Exec.*", text, re.MULTILINE):
        assert not re.search(r"hp_|token=|password=|secret=", line, re.IGNORECASE), line
