"""Loads rules and their tests from files or texts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import reduce
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import RulesError
from hostpulse_server.rules.merge import merge
from hostpulse_server.rules.model import Rule, RuleSet
from hostpulse_server.rules.schema.cases import Case, read_case
from hostpulse_server.rules.schema.file import FaultList, RulesFile, read_file
from hostpulse_server.rules.schema.rule import read_rule
from hostpulse_server.rules.yaml_nodes import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.rules.yaml_nodes import Node


@dataclass(frozen=True, slots=True)
class RuleBundle:
    """The content of some files together: rules, and tests in their order."""

    files: tuple[str, ...]
    rules: RuleSet
    cases: tuple[Case, ...]


def load(patterns: Sequence[str]) -> RuleSet:
    """Read the files that ``patterns`` (paths or globs) name, in order; raise RulesError.

    Files of one glob come in the order of their names; a rule in a later file is laid over the one
    of the same name key by key. A glob may name no file, a path must name one.
    """
    return load_bundle(patterns).rules


def load_texts(texts: Mapping[str, str | bytes]) -> RuleSet:
    """Read rules from texts by file name, as ``load`` reads files; raise RulesError."""
    return read_bundle(texts).rules


def load_bundle(patterns: Sequence[str]) -> RuleBundle:
    """Read rules and tests from files, as ``load`` does; raise RulesError."""
    return read_bundle(*texts_of(patterns))


def texts_of(patterns: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the texts of files by name, and what is wrong with those that cannot be read."""
    texts: dict[str, bytes] = {}
    faults = []
    for name in files_of(patterns):
        try:
            with Path(name).open("rb") as file:
                texts[name] = file.read(MAX_BYTES + 1)
        except OSError as error:
            faults.append(f"{name}: cannot be read: {error.strerror}")
    return texts, faults


def files_of(patterns: Sequence[str]) -> list[str]:
    """Return the files in the order in which they are laid over each other, each once."""
    found: dict[str, None] = {}
    for pattern in patterns:
        names = sorted(glob(pattern)) if has_magic(pattern) else [pattern]  # noqa: PTH207 - texts
        found.update(dict.fromkeys(names))
    return list(found)


def read_bundle(texts: Mapping[str, str | bytes], faults: Sequence[str] = ()) -> RuleBundle:
    """Read rules and tests from texts by file name; raise RulesError with all that is wrong."""
    noted = FaultList(faults)
    files = [read_file(name, text, noted) for name, text in texts.items()]
    rules = _rules(files, noted)
    cases = []
    for number, file in enumerate(files, 1):
        known = {**rules, **_rules(files[:number])} if file.tests else {}
        read = (read_case(table, known) for table in file.tests)
        cases += [case for case in read if case is not None]
    if noted:
        raise RulesError(noted.lines())
    nodes = {name: _merged(files, name) for name in rules}
    return RuleBundle(tuple(texts), RuleSet(rules, _digest(nodes.values())), tuple(cases))


def _rules(files: Sequence[RulesFile], faults: FaultList | None = None) -> dict[str, Rule]:
    """Return the rules as these files make them; without ``faults`` only those without any."""
    found = {}
    for name in dict.fromkeys(name for file in files for name in file.rules):
        places = [file.rules[name].at for file in files if name in file.rules]
        noted = FaultList() if faults is None else faults
        rule = read_rule(_merged(files, name), noted.of_rule(name, places))
        if faults is not None or not noted:
            found[name] = rule
    return found


def _merged(files: Sequence[RulesFile], name: str) -> Node:
    return reduce(merge, (file.rules[name] for file in files if name in file.rules))


def _digest(nodes: Iterable[Node]) -> str:
    text = json.dumps([_plain(node) for node in nodes], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(node: Node) -> Any:
    if isinstance(node.value, list):
        return [_plain(one) for one in node.value]
    if node.table is not None:
        return {key: _plain(one) for key, one in sorted(node.table.items())}
    return node.value
