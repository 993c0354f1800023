"""``hostpulse-server check``: reads the configuration and reports its faults."""

from __future__ import annotations

import click

from hostpulse_server.commands.options import config_option, load_config


@click.command()
@config_option
@click.pass_context
def check(ctx: click.Context) -> None:
    """Read the configuration and name every fault in it; touches nothing else."""
    from hostpulse_server.notifications.channels.factory import look_at  # noqa: PLC0415 - keeps ``--help`` fast

    config = load_config(ctx)
    look_at(config)
    click.echo(f"the configuration of site {config.site.name} is in order")
