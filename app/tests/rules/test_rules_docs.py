"""docs/rules.md: its examples are right, and its commands say what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostpulse_server.cli import root
from hostpulse_server.rule_testing.runner import run
from hostpulse_server.rules.loading import load_bundle

ROOT = Path(__file__).parents[3]
PACK = ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml"
TEXT = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
FILES = {
    name: text for text, name in re.findall(r"```yaml\n(# (\S+)\n.*?)```", TEXT, flags=re.DOTALL)
}
CONSOLES = re.findall(r"```console\n(.*?)```", TEXT, flags=re.DOTALL)
# shown for what is wrong with them
WRONG = ("lower.yml", "failing.yml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files that the document shows."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_example_is_a_file() -> None:
    """One without a name would not be tried."""
    assert len(FILES) == TEXT.count("```yaml")
    assert set(WRONG) < set(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if name not in WRONG])
def test_an_example_is_right_and_its_tests_pass(name: str, folder: Path) -> None:
    """Laid over the rules that ship, as on a server."""
    bundle = load_bundle([str(PACK), name])
    cases = [case for case in bundle.cases if case.at.file == name]
    assert cases
    for case in cases:
        outcome = run(case)
        assert outcome.is_passed, (str(case.at), list(outcome.side_by_side()))


@pytest.mark.parametrize("console", CONSOLES)
def test_commands_say_what_is_shown(console: str, folder: Path) -> None:
    """Character by character."""
    said = ""
    for line in console.splitlines():
        if line.startswith("$ hostpulse-server "):
            said += f"{line}\n{CliRunner().invoke(root, line.split()[2:]).stdout}"
    assert said == console


def test_every_key_is_explained() -> None:
    """A key that the reader takes is in the document."""
    from hostpulse_server.rules.schema import cases, rule  # noqa: PLC0415 - the lists of keys

    keys = {*rule._EVERY, *rule._THRESHOLD, "overrides", *cases._SERIES, "tags", "also"}
    missing = [key for key in keys if not re.search(rf"`(series\.)?{key}`", TEXT)]
    assert not missing
