"""Render settings of an inventory as values of Grafana's ini file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: grafana_ini
short_description: Render settings of an inventory as values of Grafana's ini file
description:
  - Returns the text of each value, and the problems - values that Grafana cannot parse and secrets
    that every user of the host could read.
  - A list becomes its members separated by commas, or JSON if a member contains a comma or a
    blank; Grafana parses both. Values that are null are omitted.
positional: _input
options:
  _input:
    description: Values by section and key.
    type: dict
    required: true
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Show a list as Grafana reads it
  ansible.builtin.debug:
    msg: "{{ (given | hostpulse.platform.grafana_ini).sections }}"
  vars:
    given: {auth.generic_oauth: {scopes: [openid, email]}}
"""

RETURN = r"""
_value:
  description: C(sections) has the text of each value, C(faults) is a list of sentences.
  type: dict
"""

QUOTE = '"""'
NAME = re.compile(r"[\w.-]+")
# In a bare value these begin a comment, a quotation or another line.
SPECIAL = re.compile(r"[#;`\\\n]|^[\"'\s]|\s$")
SPLITS = re.compile(r'[\s,"\[\]]')  # where Grafana would part a member of a list
SECRET = re.compile(r"(password|secret|token|secret_key|license_text)$", re.IGNORECASE)
ELSEWHERE = ("$__file{", "$__env{", "$__vault{")
SWITCHES = ("true", "false")  # use_refresh_token is no secret
VARIABLE = "hostpulse_grafana_settings"
SHAPE = "Write it as {log: {level: info}}."


def grafana_ini(given: Any) -> dict[str, Any]:
    """Return ``sections`` and ``faults``; see DOCUMENTATION."""
    sections: dict[str, dict[str, str]] = {}
    faults: list[str] = []
    if not isinstance(given, Mapping):
        return {"sections": {}, "faults": [f"{VARIABLE} has no sections. {SHAPE}"]}
    for section, values in given.items():
        if not isinstance(values, Mapping) or not NAME.fullmatch(str(section)):
            faults.append(f"{VARIABLE} has [{section}], which is no section with keys. {SHAPE}")
            continue
        sections[str(section)] = {}
        for key, value in values.items():
            if value is None:
                continue
            fault = _fault(str(key), value)
            if fault:
                faults.append(f"{VARIABLE} has in [{section}] {key}, {fault}")
            else:
                sections[str(section)][str(key)] = _quoted(_text(value))
    return {"sections": sections, "faults": faults}


def _fault(key: str, value: Any) -> str:
    """Return what is wrong with a value, without the value: it may be a secret."""
    if not NAME.fullmatch(key):
        return f"which is no key. {SHAPE}"
    members = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(one, (Mapping, list, tuple)) or one is None for one in members):
        return (
            "whose value is neither text, number, true or false nor a list of those. Make it one."
        )
    text = _text(value)
    if QUOTE in text or "\r" in text:
        return (
            f"whose value has {QUOTE} or a carriage return; an ini file holds none. Leave it out."
        )
    if (
        SECRET.search(key)
        and not isinstance(value, bool)
        and text
        and not text.startswith(ELSEWHERE)
        and text.lower() not in SWITCHES
    ):
        return (
            "which is a secret, and everybody on the host can read grafana.ini. Put it into"
            " hostpulse_grafana_secrets as NAME, and write here"
            " $__file{/run/credentials/hostpulse-grafana.service/NAME}."
        )
    return ""


def _text(value: Any) -> str:
    """Return a value as Grafana understands it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        members = [_text(one) for one in value]
        parted = any(SPLITS.search(one) or not one for one in members)
        return json.dumps(members, ensure_ascii=False) if parted else ",".join(members)
    # YAML's | and > end a text with a line break that nobody means.
    return str(value).strip("\n")


def _quoted(text: str) -> str:
    return f"{QUOTE}{text}{QUOTE}" if SPECIAL.search(text) else text


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"grafana_ini": grafana_ini}
