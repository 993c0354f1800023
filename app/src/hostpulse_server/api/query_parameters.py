"""The parameters of ``GET /api/v1/metrics``: text to values, every fault named at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast, get_args

from hostpulse_server.store.base import Aggregate
from hostpulse_server.values import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPEATABLE = {"server_id", "field"}
SINGLE = {"measurement", "start", "end", "step", "aggregate"}
PREFIXES = ("label.", "tag.")
_AGGREGATES = get_args(Aggregate)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# A query takes one part, not "1h30m", and no number of a length that means nothing.
_ONE_PART = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?[a-z]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME_MS = 253_402_300_799_999  # 9999-12-31, the last day of RFC 3339
_TIME_FORMS = 'write epoch milliseconds, RFC 3339 with an offset ("+" as %2B), "-1h" or "now"'
_AHEAD_FORMS = 'write epoch milliseconds, RFC 3339 with an offset, or a duration from now as "4h"'


@dataclass(frozen=True)
class Parameters:
    """What was asked for; times in epoch ms, ``step_ms`` is ``None`` when it is ours to choose."""

    measurement: str
    start_ms: int
    end_ms: int
    step_ms: int | None
    aggregate: Aggregate
    server_ids: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class ParametersError(ValueError):
    """``faults``: parameter name → list of messages."""

    def __init__(self, faults: Mapping[str, list[str]]) -> None:
        super().__init__(", ".join(faults))
        self.faults = faults


def parse(given: Mapping[str, list[str]], now_ms: int) -> Parameters:
    """Read the parameters (name → values as given); raise ParametersError listing every fault."""
    faults: dict[str, list[str]] = {}

    def read(name: str, default: str, reader: Callable[[str], object]) -> object:
        try:
            return reader(given.get(name, [default])[0])
        except ValueError as error:
            faults.setdefault(name, []).append(str(error))
            return None

    for name, values in given.items():
        problem = _fault_of_name(name, values)
        if problem:
            faults[name] = [problem]
    measurement = read("measurement", "", _measurement)
    start_ms = read("start", "-1h", lambda text: time_ms(text, now_ms))
    end_ms = read("end", "now", lambda text: time_ms(text, now_ms))
    step_ms = read("step", "", _step)
    aggregate = read("aggregate", "mean", _aggregate)
    if not faults and cast("int", start_ms) >= cast("int", end_ms):
        faults["start"] = ["must be before end"]
    if faults:
        raise ParametersError(faults)
    return Parameters(
        measurement=cast("str", measurement),
        start_ms=cast("int", start_ms),
        end_ms=cast("int", end_ms),
        step_ms=cast("int | None", step_ms),
        aggregate=cast("Aggregate", aggregate),
        server_ids=tuple(given.get("server_id", ())),
        fields=tuple(given.get("field", ())),
        labels=_with_prefix(given, "label."),
        tags=_with_prefix(given, "tag."),
    )


def time_ms(text: str, now_ms: int, forms: str = _TIME_FORMS) -> int:
    """Return a time given as epoch ms, RFC 3339, ``now`` or relative to now; raise ValueError.

    Relative is ``-1h`` or, ahead, ``+1h``. ``forms`` says what to write instead of what is none.
    """
    if text == "now":
        return now_ms
    if text.isascii() and text.isdecimal():
        value = int(text[:20])
    elif text.startswith("-"):
        value = now_ms - duration_ms(text[1:], forms)
    elif text.startswith("+"):
        value = now_ms + duration_ms(text[1:], forms)
    else:
        try:
            moment = datetime.fromisoformat(text.upper())  # "t" and "z" are RFC 3339
        except ValueError:
            raise ValueError(f"{text!r:.60} is not a time; {forms}") from None
        if moment.tzinfo is None:
            raise ValueError(f"{text!r:.60} has no offset from UTC; end it with Z")
        value = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= value <= MAX_TIME_MS:
        raise ValueError(f"{text!r:.60} is not between 1970 and 9999")
    return value


def ahead_ms(text: str, now_ms: int) -> int:
    """Return a time as ``time_ms`` does; ``4h`` is ``+4h``. Raise ValueError."""
    ahead = text if _duration_ms(text) is None else f"+{text}"
    return time_ms(ahead, now_ms, _AHEAD_FORMS)


def duration_ms(text: str, forms: str = 'write a duration such as "30s", "5m" or "1h"') -> int:
    """Return a duration such as ``90s`` in ms; raise ValueError."""
    found = _duration_ms(text)
    if found is None:
        raise ValueError(f"{text!r:.60} is not a duration; {forms}")
    return found


def _duration_ms(text: str) -> int | None:
    found = duration.parse_ms(text) if _ONE_PART.fullmatch(text) else None
    return None if found is None else round(found)


def _fault_of_name(name: str, values: list[str]) -> str:
    if name in SINGLE:
        return "is given more than once" if len(values) > 1 else ""
    if name in REPEATABLE:
        return ""
    if name == "tag.server_id":
        return "is no tag of the agent's; ask with server_id"
    for prefix in PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return "is given more than once" if len(values) > 1 else ""
    return "is not a parameter of this query"


def _with_prefix(given: Mapping[str, list[str]], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): values[0]
        for name, values in given.items()
        if name.startswith(prefix)
    }


def _measurement(text: str) -> str:
    if not text:
        raise ValueError("is required, such as measurement=cpu")
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r:.60} is not a measurement's name")
    return text


def _aggregate(text: str) -> str:
    if text not in _AGGREGATES:
        raise ValueError(f"must be one of {', '.join(_AGGREGATES)}")
    return text


def _step(text: str) -> int | None:
    if not text:
        return None
    value = int(text[:20]) if text.isascii() and text.isdecimal() else duration_ms(text)
    if not 1 <= value <= MAX_TIME_MS:
        raise ValueError("must be at least 1 ms")
    return value
