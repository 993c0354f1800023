"""Render the rules files of a server: those that ship, the site's own, thresholds of hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from ansible_collections.hostpulse.platform.plugins.plugin_utils.plain import plain
from ansible_collections.hostpulse.platform.plugins.plugin_utils.thresholds import (
    OURS,
    Document,
    change_of,
    entry_of,
    merge,
)

DOCUMENTATION = r"""
name: rules_files
short_description: Render the rules files of a hostpulse server
description:
  - Returns the files of /etc/hostpulse/rules by name, and the problems of their sources.
  - Thresholds that more than half of the hosts share change the rule; others become overrides of
    their hosts. They are merged over the site's own rules, too.
positional: _input
options:
  _input:
    description:
      - C(pack) is the text of the rules that ship, C(site) a list of the site's own, each with
        C(name) and either C(text) or C(rules) and C(tests).
      - C(hosts) has the thresholds of each host by server id, C(server) those of the server's host,
        which count for what the server measures of itself.
    type: dict
    required: true
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Show the files for a host that warns later
  ansible.builtin.debug:
    msg: "{{ {'pack': text, 'hosts': {'web-01': wanted}} | hostpulse.platform.rules_files }}"
  vars:
    wanted: {cpu_usage: {warning: 90}}
"""

RETURN = r"""
_value:
  description: C(files) maps names to texts, C(faults) is a list of sentences.
  type: dict
"""

# In the order in which they are laid over each other.
PACK = "10-hostpulse.yml"
SITE = "50-{number:02d}-{name}.yml"
THRESHOLDS = "90-thresholds.yml"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
WIDTH = 110
SHOWN_HOSTS = 3


class _Dumper(yaml.SafeDumper):
    """Writes what is there twice twice: people read the files."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the name is PyYAML's
        """Return that nothing is written as an alias."""
        return True


def rules_files(given: Mapping[str, Any]) -> Document:
    """Return ``files`` (text by name) and ``faults``; see DOCUMENTATION."""
    faults: list[str] = []
    files = {PACK: str(given["pack"])}
    site = given.get("site") or []
    if isinstance(site, str) or not isinstance(site, Sequence):
        faults.append("hostpulse_server_rules must be a list of files on the controller, or rules.")
        site = []
    for number, one in enumerate(site, 1):
        if isinstance(one, Mapping) and NAME.fullmatch(str(one.get("name", ""))):
            files[SITE.format(number=number, name=one["name"])] = _text(one)
        else:
            faults.append(
                f"hostpulse_server_rules[{number - 1}] is neither a file on the controller nor "
                "{name: team, rules: […]} with a name of letters, digits, dots, - and _."
            )
    rules = _merged(files, faults)
    changes = _changes(rules, given, faults)
    entries = [one for name in rules if (one := entry_of(rules[name], changes)) is not None]
    if entries:
        files[THRESHOLDS] = _written("hostpulse_thresholds", {"rules": entries})
    return {"files": files, "faults": faults}


def _text(one: Mapping[str, Any]) -> str:
    """Return one of the site's files: as it is, or made of the rules and tests given."""
    if one.get("text") is not None:
        return str(one["text"])
    content = {key: plain(one[key]) for key in ("rules", "tests") if one.get(key)}
    return _written("hostpulse_server_rules", content)


def _written(variable: str, content: Document) -> str:
    """Return rules as a file that says where they come from."""
    dumped: str = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH
    )
    return f"# Written by Ansible: change the inventory ({variable}), not this file.\n{dumped}"


def _merged(files: Mapping[str, str], faults: list[str]) -> dict[str, Document]:
    """Return the rules as the files make them together; the strict check is the server's own."""
    rules: dict[str, Document] = {}
    for name, text in files.items():
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            faults.append(f"{name} of hostpulse_server_rules: {' '.join(str(error).split())}.")
            continue
        listed = found.get("rules") if isinstance(found, dict) else None
        for rule in listed if isinstance(listed, list) else []:
            if isinstance(rule, dict) and isinstance(rule.get("name"), str):
                rules[rule["name"]] = merge(rules.get(rule["name"], {}), rule)
    return rules


def _changes(
    rules: Mapping[str, Document], given: Mapping[str, Any], faults: list[str]
) -> dict[str, dict[str, Document]]:
    """Return what each host changes, by host and rule."""
    changes: dict[str, dict[str, Document]] = {}
    wrong: dict[str, list[str]] = {}
    for host, thresholds in {OURS: given.get("server"), **(given.get("hosts") or {})}.items():
        changes[str(host)], texts = _of_host(rules, plain(thresholds or {}))
        for text in texts:
            wrong.setdefault(text, []).append(str(host))
    for text, hosts in wrong.items():
        named = sorted(host for host in hosts if host != OURS) or ["the server's host"]
        more = " and others" if len(named) > SHOWN_HOSTS else ""
        faults.append(f"hostpulse_thresholds of {', '.join(named[:SHOWN_HOSTS])}{more}: {text}")
    return changes


def _of_host(rules: Mapping[str, Document], wanted: Any) -> tuple[dict[str, Document], list[str]]:
    """Return one host's changes by rule, and what is wrong with the others."""
    if not isinstance(wanted, dict):
        return {}, ["it must say rule by rule what changes, as {cpu_usage: {warning: 90}} does."]
    found, faults = {}, []
    for name, value in wanted.items():
        change = change_of(rules, name, value)
        if isinstance(change, str):
            faults.append(change)
        else:
            found[name] = change
    return found, faults


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"rules_files": rules_files}
