"""Thresholds of hosts as changes of rules, and the overrides that apply them."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SEVERITIES = ("info", "warning", "critical")
DIRECTIONS = {"above": "clear_below", "below": "clear_above"}
# What the server measures of itself has no server id that an override could match.
OF_THE_SERVER = frozenset({"pipeline", "backup", "certificate"})
OURS = ""  # stands for the server's host among those with thresholds
IS_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
DIGITS = 6

Document = dict[str, Any]
Number = Union[int, float]


class ThresholdError(ValueError):
    """What is wrong with a threshold, and what to write."""


def change_of(rules: Mapping[str, Document], name: str, value: Any) -> Document | str:
    """Return what a threshold changes of a rule, as rules files write it; a text says its fault."""
    try:
        return _change(rules, name, value)
    except ThresholdError as error:
        return str(error)


def _change(rules: Mapping[str, Document], name: str, value: Any) -> Document:
    if name not in rules:
        near = difflib.get_close_matches(name, rules, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(rules))}."
        raise ThresholdError(f'there is no rule "{name}"; {hint}')
    if not isinstance(value, dict):
        raise ThresholdError(f"{name} must say what changes, such as {{warning: 90}}.")
    levels = value.get("levels") or {}
    if not isinstance(levels, dict):
        raise ThresholdError(
            f"{name}.levels must be a mapping, such as {{warning: {{above: 90}}}}."
        )
    levels = {**levels, **{key: value[key] for key in SEVERITIES if key in value}}
    change = {key: one for key, one in value.items() if key not in (*SEVERITIES, "levels")}
    for severity, level in levels.items():
        change.setdefault("levels", {})[severity] = _level(rules[name], severity, level)
    return change


def _level(rule: Document, severity: str, level: Any) -> Any:
    """Return one level's change; a new threshold takes along the value that clears it."""
    if level is None:
        return None
    if not isinstance(level, dict):
        level = _short(rule, severity, level)
    own = (rule.get("levels") or {}).get(severity) or {}
    for direction, clear in DIRECTIONS.items():
        now = _number(level.get(direction))
        if now is None:
            continue
        level = {**level, direction: now}
        before, clears = _number(own.get(direction)), _number(own.get(clear))
        if clear not in level and before is not None and clears is not None:
            level[clear] = _along(now, before, clears)
    return level


def _short(rule: Document, severity: str, level: Any) -> Document:
    """Return a level for the short form: a number, or how long a silence or an absence may last."""
    where = f"{rule['name']}.{severity}"
    if rule.get("kind") in ("liveness", "absent"):
        what = "a silence may last" if rule["kind"] == "liveness" else "a series may be away"
        if isinstance(level, bool) or not isinstance(level, (int, float, str)):
            raise ThresholdError(f"{where} must be how long {what}, such as 5m.")
        return {"for": f"{level}s" if IS_NUMBER.fullmatch(str(level)) else level}
    number = _number(level)
    if number is None:
        raise ThresholdError(f"{where} must be a number, null for no such level, or a mapping.")
    levels = [one for one in (rule.get("levels") or {}).values() if isinstance(one, dict)]
    return {"below" if any("below" in one for one in levels) else "above": number}


def _along(now: Number, before: Number, clears: Number) -> Number:
    """Return what clears a new threshold, in the proportion that the rule has."""
    value = now * clears / before if before > 0 and now > 0 else now + clears - before
    value = round(value, DIGITS)
    return int(value) if value == int(value) else value


def entry_of(rule: Document, changes: Mapping[str, Mapping[str, Document]]) -> Document | None:
    """Return what the thresholds make of one rule, ``None`` where all is as before.

    ``changes`` are by host and rule. What more than half of the hosts change becomes the rule's.
    """
    name = rule["name"]
    ours = changes.get(OURS, {}).get(name, {})
    hosts = {host: found.get(name, {}) for host, found in changes.items() if host != OURS}
    if rule.get("measurement") in OF_THE_SERVER or not hosts:
        return {"name": name, **ours} if ours else None
    base = _commonest(list(hosts.values()))
    differing = {host: change for host, change in sorted(hosts.items()) if change != base}
    if not base and not differing:
        return None
    entry: Document = {"name": name, **base}
    if differing:
        # A list is replaced as a whole, so what the rule overrides itself has to come along.
        given = base.get("overrides", rule.get("overrides")) or []
        back = _back(rule, base)
        found = (_overrides(host, merge(back, one), given) for host, one in differing.items())
        entry["overrides"] = [*chain.from_iterable(found), *given]
    return entry


def _commonest(values: Sequence[Document]) -> Document:
    """Return the value that more than half have, no change where there is none."""
    texts = [json.dumps(value, sort_keys=True) for value in values]
    ((text, count),) = Counter(texts).most_common(1)
    found: Document = json.loads(text) if 2 * count > len(texts) else {}
    return found


def _overrides(host: str, change: Document, given: Sequence[Any]) -> list[Document]:
    """Return a host's overrides; what the rule overrides itself holds there, too, on top."""
    found = []
    for one in given:
        match = one.get("match") or {} if isinstance(one, dict) else {}
        if match and fnmatchcase(host, str(match.get("server_id", "*"))):
            found.append({"match": {**match, "server_id": host}, **merge(change, _without(one))})
    return [*found, {"match": {"server_id": host}, **change}]


def _without(override: Document) -> Document:
    return {key: value for key, value in override.items() if key != "match"}


def _back(rule: Document, change: Document) -> Document:
    """Return what takes a change back: the rule's own values, null where it has none."""
    return {
        key: _back(rule[key], value)
        if isinstance(value, dict) and isinstance(rule.get(key), dict)
        else rule.get(key)
        for key, value in change.items()
        if key != "overrides"
    }


def merge(base: Document, changes: Document) -> Document:
    """Merge mappings key by key to any depth, as the server merges rules files."""
    joined = dict(base)
    for key, value in changes.items():
        below = joined.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        joined[key] = merge(below, value) if both else value
    return joined


def _number(value: Any) -> Number | None:
    """Return a number, also one that a template made a text of; ``None`` of anything else."""
    if isinstance(value, str) and IS_NUMBER.fullmatch(value):
        value = float(value) if "." in value else int(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
