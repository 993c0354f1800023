"""``hostpulse-server quarantine``: lists, retries and drops points that the store refused."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from hostpulse_server import formatting
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
)
from hostpulse_server.commands.tables import print_fitting
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostpulse_server.shipper.quarantine import Quarantine, QuarantineRow

DEFAULT_LIMIT = 100


@click.group()
@config_option
def quarantine() -> None:
    """Look after points that the store refused and entries that could not be read.

    Beside a running shipper; each point is there with the reason.
    """


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``ID…`` and ``--all``, of which exactly one has to be given."""
    function = click.argument("ids", metavar="[ID]...", nargs=-1, type=int)(function)
    return click.option("--all", "everything", is_flag=True, help="All of them.")(function)


@quarantine.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=DEFAULT_LIMIT, show_default=True)
@config_option
@json_option
@click.pass_context
def list_(ctx: click.Context, *, limit: int, as_json: bool) -> None:
    """List what is there, newest first."""
    rows = _open(ctx).rows(limit)
    if as_json:
        # ASCII: what was refused may hold what no terminal's encoding can say
        click.echo(json.dumps([_document(row) for row in rows], indent=2))
        return
    zone = formatting.zone(load_config(ctx).site.timezone)
    table = [
        (
            str(row.id),
            formatting.moment(row.at_ms, zone),
            row.server_id or "-",
            row.measurement or f"({row.kind})",
            row.reason,
            _one_line(row.detail),
        )
        for row in rows
    ]
    print_fitting(("ID", "WHEN", "SERVER", "MEASUREMENT", "REASON", "DETAIL"), table)


@quarantine.command()
@_choice
@config_option
@click.pass_context
def retry(ctx: click.Context, *, ids: tuple[int, ...], everything: bool) -> None:
    """Send points again, once what was in their way is out of it.

    They go through the journal; one that is refused again comes back under a new id.
    """
    from hostpulse_server.journal import open_journal  # noqa: PLC0415 - keeps ``--help`` fast

    config = load_config(ctx)
    chosen = _chosen(ids, everything=everything)
    here = _open(ctx)
    rows = here.rows(ids=chosen)
    if rows:
        with closing(open_journal(config, SYSTEM)) as journal:
            here.retry(rows, journal, SYSTEM)
    click.echo(f"{len(rows)} handed to the shipper again")


@quarantine.command()
@_choice
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@click.pass_context
def drop(ctx: click.Context, *, ids: tuple[int, ...], everything: bool, yes: bool) -> None:
    """Delete points for good."""
    chosen = _chosen(ids, everything=everything)
    here = _open(ctx)
    rows = here.rows(ids=chosen)
    if rows and not yes:
        click.confirm(f"Delete {len(rows)} for good?", abort=True)
    click.echo(f"{here.drop(row.id for row in rows)} dropped")


def _open(ctx: click.Context) -> Quarantine:
    from hostpulse_server.shipper.quarantine import Quarantine  # noqa: PLC0415 - as above

    return Quarantine(load_config(ctx).paths.shipper)


def _chosen(ids: tuple[int, ...], *, everything: bool) -> Sequence[int] | None:
    """Return the ids, ``None`` for all; a usage error unless exactly one of both is given."""
    if bool(ids) == everything:
        raise click.UsageError("name the ids, or give --all")
    return None if everything else ids


def _document(row: QuarantineRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "at_ms": row.at_ms,
        "received_ms": row.received_ms,
        "kind": row.kind,
        "server_id": row.server_id,
        "measurement": row.measurement,
        "reason": row.reason,
        "detail": row.detail,
        "point": row.point,
    }


def _one_line(text: str) -> str:
    """Return a refusal as one line of a table: an engine's answer may hold the line it refused."""
    plain = " ".join(text.split())
    return "".join(one if one.isprintable() else "?" for one in plain)
