"""``hostpulse-server db``: the state database's schema."""

from __future__ import annotations

import click

from hostpulse_server.commands.options import config_option, json_option, load_config, print_json


@click.group()
@config_option
def db() -> None:
    """Look after the state database (servers, keys, alerts)."""


@db.command()
@config_option
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the state database to this release's schema; makes it if there is none.

    Safe to run again and safe to interrupt: it is one transaction.
    """
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast

    engine = state.open_engine(load_config(ctx).state.url)
    try:
        before, now = state.upgrade(engine)
    finally:
        engine.dispose()
    if before == now:
        click.echo(f"schema {now}: nothing to do")
    else:
        click.echo(f"schema {now} (was {before or 'none'})")


@db.command()
@config_option
@json_option
@click.pass_context
def current(ctx: click.Context, *, as_json: bool) -> None:
    """Print the schema that the database has and the one this release needs.

    A newer schema that allows this release is all it needs.
    """
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast

    engine = state.open_engine(load_config(ctx).state.url)
    try:
        found, needed = state.current_revision(engine), state.needed_revision(engine)
    finally:
        engine.dispose()
    if as_json:
        print_json({"current": found, "needed": needed})
    else:
        click.echo(f"current {found or 'none'}, needed {needed}")
