"""The report of a backtest, for people and for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.formatting import figure, rule_duration
from hostpulse_server.rule_testing.backtest import only_in
from hostpulse_server.values.alert import NO_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hostpulse_server.rule_testing.backtest import Episode

HEAD: Final = ("SERVER", "TAGS", "SEVERITY", "FROM", "LASTED", "WORST")
_MOST_NAMED: Final = 5

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one set of files would have reported."""

    files: tuple[str, ...]
    rules: tuple[str, ...]
    spells: tuple[Episode, ...]

    @property
    def name(self) -> str:
        """The files in one word."""
        return " + ".join(self.files)

    def fired(self) -> dict[str, list[Episode]]:
        """Return the episodes of each rule that has any, in the rules' order and by time."""
        found: dict[str, list[Episode]] = {name: [] for name in self.rules}
        for spell in sorted(self.spells, key=lambda spell: (spell.from_ms, spell.identity)):
            found[spell.identity.rule].append(spell)
        return {name: spells for name, spells in found.items() if spells}


@dataclass(frozen=True, slots=True)
class Report:
    """One backtest, or two of the same samples; times are epoch ms."""

    start_ms: int
    end_ms: int
    servers: int
    sides: tuple[Side, ...]

    def sections(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield sentences, each with the rows (as ``HEAD``) that belong below it.

        Of the second side, which is there to be compared, only what differs has rows; these begin
        with the rule's name.
        """
        for number, side in enumerate(self.sides):
            fired = side.fired()
            yield f"{side.name}, {when(self.start_ms)} to {when(self.end_ms)}:", []
            for name, spells in fired.items():
                rows = [] if number else [_row(one) for one in spells]
                yield f"{name}: would have fired {_times(spells)}", rows
            quiet = [name for name in side.rules if name not in fired]
            if quiet:
                yield f"would not have fired: {', '.join(quiet)}", []
        for side, spells in self._differences():
            yield (
                f"only with {side.name}: {len(spells)}",
                [(spell.identity.rule, *_row(spell)) for spell in spells],
            )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types; ``sides`` in the order of the command line."""
        only = [[_spell_json(spell) for spell in spells] for _, spells in self._differences()]
        sides: list[dict[str, Any]] = [
            {
                "files": list(side.files),
                "rules": {
                    name: [_spell_json(spell) for spell in side.fired().get(name, [])]
                    for name in side.rules
                },
            }
            for side in self.sides
        ]
        for side, spells in zip(sides, only, strict=False):
            side["only_here"] = spells
        return {
            "start": self.start_ms,
            "end": self.end_ms,
            "servers": self.servers,
            "sides": sides,
        }

    def _differences(self) -> Iterator[tuple[Side, list[Episode]]]:
        if len(self.sides) > 1:
            for side, other in (self.sides, self.sides[::-1]):
                yield side, only_in(side.spells, other.spells)


def when(time_ms: int) -> str:
    """Return a time for people."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _times(spells: Sequence[Episode]) -> str:
    servers = Counter(spell.identity.server_id for spell in spells)
    named = [f"{_host(name)} ({count})" for name, count in servers.most_common(_MOST_NAMED)]
    if len(servers) > _MOST_NAMED:
        named.append(f"and {len(servers) - _MOST_NAMED} more")
    times = "once" if len(spells) == 1 else f"{len(spells)} times"
    places = "1 server" if len(servers) == 1 else f"{len(servers)} servers"
    return f"{times} on {places}: {', '.join(named)}"


def _host(server_id: str) -> str:
    return server_id if server_id != NO_SERVER else "(hostpulse)"


def _row(spell: Episode) -> Row:
    identity = spell.identity
    return (
        _host(identity.server_id),
        ", ".join(f"{name}={value}" for name, value in identity.tags) or "-",
        spell.severity,
        when(spell.from_ms),
        "to the end"
        if spell.until_ms is None
        else rule_duration(spell.until_ms - spell.from_ms, 2),
        "-" if spell.worst is None else figure(spell.worst),
    )


def _spell_json(spell: Episode) -> dict[str, Any]:
    return {
        "rule": spell.identity.rule,
        "server_id": spell.identity.server_id,
        "tags": dict(spell.identity.tags),
        "severity": spell.severity,
        "from": spell.from_ms,
        "until": spell.until_ms,
        "worst": spell.worst,
    }
