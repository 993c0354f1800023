"""The summary of an alert: a rule's ``summary``, filled in."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, meta

from hostpulse_server.formatting import figure, names_for, plural, single_line
from hostpulse_server.rules.metric_names import TAGS
from hostpulse_server.sandbox import Sandbox, TemplateLimitError, TemplateLimits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.alert import Severity

VARIABLES: Final = (
    *("value", "threshold", "severity", "server_id", "server_name", "rule", "measurement"),
    *("field", "tags", "labels", "names"),
)


class Figure(float):
    """A number for people: one decimal, or as many as tell it from the threshold beside it."""

    __slots__ = ("_apart_from",)
    _apart_from: float | None

    def __new__(cls, value: float, apart_from: float | None = None) -> Self:
        """Make one."""
        made = super().__new__(cls, value)
        made._apart_from = apart_from
        return made

    def __str__(self) -> str:
        """Return it for people."""
        return figure(self, self._apart_from)

    def __format__(self, spec: str) -> str:
        """Return it as a template asks for it."""
        return format(float(self), spec) if spec else str(self)


def _counted(value: float, one: str, many: str = "") -> str:
    """Return ``1 process`` or ``2 processes``; without ``many`` it is ``one`` and an s."""
    shown = value if isinstance(value, Figure) else Figure(value)
    return f"{shown} {one if str(shown) == '1' else many or f'{one}s'}"


def _finalize(value: Any) -> Any:
    # what a summary computed: 0.1 + 0.2 is 0.3
    if isinstance(value, float) and not isinstance(value, Figure):
        return f"{value:.10g}"
    return "" if value is None else value


# a line of 300 characters; the engine waits for it
_LIMITS: Final = TemplateLimits(seconds=0.5, steps=1_000, size=4_096)
_ENVIRONMENT: Final = Sandbox(_LIMITS, finalize=_finalize, undefined=Undefined)
_STRICT: Final = Sandbox(_LIMITS, undefined=StrictUndefined)
for _one in (_ENVIRONMENT, _STRICT):
    _one.filters.update(counted=_counted, plural=plural)


@lru_cache(maxsize=1024)
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


def fault_of_summary(rule: Rule) -> str:
    """Return what is wrong with a rule's summary and what to write, ``""`` if it can be used."""
    try:
        _STRICT.compile(rule.summary)
        unknown = meta.find_undeclared_variables(_STRICT.parse(rule.summary))
    except (TemplateError, RecursionError, ValueError, SyntaxError, OverflowError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        return f"is no template: {said}; a variable is written {{{{ value }}}}"
    known = (*VARIABLES, *rule.where, *TAGS.get(rule.measurement, ()))
    for name in sorted(unknown - {*known, *_STRICT.globals}):
        near = difflib.get_close_matches(name, known, 1)
        if near:
            return f"names the unknown variable {name}; did you mean {near[0]}?"
        return f"names the unknown variable {name}; known are {', '.join(known)}, a tag as tags.TAG"
    return _fault_of_filling(rule, known)


def _fault_of_filling(rule: Rule, known: Sequence[str]) -> str:
    """Return whether a summary costs too much; what else goes wrong depends on its values."""
    example = {name: Figure(1.0) if name in {"value", "threshold"} else name for name in known}
    try:
        _ENVIRONMENT.fill(_template(rule.summary), {**example, "tags": example, "labels": example})
    except TemplateLimitError as error:
        return f"cannot be filled in: {error}"
    except Exception:  # noqa: BLE001 - examples are no values
        return ""
    return ""


def render_summary(  # noqa: PLR0913 - all that a sentence may name
    rule: Rule,
    *,
    value: float | None,
    threshold: float | None,
    severity: Severity,
    server_id: str,
    server_name: str = "",
    tags: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
) -> str:
    """Return the summary as one line of at most 300 characters; never raises.

    ``tags`` are the series' own and ``labels`` the server's, over which the rule's are laid;
    ``names`` are what ``value`` counts, and left out where they are not as many. A summary that
    cannot be filled in, or is empty, gives way to a plain sentence.
    """
    shown = None if value is None else Figure(value, threshold)
    limit = None if threshold is None else Figure(threshold)
    variables: dict[str, Any] = {
        **(tags or {}),
        "value": shown,
        "threshold": limit,
        "severity": severity,
        "server_id": server_id,
        "server_name": server_name or server_id,
        "rule": rule.name,
        "measurement": rule.measurement,
        "field": rule.field,
        "tags": dict(tags or {}),
        "labels": {**(labels or {}), **rule.labels},
        "names": names_for(names, value),
    }
    try:
        text = single_line(_ENVIRONMENT.fill(_template(rule.summary), variables))
    except Exception:  # noqa: BLE001 - an alert is sent whatever its summary is like
        text = ""
    return text or single_line(_plain(rule, shown, limit, server_id, tags or {}))


def _plain(
    rule: Rule,
    value: float | None,
    threshold: float | None,
    server_id: str,
    tags: Mapping[str, str],
) -> str:
    where = "".join(f", {name} {tag}" for name, tag in sorted(tags.items()))
    place = f" on {server_id}{where}" if server_id else where
    if value is None:
        return f"{rule.name}{place}"
    limit = "" if threshold is None else f" (threshold {threshold})"
    return f"{rule.name}{place}: {rule.measurement} {rule.field} is {value}{limit}"
