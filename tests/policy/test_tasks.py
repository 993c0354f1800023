"""Every task of every role and playbook keeps the habits that keep an estate safe."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.policy.repository import (
    ROOT,
    Task,
    load,
    names,
    play_tasks,
    playbooks,
    role_tasks,
    task_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

TASKS = [*role_tasks(), *play_tasks()]
SECRET = re.compile(
    r"(?:password|token|webhook_url|private_key|certificate_key|_secret|agent\.key|ca\.key)\b"
)
EXPRESSION = re.compile(r"{{.*?}}", re.DOTALL)
MODE = re.compile(r"[0-7]{4}|preserve|[ugoa]+[=+-][rwxXst,=ugoa+-]*")
# What prints or moves the contents of what it names; a path handed to `file` shows nothing.
CARRIES = ("copy", "template", "slurp", "command", "shell", "uri", "lineinfile", "blockinfile")
WRITES = ("copy", "template", "lineinfile", "blockinfile")
# What nobody searches a log for; CONTRIBUTING, "Name a task", says what to write instead.
DIALECT = frozenset(
    """
    ask begin bring decide describe do end enter expect give go hand have hold keep knock lay learn
    leave lend let look lose make move name prove pull put refuse reserve say see shut take tell try
    """.split()  # noqa: SIM905 -- forty quoted words would hide the list
)
INJECTED = re.compile(
    r"\bansible_(distribution|os_family|hostname|fqdn|nodename|architecture|default_ipv4|all_ipv4|"
    r"python_version|kernel|processor|memtotal|memory_mb|mounts|date_time|service_mgr|system)\w*"
)


def short(task: Task) -> str:
    """Return the module's name without its collection."""
    return task.module.rpartition(".")[2]


def offenders(tasks: Iterable[Task]) -> list[str]:
    """Return where the tasks are, for a message that names them all."""
    return [str(task) for task in tasks]


def internal(task: Task) -> list[str]:
    """Return the variables that a task makes: registered, set or looped over."""
    names = [task.body["register"]] if "register" in task.body else []
    names += (
        [task.body["loop_control"]["loop_var"]]
        if "loop_var" in task.body.get("loop_control", {})
        else []
    )
    if short(task) == "set_fact":
        names += [name for name in task.arguments if name != "cacheable"]
    return [str(name) for name in names]


def test_there_are_tasks_to_hold_to_the_rules() -> None:
    """A moved folder must not make every rule below pass by finding nothing."""
    assert len(role_tasks()) > 40
    assert len(play_tasks()) > 0
    assert len(playbooks()) > 30
    assert sum(1 for path in [*task_files(), *playbooks()] for _ in names(path)) > 400


def test_modules_have_their_full_names() -> None:
    """A module of another collection with the same short name is never taken."""
    assert not offenders(task for task in TASKS if task.module and task.module.count(".") < 2)


def test_collections_in_use_are_required() -> None:
    """requirements.yml names every collection that a task needs and that is not ours."""
    named = {item["name"] for item in load(ROOT / "requirements.yml")["collections"]}
    used = {task.module.rpartition(".")[0] for task in TASKS if task.module}
    assert used - named <= {"ansible.builtin", "hostpulse.platform"}


def test_no_error_is_ignored() -> None:
    """An error is handled (failed_when, rescue) or it fails."""
    assert not offenders(task for task in TASKS if "ignore_errors" in task.body)
    silent = [task for task in TASKS if task.body.get("failed_when") is False]
    assert not offenders(task for task in silent if "register" not in task.body)


def test_nothing_is_installed_at_whatever_version_is_newest() -> None:
    """Two runs of one release install the same."""
    assert not offenders(task for task in TASKS if task.arguments.get("state") == "latest")
    for path in task_files():
        assert "|| true" not in path.read_text(), path


def test_tasks_are_named_and_say_which_file_they_are_in() -> None:
    """The output of a run leads to the file; what varies comes last."""
    for task in TASKS:
        name = str(task.body.get("name", ""))
        assert name, f"{task} has no name"
        assert not re.search(r"}}.*[a-z]{3}", name), f"{task}: put the template at the end"
        if task.path.parent.name == "tasks" and task.path.stem != "main":
            start = name.rpartition(" | ")[0]
            assert start == task.path.stem, f"{task}: begin with '{task.path.stem} | '"


def test_names_begin_with_a_verb_that_people_search_for() -> None:
    """Install, Configure, Create, Remove, Verify, Report: the words of Ansible's documentation."""
    for path in [*task_files(), *playbooks()]:
        place = str(path.relative_to(ROOT))
        for name in names(path):
            verb = name.rpartition(" | ")[2].split(" ")[0].strip(",.:").lower()
            assert verb not in DIALECT, f"{place}: {name}"


def test_only_a_role_file_prefixes_its_names() -> None:
    """The prefix is the stem of a task file: one that was moved does not keep its old one."""
    for path in [*task_files(), *playbooks()]:
        own = path.parent.name == "tasks" and path.stem != "main"
        prefixes = {name.rpartition(" | ")[0] for name in names(path)}
        assert prefixes <= {path.stem if own else ""}, path.relative_to(ROOT)


def test_variables_of_a_role_are_its_own() -> None:
    """What a role registers, sets or loops over cannot change another role's work."""
    for task in TASKS:
        for name in internal(task):
            assert name.startswith(f"__{task.role}_"), f"{task}: {name}"


def test_modes_are_quoted_octal() -> None:
    """A mode that YAML read as a number would be another mode."""
    for task in TASKS:
        for key in ("mode", "directory_mode"):
            mode = task.arguments.get(key, "0600")
            assert isinstance(mode, str), f"{task}: quote {key}"
            assert MODE.fullmatch(mode) or "{{" in mode, f"{task}: {key} {mode}"


def test_written_files_state_their_mode() -> None:
    """The umask of whoever runs the play decides nothing."""
    assert not offenders(
        task
        for task in TASKS
        if short(task) in {"copy", "template"} and "mode" not in task.arguments
    )


def test_tasks_that_carry_a_secret_log_nothing() -> None:
    """A password, token or private key is in no output and in no diff."""
    for task in TASKS:
        if short(task) not in CARRIES:
            continue
        text = json.dumps(task.body[task.module])
        if short(task) == "command":  # a key's path in a command tells nothing, its value would
            text = " ".join(EXPRESSION.findall(text))
        if SECRET.search(text):
            assert task.body.get("no_log") is True, f"{task}: no_log: true"
            if short(task) in WRITES:
                assert task.body.get("diff") is False, f"{task}: diff: false"


def test_commands_are_argument_lists_and_say_when_they_change() -> None:
    """No shell guesses at quoting, and a second run reports 0 changed."""
    assert not offenders(task for task in TASKS if short(task) in {"shell", "raw"})
    for task in TASKS:
        if short(task) == "command":
            assert "argv" in task.arguments, f"{task}: argv"
            assert "changed_when" in task.body or "creates" in task.arguments, task


def test_decisions_rest_on_facts_by_their_name() -> None:
    """Facts come from ansible_facts, so that inject_facts_as_vars may be off."""
    for path in [*task_files(), *ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/**/*.j2")]:
        assert not INJECTED.search(path.read_text()), path


def test_handlers_are_notified_within_their_role() -> None:
    """No role needs another one's handlers to be loaded."""
    for task in role_tasks():
        notify = task.body.get("notify", [])
        names = [notify] if isinstance(notify, str) else notify
        handlers = [
            str(name)
            for item in role_tasks()
            if item.role == task.role and item.path.parent.name == "handlers"
            for name in (item.body.get("name"), item.body.get("listen"))
        ]
        assert set(names) <= set(handlers), task
