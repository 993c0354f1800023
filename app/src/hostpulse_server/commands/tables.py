"""Tables of commands: whole in a pipe, and on a terminal as wide as that is."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final

import click

from hostpulse_server.commands.alert_options import plain
from hostpulse_server.commands.options import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LEAST_LAST: Final = 20  # how narrow the last column may get before lines are broken
_LEAST: Final = 6
_GAP: Final = 2
_INDENT: Final = 4
# what people copy, and times: never cut
_WHOLE: Final = frozenset(
    {"ID", "KEY", "SINCE", "FIRED", "START", "END", "WHEN", "MADE", "REVOKED"}
)


def print_fitting(head: Sequence[str], rows: Sequence[Sequence[str]], details: int = 0) -> None:
    """Print a table; on a terminal it is made to fit, see ``fit``."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print_table(head, cells)
        return
    for line in fit(head, cells, shutil.get_terminal_size().columns, details):
        click.echo(line)


def fit(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int, details: int = 0
) -> Iterator[str]:
    """Yield the lines of a table of at most ``width`` characters.

    The last column is cut first. Where too little is left of it, the last ``details`` columns
    stand on a line of their own below each row, and the widest of the others are cut; ids and times
    are not, however narrow the terminal is.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    room = width - sum(widths[:-1]) - _GAP * (len(head) - 1)
    if widths[-1] <= room or room >= _LEAST_LAST:
        widths[-1] = min(widths[-1], room)
        details = 0
    shown = len(head) - details
    widths = _narrowed(head[:shown], widths[:shown], width)
    yield _line(head[:shown], widths)
    for row in rows:
        yield _line(row[:shown], widths)
        below = "; ".join(
            cell if number == len(head) - 1 else f"{head[number].lower()} {cell}"
            for number, cell in enumerate(row)
            if number >= shown and cell not in ("", "-")
        )
        if below:
            yield " " * _INDENT + _cut(below, width - _INDENT)


def _narrowed(head: Sequence[str], widths: Sequence[int], width: int) -> list[int]:
    """Return widths of columns that fit together, taken from the widest that may be cut."""
    found = list(widths)
    loose = [number for number, name in enumerate(head) if name not in _WHOLE]
    while loose and sum(found) + _GAP * (len(found) - 1) > width:
        widest = max(loose, key=found.__getitem__)
        if found[widest] <= _LEAST:
            break
        found[widest] -= 1
    return found


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = (_cut(cell, size).ljust(size) for cell, size in zip(cells, widths, strict=True))
    return (" " * _GAP).join(fitted).rstrip()


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"
