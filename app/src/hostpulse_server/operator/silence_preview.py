"""What a silence reaches as soon as it is made, and what in it may be a slip."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hostpulse_server.errors import RulesError
from hostpulse_server.rules import load
from hostpulse_server.rules.metric_names import TAGS
from hostpulse_server.state.alert_models import AlertRow
from hostpulse_server.state.models import ServerRow
from hostpulse_server.values.matchers import matches, properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

_FIXED = ("rule", "severity", "server_id")
_LABEL = "label."


def reach_json(
    session: Session, matchers: Mapping[str, str], rules_files: Sequence[str]
) -> dict[str, Any]:
    """Return as JSON types how many alerts that fire now match, and ``notes`` on odd names."""
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
    known = {*_FIXED, *(tag for tags in TAGS.values() for tag in tags)}
    known.update(name for values in seen for name in values)
    for labels in session.scalars(sa.select(ServerRow.labels)):
        known.update(_both(labels))
    if not matchers.keys() <= known:  # reading files takes longest, and is seldom needed
        known.update(_of_rules(rules_files))
    return [_note(name, known) for name in matchers if name not in known]


def _both(labels: Iterable[str]) -> Iterable[str]:
    return (one for name in labels for one in (name, _LABEL + name))


def _of_rules(files: Sequence[str]) -> set[str]:
    """Return labels that rules add, and tags of measurements of one's own; none of wrong files."""
    try:
        rules = load(files).rules.values()
    except RulesError:
        return set()
    each = [one for rule in rules for one in (rule, *(other.rule for other in rule.overrides))]
    return {name for rule in each for name in (*_both(rule.labels), *rule.where)}


def _note(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), 1)
    advice = f"did you mean {near[0]}?" if near else "as it is, that matches nothing"
    what = "a label of a registered server"
    if not name.startswith(_LABEL):
        what = f"{', '.join(_FIXED)}, a tag or {what}"
    return f"{name} is not {what}; {advice}"
