"""``hostpulse-server silences``: suppresses notifications for a while."""

from __future__ import annotations

from typing import Any

import click

from hostpulse_server import formatting
from hostpulse_server.commands.alert_options import (
    MomentOption,
    comment_option,
    now,
    open_state,
    who,
)
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    print_json,
)
from hostpulse_server.commands.tables import print_fitting


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
    print_fitting(("ID", "STATE", "START", "END", "BY", "MATCHES", "COMMENT"), table, 3)


@silences.command()
@click.argument("matchers", metavar="MATCHER...", nargs=-1, required=True)
@click.option(
    "--start", type=MomentOption(is_ahead=True), help="When it begins, such as 30m.  [default: now]"
)
@click.option("--for", "lasting", metavar="DURATION", help="How long: 2h, 7d.")
@click.option("--until", type=MomentOption(is_ahead=True), help="When it ends, instead of --for.")
@comment_option
@config_option
@json_option
@click.pass_context
def add(
    ctx: click.Context,
    /,
    *,
    matchers: tuple[str, ...],
    start: int | None,
    comment: str,
    as_json: bool,
    **over: Any,
) -> None:
    """Silence what fits every MATCHER: NAME=GLOB, or NAME!=GLOB for all but that.

    NAME is rule, severity, server_id, a tag's or a label's name, or label.NAME.
    """
    from hostpulse_server.operator import actions, serializers  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.operator.silence_preview import reach_json  # noqa: PLC0415 - as above
    from hostpulse_server.state import reading, writing  # noqa: PLC0415 - as above

    given = _matchers(matchers)
    now_ms = now(ctx)
    begin = now_ms if start is None else start
    end = _end(begin, **over)
    with open_state(ctx) as (engine, zone):
        with writing(engine) as session:
            row = actions.silence(session, given, begin, end, actions.Act(who(), now_ms, comment))
            shown = serializers.silence_json(row, now_ms)
        with reading(engine) as session:
            shown |= reach_json(session, given, load_config(ctx).alerts.rules)
    if as_json:
        print_json(shown)
        return
    for note in shown["notes"]:
        click.echo(f"note: {note}", err=True)
    count = shown["firing"]
    beginning = f"from {formatting.moment(begin, zone)} " if begin > now_ms else ""
    alerts = f"{count or 'no'} firing alert{'' if count == 1 else 's'}"
    click.echo(
        f"silence {shown['id']} {beginning}until {formatting.moment(end, zone)}; "
        f"it matches {alerts} now"
    )


def _matchers(pairs: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        name, sign, glob = pair.partition("=")  # of NAME!=GLOB the name is NAME!
        if not sign or name in given:
            raise click.BadParameter(
                f"{pair!r}: write each NAME=GLOB or NAME!=GLOB once", param_hint="MATCHER"
            )
        given[name] = glob
    return given


def _end(start_ms: int, lasting: str | None, until: int | None) -> int:
    from hostpulse_server.api.query_parameters import duration_ms  # noqa: PLC0415 - keeps ``--help`` fast

    if until is not None and lasting is None:
        return until
    if lasting is None or until is not None:
        raise click.UsageError("give either --for or --until")
    try:
        return start_ms + duration_ms(lasting)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None


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
