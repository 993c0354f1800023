"""Globs of rules and routes as Flux predicates and as regular expressions of Go."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

IS_GLOB = re.compile(r"[*?\[]")
LABEL = "label."

Labels = "Mapping[str, Mapping[str, str]]"


def text(value: str) -> str:
    """Return a text as a literal of Flux, where a dollar before a brace is an expression."""
    return json.dumps(value, ensure_ascii=False).replace("${", "\\${")


def expression(glob: str) -> str:
    """Return a glob as a regular expression of Go, for the whole text."""
    found = []
    rest = glob
    while rest:
        end = rest.find("]", 2) if rest[0] == "[" else -1
        if end > 0:
            inner = rest[1:end].replace("\\", "\\\\")
            found.append(f"[{'^' + inner[1:] if inner[0] == '!' else inner}]")
            rest = rest[end + 1 :]
            continue
        found.append({"*": ".*", "?": "."}.get(rest[0]) or re.escape(rest[0]))
        rest = rest[1:]
    return f"^{''.join(found)}$"


def predicate(match: Mapping[str, Any], labels: Mapping[str, Mapping[str, str]]) -> str:
    """Return what all of ``match`` is as a predicate of Flux over ``r``; see ``one``."""
    return " and ".join(one(name, str(glob), labels) for name, glob in match.items()) or "true"


def one(name: str, glob: str, labels: Mapping[str, Mapping[str, str]]) -> str:
    """Return one glob as a predicate; ``label.NAME`` means the servers that have such a label.

    ``labels`` has those of each server by its id: the store knows none of them.
    """
    if name.startswith(LABEL):
        servers = ", ".join(map(text, having(name.removeprefix(LABEL), glob, labels)))
        return f'contains(value: r["server_id"], set: [{servers}])' if servers else "false"
    column = f"r[{text(name)}]"
    if not IS_GLOB.search(glob):
        return f"(exists {column} and {column} == {text(glob)})"
    pattern = expression(glob).replace("/", "\\/")
    return f"(exists {column} and {column} =~ /{pattern}/)"


def having(name: str, glob: str, labels: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the servers that have a label that a glob fits."""
    return sorted(
        server for server, own in labels.items() if name in own and fnmatchcase(own[name], glob)
    )
