"""``hostpulse-server routes``: which channels an alert goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    open_registry,
    print_json,
)
from hostpulse_server.errors import RulesError
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.routing import Routing


@click.group()
@config_option
def routes() -> None:
    """Ask who is told of what."""


@routes.command()
@click.option("--server", "server_id", metavar="ID", required=True, help="As registered.")
@click.option("--rule", "rule_name", metavar="NAME", required=True, help="The rule that fires.")
@click.option("--severity", type=click.Choice(SEVERITIES), required=True)
@config_option
@json_option
@click.pass_context
def test(
    ctx: click.Context, *, server_id: str, rule_name: str, severity: str, as_json: bool
) -> None:
    """Say which channels an alert would go to, and why."""
    from hostpulse_server.notifications.routing import route  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.values.matchers import properties  # noqa: PLC0415 - as above

    config = load_config(ctx)
    labels, notes = _labels(config, server_id, rule_name)
    found = route(config, properties(severity, rule_name, server_id, labels))
    if as_json:
        print_json(_as_json(found, labels, notes))
        return
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"told: {', '.join(found.channels) or 'nobody'}")
    click.echo(f"because: {_reason(config, found)}")
    for refusal in found.refusals:
        click.echo(f"not by route {refusal.number}: {_misfit(refusal.because)}")
    if labels:
        shown = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        click.echo(f"labels: {shown}")


def _labels(
    config: ServerConfig, server_id: str, rule_name: str
) -> tuple[dict[str, str], list[str]]:
    """Return the labels that an alert would have, and what makes one doubt them."""
    from hostpulse_server.rules import load  # noqa: PLC0415 - as above
    from hostpulse_server.rules.model import fits  # noqa: PLC0415 - as above

    notes = []
    with open_registry(config, create=False) as registry:
        server = next((one for one in registry.servers() if one.id == server_id), None)
    labels = dict(server.labels) if server else {}
    if server is None and server_id:
        notes.append(f"no server {server_id!r} is registered, so it has no labels")
    elif server is not None and server.disabled:
        notes.append(f"server {server_id!r} is disabled: nothing fires on it")
    try:
        rules = load(config.alerts.rules)
    except RulesError as error:
        notes.append(f"the rules files are wrong, so labels of rules are missing: {error}")
        return labels, notes
    rule = rules.rules.get(rule_name)
    if rule is None:
        notes.append(f"there is no rule {rule_name!r} in force")
        return labels, notes
    seen = {f"label.{name}": value for name, value in labels.items()} | {"server_id": server_id}
    rule = next((one.rule for one in rule.overrides if fits(one.match, seen)), rule)
    if not rule.enabled:
        notes.append(f"rule {rule_name!r} is switched off there")
    return labels | dict(rule.labels), notes


def _reason(config: ServerConfig, found: Routing) -> str:
    if found.route is not None:
        match = ", ".join(f"{name}={glob}" for name, glob in sorted(found.route.match.items()))
        return f"route {found.number} matches ({match or 'everything'})"
    if config.routes:
        return "no route matches"
    return "there are no routes, so every channel is told of warnings and above"


def _misfit(because: Mapping[str, tuple[str, str | None]]) -> str:
    return "; ".join(
        f"{name}={glob} does not match {value}"
        if value is not None
        else f"{name}={glob}, and there is no {name}"
        for name, (glob, value) in sorted(because.items())
    )


def _as_json(found: Routing, labels: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    return {
        "channels": list(found.channels),
        "route": found.number,
        "match": dict(found.route.match) if found.route else None,
        "refusals": [
            {
                "route": refusal.number,
                "because": {
                    name: {"glob": glob, "value": value}
                    for name, (glob, value) in refusal.because.items()
                },
            }
            for refusal in found.refusals
        ],
        "labels": dict(labels),
        "notes": notes,
    }
