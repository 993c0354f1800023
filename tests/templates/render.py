"""Renders a role's template as Ansible's template module does, without a host."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from tests.policy.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# What Ansible knows of a host without being told, as a play on three hosts has it.
HOST: dict[str, Any] = {
    "ansible_managed": "Written by Ansible",
    "ansible_check_mode": False,
    "ansible_host": "192.0.2.10",
    "inventory_hostname": "Web-01",
    "groups": {
        "all": ["Monitor", "Web-01", "db-01"],
        "hostpulse_server": ["Monitor"],
        "hostpulse_agents": ["Web-01", "db-01"],
    },
    "hostvars": {"Monitor": {}, "Web-01": {}, "db-01": {}},
    "ansible_facts": {
        "distribution": "Debian",
        "distribution_major_version": "12",
        "systemd": {"version": "252"},
        "all_ipv4_addresses": ["192.0.2.10"],
        "hostname": "web-01",
        "fqdn": "web-01.example.org",
        "python_version": "3.11.2",
    },
    # What hostpulse_release hands to the template of a release it builds.
    "__hostpulse_release_path": "/opt/hostpulse/service/releases/0.1.0+01234567",
}


@cache
def loader() -> DataLoader:
    """Return Ansible's loader, with its plug-ins found once."""
    init_plugin_loader([str(ROOT / "collections")])
    found = DataLoader()
    found.set_basedir(str(ROOT))
    return found


def role_variables(role: str) -> dict[str, Any]:
    """Return a role's defaults and internal variables as templates that Ansible trusts."""
    found: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        path = ROOT / "roles" / role / part / "main.yml"
        if path.exists():
            found |= loader().load_from_file(str(path), trusted_as_template=True) or {}
    return found


def render(role: str, name: str, **given: Any) -> str:
    """Return the text that a role's template gives with its defaults and the values given."""
    template: Path = ROOT / "roles" / role / "templates" / name
    variables = {**HOST, **role_variables(role), **given}
    templar = Templar(loader(), variables).copy_with_new_env(
        searchpath=[str(template.parent)], available_variables=variables
    )
    text = trust_as_template(template.read_text(encoding="utf-8"))
    return str(templar.template(text, overrides={"trim_blocks": True}))


def evaluate(role: str, name: str, **given: Any) -> Any:
    """Return what a role's variable is with its defaults and the values given."""
    variables = {**HOST, **role_variables(role), **given}
    return Templar(loader(), variables).template(variables[name])
