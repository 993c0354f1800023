"""``hostpulse-server api``, ``ship`` and ``alert``: the services, in the foreground."""

from __future__ import annotations

import click

from hostpulse_server.commands.options import config_option, load_config
from hostpulse_server.runtime import logs


@click.command()
@config_option
@click.pass_context
def api(ctx: click.Context) -> None:
    """Take samples in and answer queries (service)."""
    from hostpulse_server.api.server import serve  # noqa: PLC0415  # ``ship`` needs no gunicorn
    from hostpulse_server.state import open_engine, require_current  # noqa: PLC0415  # as above

    config = load_config(ctx)
    logs.setup()
    engine = open_engine(config.state.url)
    try:
        require_current(engine)
    finally:
        engine.dispose()  # connections do not survive the fork that follows
    serve(config)


@click.command()
@config_option
@click.pass_context
def ship(ctx: click.Context) -> None:
    """Move samples from the journal to the store (service)."""
    from hostpulse_server.services.shipper import run  # noqa: PLC0415  # ``api`` needs no shipper

    config = load_config(ctx)
    logs.setup()
    run(config)


@click.command()
@config_option
@click.pass_context
def alert(ctx: click.Context) -> None:
    """Apply the rules to samples and tell people (service)."""
    from hostpulse_server.services.alert_engine import run  # noqa: PLC0415  # the others need no rules

    config = load_config(ctx)
    logs.setup()
    run(config)
