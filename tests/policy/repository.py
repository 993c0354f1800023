"""The bundle's Ansible content as data: roles, task files, plays and the tasks within them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROLES = (
    *("hostpulse_agent", "hostpulse_backup", "hostpulse_grafana", "hostpulse_influxdb"),
    *("hostpulse_proxy", "hostpulse_release", "hostpulse_server"),
)
PLAYBOOKS = (
    *("backup", "build", "export_dashboards", "preflight", "remove", "restore", "rollback"),
    *("rotate_keys", "site", "upgrade", "verify"),
)

# Keys of a task that are not its module (Ansible's reference: Playbook Keywords).
KEYWORDS = frozenset(
    """
    name when register loop loop_control with_items changed_when failed_when notify become
    become_user become_method check_mode no_log diff vars tags delegate_to delegate_facts run_once
    until retries delay environment args block rescue always listen any_errors_fatal async poll
    ignore_errors ignore_unreachable throttle timeout connection module_defaults
    """.split(),  # noqa: SIM905 -- sixty quoted words would hide the list
)


class Loader(yaml.SafeLoader):
    """YAML with Ansible's own tags read as plain strings."""


Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_scalar(node))


@dataclass(frozen=True)
class Task:
    """One task and where it stands."""

    path: Path
    role: str
    body: dict[str, Any]

    @property
    def module(self) -> str:
        """Return the key that names the module, or an empty text for a block."""
        return next((key for key in self.body if key not in KEYWORDS), "")

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the module's arguments; empty when they are free text."""
        arguments = self.body.get(self.module)
        return arguments if isinstance(arguments, dict) else {}

    def __str__(self) -> str:
        """Say where the task is, for a failing test's message."""
        return f"{self.path.relative_to(ROOT)}: {self.body.get('name', self.module)}"


@cache
def load(path: Path) -> Any:
    """Read one YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 -- derives from SafeLoader


def tracked(*suffixes: str) -> list[Path]:
    """Return the files that are in git or about to be, by suffix."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def flatten(path: Path, role: str, tasks: list[dict[str, Any]]) -> Iterator[Task]:
    """Yield tasks and what their blocks hold."""
    for body in tasks:
        yield Task(path, role, body)
        for part in ("block", "rescue", "always"):
            yield from flatten(path, role, body.get(part, []))


def task_files() -> list[Path]:
    """Return the task and handler files of every role."""
    return sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")])


def role_tasks() -> list[Task]:
    """Return every task and handler of every role."""
    return [
        task
        for path in task_files()
        for task in flatten(path, path.relative_to(ROOT).parts[1], load(path) or [])
    ]


def plays() -> list[tuple[Path, dict[str, Any]]]:
    """Return every play of every playbook with its file."""
    return [
        (path, play)
        for path in sorted(ROOT.glob("playbooks/**/*.yml"))
        for play in load(path)
        if "hosts" in play
    ]


def play_tasks() -> list[Task]:
    """Return the tasks that stand in playbooks themselves."""
    return [
        task
        for path, play in plays()
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers")
        for task in flatten(path, "hostpulse_" + path.stem, play.get(part, []))
    ]


def playbooks() -> list[Path]:
    """Return every file of plays: the operators' and molecule's."""
    folders = ("playbooks", "molecule", ".config/molecule")
    paths = [path for folder in folders for path in (ROOT / folder).glob("**/*.yml")]
    return [path for path in sorted(paths) if isinstance(load(path), list)]


def names(path: Path) -> Iterator[str]:
    """Yield the name of every task and play of a file, and of what their blocks hold."""
    for body in load(path) or []:
        parts = [body.get(part) or [] for part in ("pre_tasks", "tasks", "post_tasks", "handlers")]
        inner = [task for part in parts for task in part]
        yield from (str(task.body.get("name", "")) for task in flatten(path, "", [body, *inner]))
