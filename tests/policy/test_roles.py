"""Every role has the same shape, and says about its variables what it does with them."""

from __future__ import annotations

import pytest
from tests.policy.repository import ROLES, ROOT, load, task_files

EACH_ROLE = pytest.mark.parametrize("role", ROLES)
# Said once an inventory and read by several roles.
SHARED = (
    *("hostpulse_labels", "hostpulse_public_name", "hostpulse_public_port"),
    "hostpulse_thresholds",
)
LONGEST = 90  # about 80 is the habit


def test_the_roles_are_those_of_the_layout() -> None:
    """A role that appears or goes is told to this list, so that no rule below misses it."""
    assert tuple(sorted(path.name for path in (ROOT / "roles").iterdir())) == ROLES


@EACH_ROLE
@pytest.mark.parametrize(
    "part", ["defaults/main.yml", "meta/argument_specs.yml", "meta/main.yml", "tasks/main.yml"]
)
def test_a_role_is_whole(role: str, part: str) -> None:
    """A newcomer finds the same files in each role."""
    assert (ROOT / "roles" / role / part).is_file(), f"roles/{role}/{part} is missing"


@EACH_ROLE
def test_argument_specs_equal_defaults_in_keys_and_values(role: str) -> None:
    """What the documentation of a variable says is its default is its default."""
    defaults = load(ROOT / "roles" / role / "defaults" / "main.yml") or {}
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    documented = {
        name: option
        for entry in specs.values()
        for name, option in (entry.get("options") or {}).items()
    }
    said = {name: option["default"] for name, option in documented.items() if "default" in option}
    assert said == defaults
    for name, option in documented.items():
        assert option.get("description"), f"{name} is not described"
        assert name in defaults or "default" not in option
    entries = [entry.get("options") or {} for entry in specs.values()]
    for name, option in documented.items():
        for options in entries:
            assert options.get(name, option) == option, f"{name} differs between entry points"


@EACH_ROLE
def test_public_variables_carry_the_roles_name(role: str) -> None:
    """Nothing of ours collides with a variable of somebody's estate."""
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    defaults = load(ROOT / "roles" / role / "defaults" / "main.yml") or {}
    names = {name for entry in specs.values() for name in entry.get("options") or {}} | set(
        defaults
    )
    strangers = {name for name in names if not name.startswith(f"{role}_")} - set(SHARED)
    assert not strangers


@EACH_ROLE
def test_secret_options_are_marked_as_such(role: str) -> None:
    """Argument validation never prints a password, token or webhook address."""
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    for entry in specs.values():
        for name, option in (entry.get("options") or {}).items():
            if name.endswith(("_password", "_token", "_secret", "_webhook_url", "_private_key")):
                assert option.get("no_log") is True, name


@EACH_ROLE
def test_templates_and_files_are_used(role: str) -> None:
    """No template is left behind by a task that went."""
    text = "".join(path.read_text() for path in task_files() if role in path.parts)
    text += (ROOT / "roles" / role / "defaults" / "main.yml").read_text()
    vars_file = ROOT / "roles" / role / "vars" / "main.yml"
    text += vars_file.read_text() if vars_file.exists() else ""
    for template in (ROOT / "roles" / role / "templates").glob("**/*.j2"):
        assert template.name in text or template.stem in text, f"{template.name} is never rendered"


@EACH_ROLE
def test_a_task_file_can_be_read_in_one_go(role: str) -> None:
    """A file that outgrows a screen and a half is two files."""
    lengths = {
        path.name: len(path.read_text().splitlines()) for path in task_files() if role in path.parts
    }
    assert {name: count for name, count in lengths.items() if count > LONGEST} == {}
