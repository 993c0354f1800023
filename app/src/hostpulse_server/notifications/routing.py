"""Which channels an alert goes to: the first route whose globs all match, pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostpulse_server.values.alert import SEVERITIES
from hostpulse_server.values.matchers import matches, properties

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.config import RouteConfig, ServerConfig

# without routes every channel is notified, but not of what is only good to know
UNROUTED: Final = frozenset(SEVERITIES[1:])


@dataclass(frozen=True, slots=True)
class RouteMismatch:
    """A route that did not match, with the globs that did not: name → (glob, value or ``None``)."""

    number: int
    route: RouteConfig
    because: Mapping[str, tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Routing:
    """What became of it: ``number`` of the route that matched, from 1, ``None`` without one."""

    number: int | None
    route: RouteConfig | None
    channels: tuple[str, ...]
    refusals: tuple[RouteMismatch, ...]


def channels_for(
    config: ServerConfig, severity: str, rule: str, server_id: str, labels: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the names of the channels to notify, without repetitions."""
    return route(config, properties(severity, rule, server_id, labels)).channels


def route(config: ServerConfig, values: Mapping[str, str]) -> Routing:
    """Find the route of an alert with these properties.

    Without routes every channel is notified of warnings and above. With routes of which none
    matches, no channel is.
    """
    if not config.routes:
        names = tuple(config.channels) if values["severity"] in UNROUTED else ()
        return Routing(None, None, names, ())
    refusals: list[RouteMismatch] = []
    for number, one in enumerate(config.routes, start=1):
        if matches(one.match, values):
            return Routing(number, one, tuple(dict.fromkeys(one.channels)), tuple(refusals))
        refusals.append(RouteMismatch(number, one, _misfits(one.match, values)))
    return Routing(None, None, (), tuple(refusals))


def _misfits(
    match: Mapping[str, str], values: Mapping[str, str]
) -> dict[str, tuple[str, str | None]]:
    return {
        name: (glob, values.get(name))
        for name, glob in match.items()
        if not matches({name: glob}, values)
    }
