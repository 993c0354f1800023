"""The named Flux templates of ``queries/`` and their parameters.

Only names of ours are pasted into a template: an aggregate's, a filter's, a tag's that matches
``NAME``. Everything else is a parameter, which the engine gets as a typed literal.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostpulse_server.values.points import Tags

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# InfluxDB's times are 64 bit nanoseconds since 1970
LAST_MS = (2**63 - 1) // 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def template(name: str) -> Template:
    """Return ``queries/NAME.flux``."""
    path = resources.files(__package__) / "queries" / f"{name}.flux"
    return Template(path.read_text(encoding="utf-8"))


def windows(
    aggregate: str, *, servers: bool, fields: bool, tags: Tags, numbers: bool = False
) -> str:
    """Return the query ``windows.flux`` with the filters that are wanted; tags must be names."""
    filters = [template("filter_servers").template] if servers else []
    if fields:
        filters.append(template("filter_fields").template)
    filters += [template("filter_tag").substitute(name=name) for name, _ in tags]
    if numbers:
        filters.append(template("filter_numbers").template)
    return template("windows").substitute(aggregate=aggregate, filters="".join(filters).rstrip())


def values(*, measurement: bool) -> str:
    """Return the query ``values.flux``, of one measurement if wanted."""
    filters = template("filter_measurement").template if measurement else ""
    return template("values").substitute(filters=filters.rstrip())


def raw() -> str:
    """Return the query ``raw.flux``."""
    return template("raw").template


def measurements() -> str:
    """Return the query ``measurements.flux``."""
    return template("measurements").template


def span(start_ms: int, end_ms: int) -> dict[str, Any]:
    """Return the parameters start and stop, cut to the times that InfluxDB has."""
    return {"start": _time(start_ms), "stop": _time(end_ms)}


def duration(milliseconds: int) -> timedelta:
    """Return a duration, cut to what InfluxDB has."""
    return timedelta(milliseconds=min(milliseconds, LAST_MS))


def any_of(texts: Iterable[str], endings: Sequence[str] = ()) -> str:
    """Return a regular expression for exactly these texts, each with one of the endings if any.

    Without texts it is one for the endings alone. ``""`` as a text is a missing tag.
    """
    wanted = sorted(set(texts))
    ending = f"_(?:{'|'.join(map(re.escape, endings))})$" if endings else "$"
    return f"^(?:{'|'.join(map(re.escape, wanted))}){ending}" if wanted else ending


def _time(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(time_ms, LAST_MS))
