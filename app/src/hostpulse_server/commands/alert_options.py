"""What the commands about alerts share: who runs them, times they are given, tables that fit."""

from __future__ import annotations

import os
import pwd
import re
import textwrap
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from hostpulse_server.commands.options import load_config, open_registry
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import tzinfo

    from sqlalchemy import Engine

_NOW = "hostpulse_server.now"
_WIDTH = 80


def now(ctx: click.Context | None) -> int:
    """Return the time of a command, the same for all it reads and writes; epoch ms."""
    if ctx is None:  # pragma: no cover - click passes one
        return SYSTEM.now_ms()
    time_ms: int = ctx.meta.setdefault(_NOW, SYSTEM.now_ms())
    return time_ms


class MomentOption(click.ParamType[int]):
    """A time as the API takes it, in epoch ms."""

    name = "time"

    def __init__(self, *, is_ahead: bool = False) -> None:
        self._is_ahead = is_ahead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read ``-1h``, ``4h`` where it is ahead, epoch ms, RFC 3339."""
        from hostpulse_server.api.query_parameters import (  # noqa: PLC0415 - keeps ``--help`` fast
            ahead_ms,
            time_ms,
        )

        try:
            return (ahead_ms if self._is_ahead else time_ms)(str(value), now(ctx))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@contextmanager
def open_state(ctx: click.Context) -> Iterator[tuple[Engine, tzinfo]]:
    """Yield the state database and the zone in which people want times."""
    from hostpulse_server import formatting  # noqa: PLC0415 - keeps ``--help`` fast

    config = load_config(ctx)
    with open_registry(config, create=False) as registry:
        yield registry.engine, formatting.zone(config.site.timezone)


def who() -> str:
    """Return how alerts and silences name who runs this command."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name
        name = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    if behind not in ("", name) and behind.isprintable():
        name = f"{behind} as {name}"
    return f"command line ({name})"


def plain(text: str) -> str:
    """Return a text on one line, without what a terminal would obey."""
    spaced = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in spaced)


def print_lines(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and texts within 80 columns, those that are empty left out."""
    width = max(len(name) for name, _ in pairs)
    for name, text in pairs:
        if text:
            print_wrapped(f"{name:<{width}}", text)


def print_wrapped(name: str, text: str) -> None:
    """Print a name and a text beside it, on as many lines of 80 columns as it takes."""
    indent = " " * (len(name) + 2)
    lines = textwrap.wrap(
        plain(text),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    click.echo(f"{name}  " + "\n".join(lines).lstrip())


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--server``, ``--rule``, ``--severity`` and ``--label``."""
    for option in (
        click.option("--label", "labels", metavar="N=V", multiple=True, help="Only with it."),
        click.option("--severity", type=click.Choice(SEVERITIES), default=None, help="Only these."),
        click.option("--rule", metavar="NAME", default="", help="Only of this rule."),
        click.option(
            "--server", "server_id", metavar="ID", default="", help="Only of this server."
        ),
    ):
        function = option(function)
    return function


def filters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``filter_options`` took, as ``AlertFilter`` has it."""
    labels = dict[str, str]()
    for pair in given["labels"]:
        name, sign, value = pair.partition("=")
        name = name.removeprefix("label.")
        if not sign or name in labels or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
            raise click.BadParameter(f"{pair!r}: write each NAME=VALUE once", param_hint="--label")
        labels[name] = value
    return {**given, "severity": given["severity"] or "", "labels": labels}


def comment_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--comment``."""
    return click.option("--comment", default="", help="Why; shown to the others.")(function)
