"""``hostpulse-server silences``: suppresses notifications for a while."""

from __future__ import annotations

import click

from hostpulse_server import formatting
from hostpulse_server.commands.alert_options import (
    MomentOption,
    comment_option,
    now,
    open_state,
    print_fitting,
    who,
)
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    print_json,
)


@click.group()
@config_option
def silences() -> None:
    """Keep alerts from being told for a while.

    They still fire and are in the history; those that fire when a silence ends are told then.
    """


@silences.command("list")
@click.option("--expired", is_flag=True, help="Also those that are over.")
@config_option
@json_option
@click.pass_context
def list_silences(ctx: click.Context, *, expired: bool, as_json: bool) -> None:
    """List silences in force and to come."""
    from hostpulse_server.operator import history, serializers  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.state import reading  # noqa: PLC0415 - as above

    now_ms = now(ctx)
    with open_state(ctx) as (engine, zone), reading(engine) as session:
        rows = history.silences(session, now_ms, expired=expired)
        found = [serializers.silence_json(row, now_ms) for row in rows]
    if as_json:
        print_json(found)
        return
    table = [
        (
            str(one["id"]),
            one["state"],
            formatting.moment(one["start"], zone),
            formatting.moment(one["end"], zone),
            one["by"],
            " ".join(f"{name}={glob}" for name, glob in sorted(one["matchers"].items())),
            one["comment"] or "-",
        )
        for one in found
    ]
    print_fitting(("ID", "STATE", "START", "END", "BY", "MATCHES", "COMMENT"), table)


@silences.command()
@click.argument("matchers", metavar="NAME=GLOB...", nargs=-1, required=True)
@click.option(
    "--for", "end", type=MomentOption(is_ahead=True), required=True, help="How long: 2h, 7d."
)
@comment_option
@config_option
@json_option
@click.pass_context
def add(
    ctx: click.Context, *, matchers: tuple[str, ...], end: int, comment: str, as_json: bool
) -> None:
    """Silence from now on what matches all of NAME=GLOB.

    NAME is rule, severity, server_id, a tag's or a label's name, or label.NAME.
    """
    from hostpulse_server.operator import actions, serializers  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.operator.silence_preview import reach_json  # noqa: PLC0415 - as above
    from hostpulse_server.state import reading, writing  # noqa: PLC0415 - as above

    given: dict[str, str] = {}
    for pair in matchers:
        name, sign, glob = pair.partition("=")
        if not sign or name in given:
            raise click.BadParameter(f"{pair!r}: write each NAME=GLOB once", param_hint="NAME=GLOB")
        given[name] = glob
    now_ms = now(ctx)
    with open_state(ctx) as (engine, zone):
        with writing(engine) as session:
            row = actions.silence(session, given, now_ms, end, actions.Act(who(), now_ms, comment))
            shown = serializers.silence_json(row, now_ms)
        with reading(engine) as session:
            shown |= reach_json(session, given, load_config(ctx).alerts.rules)
    if as_json:
        print_json(shown)
        return
    for note in shown["notes"]:
        click.echo(f"note: {note}", err=True)
    count = shown["firing"]
    alerts = f"{count or 'no'} firing alert{'' if count == 1 else 's'}"
    click.echo(
        f"silence {shown['id']} until {formatting.moment(end, zone)}; it matches {alerts} now"
    )


@silences.command()
@click.argument("silence_id", metavar="ID", type=int)
@config_option
@click.pass_context
def remove(ctx: click.Context, *, silence_id: int) -> None:
    """End a silence now; its record stays."""
    from hostpulse_server.operator import actions  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.state import writing  # noqa: PLC0415 - as above

    with open_state(ctx) as (engine, _), writing(engine) as session:
        actions.end_silence(session, silence_id, actions.Act(who(), now(ctx)))
    click.echo(f"silence {silence_id} is over")
