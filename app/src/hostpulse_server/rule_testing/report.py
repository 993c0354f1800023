"""The report of a backtest, for people and for programs."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.formatting import figure, moment, rule_duration
from hostpulse_server.rule_testing.comparison import BacktestComparison, compare, difference
from hostpulse_server.values.alert import NO_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from hostpulse_server.rule_testing.backtest import Episode

HEAD: Final = ("SERVER", "TAGS", "SEVERITY", "FROM", "LASTED", "WORST")
_FACTS: Final = 4  # columns of HEAD that say no names
_MOST_NAMED: Final = 5

WIDTH: Final = 80  # columns of a terminal

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A sentence, and the rows (as ``HEAD``) that belong below it.

    Rows that begin with something else than ``HEAD`` have one more name for it.
    """

    sentence: str
    rows: Sequence[Row] = ()

    def lines(self) -> list[str]:
        """Return it as text: a table, or two lines a row where that is wider than a terminal."""
        lines = wrapped(self.sentence)
        if not self.rows:
            return lines
        head = HEAD if len(self.rows[0]) == len(HEAD) else ("RULE", *HEAD)
        table = _table((head, *self.rows))
        if max(map(len, table)) > WIDTH:
            names = len(head) - _FACTS
            facts = _table([row[names:] for row in (head, *self.rows)])
            table = [
                line
                for row, fact in zip((head, *self.rows), facts, strict=True)
                for line in ("  ".join(row[:names]), f"    {fact}")
            ]
        return [*lines, *table, ""]


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

    def sections(self, zone: tzinfo = UTC) -> Iterator[Section]:
        """Yield what people read, with times in their zone.

        Of the second side, which is there to be compared, only what differs has rows; these begin
        with the rule's name.
        """
        start, end = (moment(time_ms, zone) for time_ms in (self.start_ms, self.end_ms))
        for number, side in enumerate(self.sides):
            fired = side.fired()
            yield Section(f"{side.name}, {start} to {end}:")
            for name, spells in fired.items():
                rows = [] if number else [_row(one, zone) for one in spells]
                yield Section(f"{name}: would have fired {_times(spells)}", rows)
            quiet = [name for name in side.rules if name not in fired]
            if quiet:
                yield Section(f"would not have fired: {', '.join(quiet)}")
        comparison = self._compared()
        if comparison is None:
            return
        for side, only in zip(self.sides, comparison.only, strict=True):
            rows = [(spell.identity.rule, *_row(spell, zone)) for spell in only]
            yield Section(f"only with {side.name}: {len(only)}", rows)
        yield Section(f"with both, but otherwise: {len(comparison.changed)}")
        for before, after in comparison.changed:
            rule, (server, tags, *_) = before[0].identity.rule, _row(before[0], zone)
            place = server if tags == "-" else f"{server}, {tags}"
            yield Section(f"{rule} on {place}: {difference(before, after, self.end_ms)}")
            moments = [
                (name, *_row(spell, zone)[-_FACTS:])
                for name, spells in (("first", before), ("second", after))
                for spell in spells
            ]
            yield from (Section(f"    {line}") for line in _table(moments))
        yield Section(f"alike with both: {comparison.same}")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types; ``sides`` in the order of the command line."""
        comparison = self._compared()
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
        document: dict[str, Any] = {
            "start": self.start_ms,
            "end": self.end_ms,
            "servers": self.servers,
            "sides": sides,
        }
        if comparison is not None:
            for side, only in zip(sides, comparison.only, strict=True):
                side["only_here"] = [_spell_json(spell) for spell in only]
            document["same"] = comparison.same
            document["changed"] = [
                {
                    "difference": difference(before, after, self.end_ms),
                    "first": [_spell_json(spell) for spell in before],
                    "second": [_spell_json(spell) for spell in after],
                }
                for before, after in comparison.changed
            ]
        return document

    def _compared(self) -> BacktestComparison | None:
        if len(self.sides) == 1:
            return None
        first, second = self.sides
        return compare(first.spells, second.spells)


def wrapped(text: str) -> list[str]:
    """Return a text in lines that fit a terminal; what follows the first is indented."""
    return textwrap.wrap(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _times(spells: Sequence[Episode]) -> str:
    servers = Counter(spell.identity.server_id for spell in spells)
    named = [f"{_host(name)} ({count})" for name, count in servers.most_common(_MOST_NAMED)]
    if len(servers) > _MOST_NAMED:
        named.append(f"and {len(servers) - _MOST_NAMED} more")
    times = "once" if len(spells) == 1 else f"{len(spells)} times"
    places = "1 server" if len(servers) == 1 else f"{len(servers)} servers"
    return f"{times} on {places}: {', '.join(named)}"


def _table(rows: Sequence[Row]) -> list[str]:
    """Return rows as left-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _host(server_id: str) -> str:
    return server_id if server_id != NO_SERVER else "(hostpulse)"


def _row(spell: Episode, zone: tzinfo) -> Row:
    identity = spell.identity
    return (
        _host(identity.server_id),
        ", ".join(f"{name}={value}" for name, value in identity.tags) or "-",
        spell.severity,
        moment(spell.from_ms, zone),
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
