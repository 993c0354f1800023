"""What ``make`` runs of the tests: each in exactly one target, and every long form in ``chaos``."""

from __future__ import annotations

import re

import pytest
from tests.policy.repository import ROOT, tracked

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LONG = re.compile(r"HOSTPULSE_TRIALS|^from tests\.e2e\.services import .*\bLONG\b", re.MULTILINE)


def recipe(target: str) -> str:
    """Return the commands of a target, a script of ours as its text."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found, target
    script = re.search(r"scripts/\w+", found[1])
    return found[1] + ((ROOT / script[0]).read_text(encoding="utf-8") if script else "")


def test_each_test_is_run_by_unit_or_by_integration() -> None:
    """One takes the mark, the other takes all that lacks it."""
    assert re.findall(r'pytest .*-m ("[^"]*"|\S+)', recipe("unit")) == ['"not integration"']
    assert re.findall(r'pytest .*-m ("[^"]*"|\S+)', recipe("integration")) == ["integration"]


def test_unit_tests_build_no_server() -> None:
    """Neither does what they depend on."""
    depends = re.search(r"^unit: ([^#]*)", MAKEFILE, re.MULTILINE)
    assert depends
    assert depends[1].split() == ["environment"]
    assert not re.search(r"^environment: *\w", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("folder", ["agent", "app", "backup", "collections", "tests", "molecule"])
def test_every_long_form_is_run_by_chaos(folder: str) -> None:
    """A trial that reads how long it shall be is named there, or its scenario is."""
    runs = recipe("chaos")
    for path in tracked(".py", ".yml"):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(f"{folder}/") and LONG.search(path.read_text(encoding="utf-8")):
            if folder == "molecule":
                assert f"molecule {path.relative_to(ROOT).parts[1]}" in runs, name
            elif path.name.startswith("test_") and name != "tests/policy/test_make.py":
                assert name in runs, name
