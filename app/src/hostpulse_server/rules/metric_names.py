"""The metric names that rules and silences may use, of agents and of the server itself."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from hostpulse_server.rules import metric_names_generated
from hostpulse_server.values.server_metrics import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CUSTOM: Final = "x_"  # how measurements of one's own begin: of those nothing is known here
# reserved for hosts and services that an operator names; no collector writes it yet
_PROBE: Final = "probe"

# measurement → names; ``server_id`` is left out, everything has it
TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    **metric_names_generated.TAGS,
    **{
        name: tuple(tag for tag in one.tags if tag != "server_id")
        for name, one in CATALOGUE.items()
    },
    _PROBE: ("target",),
}
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    **metric_names_generated.FIELDS,
    **{name: tuple(one.fields) for name, one in CATALOGUE.items()},
    _PROBE: ("rtt_ms", "loss_percent"),
}


def suggest(name: str, known: Iterable[str]) -> str:
    """Return which name was probably meant, or all there are where none is near."""
    names = list(known)
    # a name that was cut short is near, however much of it is missing
    longer = [one for one in names if one.startswith(name)]
    near = longer or difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
