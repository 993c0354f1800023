"""The pack that ships: every rule is tested and explained, none flaps or leaves one helpless."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hostpulse_agent.collectors import CATALOGUES
from tests.policy.repository import ROOT

from hostpulse_server.rules import Rule, load
from hostpulse_server.values.server_metrics import CATALOGUE as OF_SERVER

PACK = ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml"
RULES = load([str(PACK)]).rules
EACH = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text()
SERVER = Path(sys.executable).with_name("hostpulse-server")


@pytest.mark.integration
def test_the_pack_passes_its_own_tests() -> None:
    """What ``rules test`` says of the file that ships, for every rule of it."""
    done = subprocess.run(
        [SERVER, "rules", "test", "--json", PACK], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    tested = {test["rule"] for test in json.loads(done.stdout)["tests"]}
    assert tested == set(RULES)


@EACH
def test_the_rule_has_a_runbook(rule: Rule) -> None:
    """No message without an action."""
    assert rule.runbook == f"docs/runbooks.md#{rule.name}"
    assert f"\n## {rule.name}\n" in RUNBOOKS


def test_every_runbook_has_a_rule() -> None:
    """A section about a rule that is gone would be read in vain."""
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)) == set(RULES)


@EACH
def test_the_rule_looks_at_something_that_is_measured(rule: Rule) -> None:
    """A misspelt field would never fire and nobody would know."""
    if rule.kind == "liveness":
        return
    known: dict[str, Any] = {one.measurement: one for one in CATALOGUES} | dict(OF_SERVER)
    fields = [rule.field, *(condition.field for condition in rule.only_if)]
    assert set(fields) <= set(known[rule.measurement].fields)


@EACH
def test_the_rule_has_hysteresis(rule: Rule) -> None:
    """Recovery at the threshold itself would flap."""
    for level in rule.levels:
        assert level.clear is not None
        is_apart = level.clear != level.threshold
        # counts and flags have nothing in between
        assert is_apart or level.threshold == 0.5


def test_the_users_own_thresholds_hold() -> None:
    """CPU 80/95 over a minute, memory 85/95, disk 80/90, packet loss 1 %, each for 5 minutes."""
    wanted = {
        "cpu_usage": [80, 95],
        "memory_usage": [85, 95],
        "disk_usage": [80, 90],
        "packet_loss": [1],
    }
    for name, thresholds in wanted.items():
        assert [level.threshold for level in RULES[name].levels] == thresholds
        assert {level.for_ms for level in RULES[name].levels} == {300_000}
    assert RULES["cpu_usage"].over_ms == 60_000


def test_the_file_is_plain_yaml() -> None:
    """Other programs generate from it: no tags, no anchors of ours."""
    assert set(yaml.safe_load(PACK.read_text())) == {"rules", "tests"}
