"""What of a request's address may stand in a log: what we know, and nothing that others made up.

People paste keys, links and passwords into addresses. So a path is shown as far as it is one of
ours, a parameter if it is one of ours, and a value if it is too short to be a secret that hostpulse
makes, and has the characters of an id, a time or a glob.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from werkzeug.routing import Rule

UNSHOWN: Final = "…"
# as in the OpenAPI document, by a test; those with a point are families
PARAMETERS: Final = frozenset(
    {
        *("aggregate", "cursor", "end", "expired", "field", "label.", "limit", "measurement"),
        *("rule", "server_id", "severity", "start", "state", "status", "step", "tag."),
    }
)
MAX_QUERY: Final = 2_000
_MAX_PARAMETERS: Final = 30
_KNOWN: Final = re.compile(r"[A-Za-z0-9._:+*?-]{1,40}")
_VARIABLE: Final = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
_SECRET: Final = frozenset({"token"})


def path_of(path: str, rule: Rule | None, values: dict[str, object], rules: Iterable[Rule]) -> str:
    """Return a path as far as it is known: of its rule, or up to where one fits."""
    if rule is not None:
        return _VARIABLE.sub(lambda found: _value(found[1], values.get(found[1])), rule.rule)
    return known_part(path, (one.rule for one in rules))


def known_part(path: str, rules: Iterable[str]) -> str:
    """Return the longest beginning of a path, in whole parts, that is the beginning of a rule's."""
    parts = path.split("/", 8)[1:8]
    best = 0
    for rule in rules:
        known = rule.split("/")[1:]
        count = 0
        while count < min(len(parts), len(known)) and parts[count] == known[count]:
            count += 1
        best = max(best, count)
    shown = "".join(f"/{part}" for part in parts[:best])
    return shown if best == len(parts) and shown else f"{shown}/{UNSHOWN}"


def query_of(query: str) -> str:
    """Return the known parameters of a query, with values that can be no secret."""
    if len(query) > MAX_QUERY:
        return UNSHOWN
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return UNSHOWN
    shown = [f"{name}={_shown(value)}" for name, value in pairs if _is_known(name)]
    return "&".join([*shown, UNSHOWN] if len(shown) < len(pairs) else shown)


def _is_known(name: str) -> bool:
    family, point, rest = name.partition(".")
    if point:
        return f"{family}." in PARAMETERS and _KNOWN.fullmatch(rest) is not None
    return name in PARAMETERS


def _value(name: str, value: object) -> str:
    return UNSHOWN if name in _SECRET else _shown(str(value))


def _shown(value: str) -> str:
    return value if not value or _KNOWN.fullmatch(value) else UNSHOWN
