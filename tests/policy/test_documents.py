"""What the documents tell a reader to run or open exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.policy.repository import ROOT, tracked

from hostpulse_server.cli import COMMANDS

DOCUMENTS = [path for path in tracked(".md") if "roles" not in path.parts]
NEEDED = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/install.md"),
    *("docs/operations.md", "docs/troubleshooting.md", "docs/api.md", "docs/metrics.md"),
)
EACH = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)")
CODE = re.compile(r"```.*?```|`[^`\n]+`|^ {4}.*?$", re.DOTALL | re.MULTILINE)


def code(path: Path) -> str:
    """Return what a document shows as code."""
    return "\n".join(CODE.findall(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", NEEDED)
def test_the_document_is_there(name: str) -> None:
    """Each question of an operator or contributor has its page."""
    assert (ROOT / name).is_file(), f"{name} is missing"


@EACH
def test_links_lead_somewhere(path: Path) -> None:
    """A relative link names a file of the repository."""
    broken = [
        target for target in LINK.findall(path.read_text()) if not (path.parent / target).exists()
    ]
    assert not broken


@EACH
def test_make_targets_exist(path: Path) -> None:
    """``make X`` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = re.findall(r"^[` ]*make ((?:[a-z][a-z0-9-]* ?)+)", code(path), re.MULTILINE)
    assert {target for line in lines for target in line.split()} <= targets


@EACH
def test_playbooks_and_scripts_exist(path: Path) -> None:
    """A playbook, script or inventory that a document names is in the repository."""
    told = re.findall(r"\b((?:playbooks|scripts|inventories|molecule)/[\w./-]+)", code(path))
    missing = [name for name in told if not (ROOT / name.rstrip("/.")).exists()]
    assert not missing


@EACH
def test_server_commands_exist(path: Path) -> None:
    """``hostpulse-server X`` in a document is a command of the program."""
    told = set(
        re.findall(r"hostpulse-server (?:--?[\w-]+(?:[ =]\S*/\S+)? )*([a-z]+)\b", code(path))
    )
    assert told <= set(COMMANDS)


def test_no_file_names_a_developers_machine() -> None:
    """A path of somebody's home or checkout works nowhere else."""
    personal = re.compile(re.escape(str(ROOT)) + r"\b|/home/(?!linuxbrew)[a-z]\w*/|/Users/\w+/")
    here = Path(__file__)
    for path in tracked():
        if path != here and path.name != "uv.lock":
            found = personal.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_the_test_command_is_one() -> None:
    """Continuous integration, .ci/run and the README run the same."""
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert re.search(r"run: (?:>-\n +)?sudo [^|&;]*\.ci/run\n", workflow)
    assert "make test" in (ROOT / "README.md").read_text()
