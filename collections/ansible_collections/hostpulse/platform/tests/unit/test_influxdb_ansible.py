"""The influxdb_* modules under Ansible itself: by name, by group, and silent about secrets."""

from __future__ import annotations

import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

pytestmark = pytest.mark.integration

MODULES = sorted(
    path.stem for path in Path(__file__).parents[2].glob("plugins/modules/influxdb_*.py")
)
PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/hostpulse.platform.influxdb:
      url: "{{ url }}"
      token_file: "{{ token_file }}"
  tasks:
    - hostpulse.platform.influxdb_setup: {org: "{{ org }}", bucket: first}
    - hostpulse.platform.influxdb_bucket: {org: "{{ org }}", name: raw, retention: 604800}
    - hostpulse.platform.influxdb_authorization: {org: "{{ org }}", name: query, read: [raw]}
      register: made
    - ansible.builtin.copy:
        content: "{{ made.token }}"
        dest: "{{ token_file }}.new"
        mode: "0600"
      no_log: true
    - hostpulse.platform.influxdb_authorization:
        {org: "{{ org }}", name: loop, read: [raw], rotate: true}
      loop: [1, 2]
    - hostpulse.platform.influxdb_user:
        name: "{{ org }}"
        org: "{{ org }}"
        password_file: "{{ password_file }}"
"""


def test_a_play_shows_no_secret_however_loud(
    influxd: Influxd, estate: Any, ansible: Any, tmp_path: Path
) -> None:
    """With -vvv and --diff: neither operator token, new tokens nor password; defaults by group."""
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "password").write_text("correct-horse-battery")
    variables = {
        "url": influxd.url,
        "token_file": str(estate.token_file),
        "password_file": str(tmp_path / "password"),
        "org": estate.org,
        "ansible_python_interpreter": sys.executable,
    }
    play = str(tmp_path / "play.yml")
    shown = ansible("ansible-playbook", "-vvv", "--diff", play, "-e", json.dumps(variables))
    token = (tmp_path / "operator.token.new").read_text()
    assert len(token) == 88
    for secret in (token, influxd.operator_token, "correct-horse-battery"):
        assert secret not in shown
    # Whatever a token is: the server's have no other form than 86 such characters and ==.
    assert "==" not in shown
    assert shown.count("the output has been hidden") >= 3
    assert '+    "retention_seconds": 604800' in shown
    assert estate.run("user", name=estate.org, state="absent")["changed"]


@pytest.fixture(scope="module")
def documents(ansible: Any) -> dict[str, Any]:
    """Give what ansible-doc knows of the modules, by name."""
    names = [f"hostpulse.platform.{module}" for module in MODULES]
    shown = ansible("ansible-doc", "--json", *names)
    found: dict[str, Any] = json.loads(shown[shown.index("{") :])
    return found


@pytest.mark.parametrize("module", MODULES)
def test_the_documentation_says_what_the_module_takes(
    module: str, documents: dict[str, Any], utilities: dict[str, Any]
) -> None:
    """Options, defaults and choices of ansible-doc are those of the argument spec."""
    document = documents[f"hostpulse.platform.{module}"]
    spec = argument_spec(Path(__file__).parents[2] / "plugins/modules" / f"{module}.py")
    assert set(document["doc"]["options"]) == set(spec)
    for option, given in spec.items():
        said = document["doc"]["options"][option]
        for key in ("type", "required", "default", "choices", "elements", "aliases"):
            assert (said.get(key) or None) == (given.get(key) or None), (option, key)
    assert document["examples"]
    assert document["return"]


def argument_spec(source: Path) -> dict[str, Any]:
    """Return what the module hands to AnsibleModule."""
    taken: dict[str, Any] = {}

    class Taken(Exception):  # noqa: N818 - no error
        pass

    def take(argument_spec: dict[str, Any], **_: Any) -> None:
        taken.update(argument_spec)
        raise Taken

    module = ModuleType(source.stem)
    SourceFileLoader(source.stem, str(source)).exec_module(module)
    vars(module)["AnsibleModule"] = take
    with pytest.raises(Taken):
        module.main()
    return taken
