"""``hostpulse-server routes``: which channels an alert goes to."""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from hostpulse_server.commands.alert_options import now, plain, who
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    open_registry,
    print_json,
)
from hostpulse_server.errors import ConfigError, RulesError
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.channels import Notification
    from hostpulse_server.notifications.routing import Routing
    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.alert import Severity


@click.group()
@config_option
def routes() -> None:
    """Ask who is told of what."""


class _Subject(NamedTuple):
    """What a test is about: the server and the rule as they hold there, and what is odd."""

    server_name: str
    labels: Mapping[str, str]
    rule: Rule | None
    notes: list[str]


@routes.command()
@click.option("--server", "server_id", metavar="ID", required=True, help="As registered.")
@click.option("--rule", "rule_name", metavar="NAME", required=True, help="The rule that fires.")
@click.option("--severity", type=click.Choice(SEVERITIES), required=True)
@click.option("--send", is_flag=True, help="Send the message there, marked as a test.")
@config_option
@json_option
@click.pass_context
def test(ctx: click.Context, /, *, severity: str, send: bool, as_json: bool, **of: str) -> None:
    """Say which channels an alert would go to, and why.

    With --send they get the message that the rule would make, marked as a test; exit status 1 if
    one does not take it.
    """
    from hostpulse_server.notifications.routing import route  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.values.matchers import properties  # noqa: PLC0415 - as above

    config, server_id, rule_name = load_config(ctx), of["server_id"], of["rule_name"]
    subject = _subject(config, server_id, rule_name)
    found = route(config, properties(severity, rule_name, server_id, subject.labels))
    sent: dict[str, str] | None = None
    if send:
        message = _message(ctx, config, subject, severity, server_id)
        sent = {name: _send(config, name, message) for name in found.channels}
    if as_json:
        print_json(_as_json(found, subject, sent))
    else:
        _print(config, found, subject, sent)
    failed = sum(bool(error) for error in (sent or {}).values())
    if failed:
        from hostpulse_server.notifications.channels import ChannelError  # noqa: PLC0415 - as above

        raise ChannelError(f"{failed} of {len(found.channels)} channels did not take the test")


def _print(
    config: ServerConfig, found: Routing, subject: _Subject, sent: Mapping[str, str] | None
) -> None:
    for note in subject.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"told: {', '.join(found.channels) or 'nobody'}")
    click.echo(f"because: {_reason(config, found)}")
    for refusal in found.refusals:
        click.echo(f"not by route {refusal.number}: {_misfit(refusal.because)}")
    if subject.labels:
        shown = ", ".join(f"{name}={value}" for name, value in sorted(subject.labels.items()))
        click.echo(f"labels: {shown}")
    for name, error in (sent or {}).items():
        answer = f"did not take the test: {plain(error)}" if error else "took the test message"
        click.echo(f"channel {name}: {answer}")
    if sent is not None and not sent:
        click.echo("sent: nothing, because no channel would be notified")


def _message(
    ctx: click.Context, config: ServerConfig, subject: _Subject, severity: str, server_id: str
) -> Notification:
    from hostpulse_server.notifications import sample_message  # noqa: PLC0415 - keeps ``--help`` fast

    if subject.rule is None:
        raise click.BadParameter("--send needs a rule that is in force", param_hint="--rule")
    if not sample_message.has_level(subject.rule, severity):
        text = f"rule {subject.rule.name!r} has no level {severity}"
        raise click.BadParameter(text, param_hint="--severity")
    target = sample_message.SampleTarget(server_id, subject.server_name, subject.labels)
    return sample_message.sample(
        config.site, subject.rule, cast("Severity", severity), target, now(ctx), who()
    )


def _send(config: ServerConfig, name: str, message: Notification) -> str:
    """Send at once and past the outbox; return why a channel did not take it, ``""`` if it did."""
    from hostpulse_server.notifications.channels import ChannelError  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.notifications.channels.factory import open_channel  # noqa: PLC0415 - as above

    try:
        channel = open_channel(name, config)
        message_id = f"test.{secrets.token_hex(8)}"
        channel.send(dataclasses.replace(message, channel=name), message_id=message_id)
    except (ChannelError, ConfigError) as error:
        return str(error)
    return ""


def _subject(config: ServerConfig, server_id: str, rule_name: str) -> _Subject:
    """Return the labels that an alert would have, its rule, and what makes one doubt them."""
    from hostpulse_server.rules import load  # noqa: PLC0415 - as above
    from hostpulse_server.rules.model import fits  # noqa: PLC0415 - as above

    notes: list[str] = []
    with open_registry(config, create=False) as registry:
        server = next((one for one in registry.servers() if one.id == server_id), None)
    labels = dict(server.labels) if server else {}
    name = server.name if server else server_id
    if server is None and server_id:
        notes.append(f"no server {server_id!r} is registered, so it has no labels")
    elif server is not None and server.disabled:
        notes.append(f"server {server_id!r} is disabled: nothing fires on it")
    try:
        rules = load(config.alerts.rules)
    except RulesError as error:
        notes.append(f"the rules files are wrong, so labels of rules are missing: {error}")
        return _Subject(name, labels, None, notes)
    rule = rules.rules.get(rule_name)
    if rule is None:
        notes.append(f"there is no rule {rule_name!r} in force")
        return _Subject(name, labels, None, notes)
    seen = {f"label.{name}": value for name, value in labels.items()} | {"server_id": server_id}
    rule = next((one.rule for one in rule.overrides if fits(one.match, seen)), rule)
    if not rule.enabled:
        notes.append(f"rule {rule_name!r} is switched off there")
    return _Subject(name, labels | dict(rule.labels), rule, notes)


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


def _as_json(found: Routing, subject: _Subject, sent: Mapping[str, str] | None) -> dict[str, Any]:
    answers = [{"channel": name, "error": error} for name, error in (sent or {}).items()]
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
        "labels": dict(subject.labels),
        "notes": subject.notes,
        **({} if sent is None else {"sent": answers}),
    }
