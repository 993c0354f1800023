"""``hostpulse-server servers``: which servers may report."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, TextIO

import click

from hostpulse_server.commands.keys import key_file_option
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    open_registry,
    print_json,
    secret_sink,
)
from hostpulse_server.commands.tables import print_fitting
from hostpulse_server.errors import InvalidItemError
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_server.registry import ApplyResult


@click.group()
@config_option
def servers() -> None:
    """Add, change, list and remove the servers that may report.

    Changes are in force in running services within 5 seconds.
    """


@servers.command()
@click.argument("file", type=click.File("r", encoding="utf-8"), metavar="-")
@click.option("--purge", is_flag=True, help="Also remove servers, and revoke keys, not listed.")
@click.option("--check", is_flag=True, help="Only say what would change.")
@click.option("--diff", is_flag=True, help="Show settings before and after.")
@config_option
@json_option
@click.pass_context
def apply(
    ctx: click.Context, *, file: TextIO, purge: bool, check: bool, diff: bool, as_json: bool
) -> None:
    """Make the registry as the JSON list on standard input says.

    Each item: {"id", "name", "address", "labels", "allow_from", "keys": [{"id", "sha256"}]}; only
    id is required, and what an item leaves out stays as it is. Nothing is written unless every
    item is right.
    """
    try:
        given = json.load(file)
    except ValueError as error:  # not JSON, or not UTF-8
        raise InvalidItemError({"": [f"standard input is not JSON: {error}"]}) from None
    with open_registry(load_config(ctx), create=not check) as registry:
        result = registry.apply(given, purge=purge, check=check)
    if as_json:
        print_json(result.as_json(diff=diff))
    else:
        _print_result(result, check=check, diff=diff)


_SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def _print_result(result: ApplyResult, *, check: bool, diff: bool) -> None:
    for change in result.changes:
        if change.action == "unchanged":
            continue
        click.echo(f"{_SIGNS[change.action]} {change.server_id}")
        if diff:
            lines = (_lines(change.before), _lines(change.after))
            for line in list(difflib.unified_diff(*lines, lineterm="", n=0))[2:]:
                if not line.startswith("@@"):
                    click.echo(f"    {line}")
    counts = ", ".join(
        f"{action} {len(ids)}" for action, ids in result.as_json().items() if action != "is_changed"
    )
    click.echo(f"would be: {counts}" if check else counts)


def _lines(settings: Any) -> list[str]:
    return [f"{name}: {json.dumps(value)}" for name, value in sorted((settings or {}).items())]


def _pairs(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, separator, text = value.partition("=")
        if not separator:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        pairs[name] = text
    return pairs


@servers.command()
@click.argument("server_id", metavar="ID")
@click.option("--name", help="Shown to people; by default the id.")
@click.option("--address", help="Where people reach the host; information only.")
@click.option("--label", "labels", multiple=True, callback=_pairs, metavar="NAME=VALUE")
@click.option("--allow-from", multiple=True, metavar="CIDR", help="Where its agent may send from.")
@key_file_option
@config_option
@click.pass_context
def add(ctx: click.Context, /, *, server_id: str, key_file: Path | None, **settings: Any) -> None:
    """Add one server and print its new agent key, once."""
    item = {"id": server_id, **{name: value for name, value in settings.items() if value}}
    if "allow_from" in item:
        item["allow_from"] = list(item["allow_from"])
    with open_registry(load_config(ctx)) as registry, secret_sink(key_file) as deliver:
        added = registry.add(item)
        if added.key is not None:
            deliver(added.key.text)
    click.echo(f"added server {server_id}; it shows up after the agent's first sample", err=True)


@servers.command("list")
@config_option
@json_option
@click.pass_context
def list_servers(ctx: click.Context, *, as_json: bool) -> None:
    """List servers with status and when each was last heard of."""
    from hostpulse_server.operator.server_views import server_json  # noqa: PLC0415 - fast ``--help``
    from hostpulse_server.shipper.last_seen import LastSeenReader  # noqa: PLC0415 - as above

    config = load_config(ctx)
    seen = LastSeenReader(config.paths.shipper).get()
    now_ms = SYSTEM.now_ms()
    with open_registry(config) as registry:
        shown = [server_json(server, seen.get(server.id), now_ms) for server in registry.servers()]
    if as_json:
        print_json(shown)
        return
    rows = [
        (
            server["id"],
            server["status"],
            "-" if server["last_seen"] is None else f"{(now_ms - server['last_seen']) // 1000} s",
            "-" if server["completeness"] is None else f"{server['completeness']:.2f} %",
            server["agent_version"] or "-",
            server["address"] or "-",
            " ".join(f"{name}={value}" for name, value in sorted(server["labels"].items())),
        )
        for server in shown
    ]
    print_fitting(("ID", "STATUS", "SEEN AGO", "COMPLETE", "AGENT", "ADDRESS", "LABELS"), rows)


@servers.command("completeness")
@click.argument("server_id", metavar="ID")
@config_option
@json_option
@click.pass_context
def show_completeness(ctx: click.Context, *, server_id: str, as_json: bool) -> None:
    """Show what became of a server's samples: stored, missing, evaluated, and why not."""
    from hostpulse_server.operator.completeness import completeness  # noqa: PLC0415 - fast ``--help``
    from hostpulse_server.shipper.last_seen import LastSeenReader  # noqa: PLC0415 - as above
    from hostpulse_server.state import reading  # noqa: PLC0415 - as above

    config = load_config(ctx)
    with open_registry(config) as registry:
        registry.server(server_id)
        with reading(registry.engine) as session:
            found = completeness(session, LastSeenReader(config.paths.shipper), server_id)
    if as_json:
        print_json(found)
        return
    parts = ("stored", "refused", "dropped", "missing", "evaluated")
    rows = [
        (
            one["stream"],
            str(one["taken"]),
            *(str(one[part]["count"]) for part in parts),
            " ".join(f"{why}={count}" for why, count in one["evaluated"]["left_out"].items())
            or "-",
        )
        for one in found["streams"]
    ]
    print_fitting(("STREAM", "TAKEN", *(part.upper() for part in parts), "NOT EVALUATED"), rows)
    if found["quarantined"]["points"]:
        click.echo(f"{found['quarantined']['points']} points are in the quarantine")


@servers.command()
@click.argument("server_id", metavar="ID")
@config_option
@click.pass_context
def disable(ctx: click.Context, *, server_id: str) -> None:
    """Refuse a server's samples until it is enabled again; its keys and history stay."""
    with open_registry(load_config(ctx)) as registry:
        done = registry.disable(server_id)
    click.echo(f"disabled {server_id}" if done else f"{server_id} is disabled already")


@servers.command()
@click.argument("server_id", metavar="ID")
@config_option
@click.pass_context
def enable(ctx: click.Context, *, server_id: str) -> None:
    """Take a disabled server's samples again."""
    with open_registry(load_config(ctx)) as registry:
        done = registry.enable(server_id)
    click.echo(f"enabled {server_id}" if done else f"{server_id} is enabled already")


@servers.command()
@click.argument("server_id", metavar="ID")
@config_option
@click.pass_context
def remove(ctx: click.Context, *, server_id: str) -> None:
    """Remove a server and its keys; its stored samples stay."""
    with open_registry(load_config(ctx)) as registry:
        registry.remove(server_id)
    click.echo(f"removed {server_id}; its stored samples stay until retention takes them")
