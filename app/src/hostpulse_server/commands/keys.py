"""``hostpulse-server keys``: creates, rotates and revokes API keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hostpulse_server import formatting
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    open_registry,
    print_json,
    secret_sink,
)
from hostpulse_server.commands.tables import print_fitting
from hostpulse_server.registry.identity import ROLES

if TYPE_CHECKING:
    from datetime import tzinfo

    from hostpulse_server.registry import Role

key_file_option = click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the key into this file (mode 0600) instead of printing it.",
)


@click.group()
@config_option
def keys() -> None:
    """Make, rotate, list and revoke keys.

    A key's text is shown once, when it is made; only its SHA-256 is stored. Changes are in force
    in running services within 5 seconds.
    """


@keys.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the key may do.")
@click.option("--server", "server_id", metavar="ID", help="The server an agent key writes.")
@key_file_option
@config_option
@click.pass_context
def create(ctx: click.Context, *, role: Role, server_id: str | None, key_file: Path | None) -> None:
    """Make a key and print it once.

    agent writes the samples of its own --server; reader reads; operator also acknowledges and
    silences alerts; admin does everything but write samples.
    """
    with open_registry(load_config(ctx)) as registry, secret_sink(key_file) as deliver:
        key = registry.create_key(role, server_id)
        deliver(key.text)
    whose = f" of server {server_id}" if server_id else ""
    click.echo(f"made {role} key {key.id}{whose}", err=True)


@keys.command()
@click.argument("name", metavar="ID")
@key_file_option
@config_option
@click.pass_context
def rotate(ctx: click.Context, *, name: str, key_file: Path | None) -> None:
    """Make a second live key for server ID, or another of the role of key ID.

    The old key goes on working until `keys revoke`, so that nothing is lost on the way over.
    """
    with open_registry(load_config(ctx)) as registry, secret_sink(key_file) as deliver:
        key = registry.rotate(name)
        deliver(key.text)
    click.echo(f"made key {key.id} for {name}; the old one lives until you revoke it", err=True)


@keys.command("list")
@click.option("--all", "show_revoked", is_flag=True, help="Show revoked keys, too.")
@config_option
@json_option
@click.pass_context
def list_keys(ctx: click.Context, *, show_revoked: bool, as_json: bool) -> None:
    """List keys: id, role, server and when each was made; never the key itself."""
    config = load_config(ctx)
    zone = formatting.zone(config.site.timezone)
    with open_registry(config) as registry:
        found = registry.list_keys(revoked=show_revoked)
    if as_json:
        print_json([key.as_json() for key in found])
        return
    rows = [
        (
            key.id,
            key.role,
            key.server_id or "-",
            _day(key.created_ms, zone),
            _day(key.revoked_ms, zone),
        )
        for key in found
    ]
    print_fitting(("KEY", "ROLE", "SERVER", "MADE", "REVOKED"), rows)


def _day(time_ms: int | None, zone: tzinfo) -> str:
    return "-" if time_ms is None else formatting.moment(time_ms, zone)


@keys.command()
@click.argument("key_id", metavar="KEYID")
@config_option
@click.pass_context
def revoke(ctx: click.Context, *, key_id: str) -> None:
    """Make a key worthless, for ever."""
    with open_registry(load_config(ctx)) as registry:
        registry.revoke(key_id)
    click.echo(f"revoked key {key_id}")
