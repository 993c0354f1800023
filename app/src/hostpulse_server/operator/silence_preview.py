"""What a silence reaches as soon as it is made, and what in it may be a slip."""

from __future__ import annotations

import difflib
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hostpulse_server.errors import RulesError
from hostpulse_server.rules import load
from hostpulse_server.rules.metric_names import TAGS
from hostpulse_server.state.alert_models import AlertRow
from hostpulse_server.state.models import ServerRow
from hostpulse_server.values.alert import SEVERITIES
from hostpulse_server.values.matchers import NOT, fits, matches, properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

_FIXED = ("rule", "severity", "server_id")
_LABEL = "label."
_THINGS = {"rule": "rule in force", "server_id": "registered server"}


def reach_json(
    session: Session, matchers: Mapping[str, str], rules_files: Sequence[str]
) -> dict[str, Any]:
    """Return as JSON types how many alerts that fire now match, and ``notes`` on odd matchers."""
    firing = sa.select(
        AlertRow.severity, AlertRow.rule, AlertRow.server_id, AlertRow.labels, AlertRow.tags
    ).where(AlertRow.state == "firing")
    seen = [properties(*row) for row in session.execute(firing)]
    return {
        "firing": sum(matches(matchers, values) for values in seen),
        "notes": _notes(session, matchers, seen, rules_files),
    }


def _notes(
    session: Session,
    matchers: Mapping[str, str],
    seen: Iterable[Mapping[str, str]],
    rules_files: Sequence[str],
) -> list[str]:
    known = _KnownProperties(seen)
    for server_id, labels in session.execute(sa.select(ServerRow.id, ServerRow.labels)):
        known.add({"server_id": server_id, **_both(labels)})
    if any(map(known.fault, *zip(*matchers.items(), strict=True))):
        known.add_rules(rules_files)  # reading files takes longest, and is seldom needed
    return [note for name, glob in matchers.items() if (note := known.fault(name, glob))]


class _KnownProperties:
    """The names that alerts may have now, with their values; of tags any value may come."""

    def __init__(self, seen: Iterable[Mapping[str, str]]) -> None:
        self._tags = {tag for tags in TAGS.values() for tag in tags} - {*_FIXED}
        self._values: dict[str, set[str]] = defaultdict(set)
        self._values["severity"].update(SEVERITIES)
        self._values["server_id"].add("")  # what belongs to no host
        self._has_rules = True
        for values in seen:
            self.add(values)

    def add(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self._values[name].add(value)

    def add_rules(self, files: Sequence[str]) -> None:
        """Add what rules are called and add to alerts; wrong files, or none, say nothing."""
        try:
            rules = load(files).rules
        except RulesError:
            rules = {}
        self._has_rules = bool(rules)
        for name, rule in rules.items():
            self.add({"rule": name})
            for each in (rule, *(other.rule for other in rule.overrides)):
                self.add(_both(each.labels))
                self._tags.update(each.where)

    def fault(self, key: str, glob: str) -> str:
        """Return why a matcher matches nothing that is known; empty if something has it."""
        name = key.removesuffix(NOT)
        if name in self._tags:
            return ""
        values = self._values.get(name, set())
        if not values and name not in _FIXED:
            return self._of_name(name, key)
        if name != key or any(fits(value, glob) for value in values):
            return ""
        if name == "rule" and not self._has_rules:
            return ""
        near = difflib.get_close_matches(glob, sorted(values), 1)
        advice = f"did you mean {near[0]}?" if near else "as it is, that matches nothing"
        return f"{name}={glob} is of no {_THINGS.get(name, 'registered server or rule')}; {advice}"

    def _of_name(self, name: str, key: str) -> str:
        near = difflib.get_close_matches(name, sorted({*_FIXED, *self._tags, *self._values}), 1)
        nothing = "nothing" if name == key else "everything"
        advice = f"did you mean {near[0]}?" if near else f"as it is, that matches {nothing}"
        what = "a label of a registered server"
        if not name.startswith(_LABEL):
            what = f"{', '.join(_FIXED)}, a tag or {what}"
        return f"{name} is not {what}; {advice}"


def _both(labels: Mapping[str, str]) -> dict[str, str]:
    return {**labels, **{f"{_LABEL}{name}": value for name, value in labels.items()}}
