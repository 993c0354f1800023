"""Progress of a command that takes long: on stderr, so that stdout is the answer alone."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EVERY_SECONDS: Final = 15.0  # where nobody watches: a line, and none of what is quick


def follow(
    steps: Iterable[str],
    length: int,
    label: str,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Take all steps, each of which says what it was about; a bar on a terminal, else lines."""
    if sys.stderr.isatty():
        with click.progressbar(steps, length, label, file=sys.stderr) as bar:
            for _ in bar:
                pass
        return
    said = monotonic()
    for done, step in enumerate(steps, start=1):
        if monotonic() - said >= EVERY_SECONDS:
            said = monotonic()
            click.echo(f"{label}: {100 * done // max(length, 1)} %, at {step}", err=True)
