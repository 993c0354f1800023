"""``hostpulse-server channels``: sends test messages."""

from __future__ import annotations

import secrets

import click

from hostpulse_server.commands.alert_options import now, who
from hostpulse_server.commands.options import config_option, load_config


@click.group()
@config_option
def channels() -> None:
    """Try the ways to people."""


@channels.command()
@click.argument("name")
@config_option
@click.pass_context
def test(ctx: click.Context, *, name: str) -> None:
    """Send a message that says it is a test; exit status 1 if the other end does not take it.

    At once and past the outbox, so that it says what is wrong with a channel while messages wait.
    """
    from hostpulse_server.notifications.channels import ChannelError, Notification  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.notifications.channels.base import PartlyRefusedError  # noqa: PLC0415 - as above
    from hostpulse_server.notifications.channels.factory import open_channel  # noqa: PLC0415 - as above

    config = load_config(ctx)
    channel = open_channel(name, config)
    notification = Notification(
        kind="test",
        channel=name,
        site=config.site.name,
        severity="info",
        created_ms=now(ctx),
        note=f"Sent by {who()} to try the channel {name}. Nothing is wrong, nothing is to be done.",
        timezone=config.site.timezone,
    )
    try:
        channel.send(notification, message_id=f"test.{secrets.token_hex(8)}")
    except PartlyRefusedError as error:
        said = "; ".join([f"{one}: {why}" for one, why in error.refused.items()] + [*error.later])
        raise ChannelError(f"channel {name} took it, but not for {said}") from None
    except ChannelError as error:
        raise ChannelError(f"channel {name}: {error}") from None
    click.echo(f"channel {name} took the test message; see that it has arrived")
