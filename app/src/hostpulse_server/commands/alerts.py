"""``hostpulse-server alerts``: lists, shows and acknowledges alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hostpulse_server import formatting
from hostpulse_server.commands.alert_options import (
    MomentOption,
    comment_option,
    filter_options,
    filters,
    now,
    open_state,
    plain,
    print_lines,
    print_wrapped,
    who,
)
from hostpulse_server.commands.options import config_option, json_option, load_config, print_json
from hostpulse_server.commands.tables import print_fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

_ALL = 1_000_000


@click.group()
@config_option
def alerts() -> None:
    """Look at alerts and acknowledge them.

    Acknowledged means: no more reminders until then; its end is told. `silences` keeps quiet.
    """


@alerts.command("list")
@click.option("--state", type=click.Choice(("pending", "firing")), default=None)
@filter_options
@config_option
@json_option
@click.pass_context
def list_alerts(ctx: click.Context, /, *, state: str | None, as_json: bool, **of: Any) -> None:
    """List what fires or is about to, the most serious first."""
    from hostpulse_server.operator import history, serializers  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.state import reading  # noqa: PLC0415 - as above
    from hostpulse_server.values.alert import SEVERITIES  # noqa: PLC0415 - as above

    with open_state(ctx) as (engine, zone), reading(engine) as session:
        wanted = history.AlertFilter(state=state or "", **filters(of))
        rows = history.active(session, wanted, after=0, limit=_ALL)
        found = serializers.alerts_json(session, rows, now(ctx))
    found.sort(key=lambda one: -SEVERITIES.index(one["severity"]))
    if as_json:
        print_json(found)
        return
    head = ("ID", "SEVERITY", "STATE", "SERVER", "RULE", "SINCE", "ATTENTION", "SUMMARY")
    table = [
        (
            str(one["id"]),
            one["severity"],
            one["state"],
            one["server_id"] or "-",
            one["rule"],
            formatting.moment(one["started"], zone),
            _attention(one),
            one["summary"],
        )
        for one in found
    ]
    print_fitting(head, table, details=2)


def _attention(alert: Mapping[str, Any]) -> str:
    parts = []
    if alert["acknowledged"]:
        parts.append(f"acknowledged by {alert['acknowledged']['by']}")
    if alert["silenced_by"]:
        parts.append(f"silence {', '.join(map(str, alert['silenced_by']))}")
    return "; ".join(parts) or "-"


@alerts.command("history")
@filter_options
@click.option("--start", type=MomentOption(), help="Firing then or later on, such as -7d.")
@click.option("--end", type=MomentOption(), help="Had fired by then.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@config_option
@json_option
@click.pass_context
def list_history(
    ctx: click.Context,
    /,
    *,
    start: int | None,
    end: int | None,
    limit: int,
    as_json: bool,
    **of: Any,
) -> None:
    """List alerts that fired, the newest first: how long, who was told, who acknowledged."""
    from hostpulse_server.operator import history, serializers  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.state import reading  # noqa: PLC0415 - as above

    if start is not None and end is not None and start >= end:
        raise click.BadParameter("must be before --end", param_hint="--start")
    wanted = history.AlertFilter(**filters(of))
    with open_state(ctx) as (engine, zone), reading(engine) as session:
        rows = history.fired(session, wanted, limit=limit, start_ms=start, end_ms=end)
        found = serializers.alerts_json(session, rows, now(ctx))
    if as_json:
        print_json(found)
        return
    head = (
        "ID",
        "FIRED",
        "LASTED",
        "SEVERITY",
        "SERVER",
        "RULE",
        "TOLD",
        "ACKNOWLEDGED",
        "SUMMARY",
    )
    table = [
        (
            str(one["id"]),
            formatting.moment(one["fired"], zone),
            formatting.duration(one["duration_ms"]) + ("" if one["resolved"] else " so far"),
            one["severity"],
            one["server_id"] or "-",
            one["rule"],
            ", ".join(dict.fromkeys(reported["channel"] for reported in one["told"])) or "-",
            one["acknowledged"]["by"] if one["acknowledged"] else "-",
            one["summary"],
        )
        for one in found
    ]
    print_fitting(head, table, details=3)


@alerts.command()
@click.argument("alert_id", metavar="ID", type=int)
@config_option
@json_option
@click.pass_context
def show(ctx: click.Context, *, alert_id: int, as_json: bool) -> None:
    """Show one alert with its timeline: which channel was notified when, or why not."""
    from hostpulse_server.notifications.routing import channels_for  # noqa: PLC0415 - as above
    from hostpulse_server.operator import actions, serializers  # noqa: PLC0415 - as above
    from hostpulse_server.operator.timeline import Destinations  # noqa: PLC0415 - as above
    from hostpulse_server.state import reading  # noqa: PLC0415 - as above

    config = load_config(ctx)
    with open_state(ctx) as (engine, zone), reading(engine) as session:
        row = actions.any_alert(session, alert_id)
        routed = channels_for(config, row.severity, row.rule, row.server_id, row.labels)
        to = Destinations(tuple(config.channels), routed)
        one = serializers.detail_json(session, row, to, now(ctx))
    if as_json:
        print_json(one)
        return
    print_lines(_described(one, zone))
    _print_timeline(one["timeline"], zone)


def _print_timeline(timeline: Mapping[str, Any], zone: tzinfo) -> None:
    """Print what the alert did, then each channel, within 80 columns."""
    parts = [("", timeline["alert"])]
    for channel in timeline["channels"]:
        state = channel["state"].replace("_", " ")
        parts.append((f"{channel['channel']}: {state}", channel["entries"]))
    for head, entries in parts:
        if head:
            click.echo(f"\n{plain(head)}")
        for entry in entries:
            print_wrapped(formatting.moment(entry["at"], zone), _described_entry(entry, zone))


def _described_entry(entry: Mapping[str, Any], zone: tzinfo) -> str:
    text = f"{entry['kind']}: {entry['text']}" if entry["text"] else str(entry["kind"])
    return f"{text}, until {formatting.moment(entry['until'], zone)}" if "until" in entry else text


def _described(one: Mapping[str, Any], zone: tzinfo) -> list[tuple[str, str]]:
    taken = one["acknowledged"]
    value, threshold = one["value"], one["threshold"]
    figures = ""
    if value is not None:
        worst = one["evidence"].get("worst")
        shown = formatting.compared(value, threshold, one["field"], worst)
        figures = f"{one['measurement']} {one['field']} {shown}"
    lasted = "" if one["duration_ms"] is None else f" for {formatting.duration(one['duration_ms'])}"
    until = f" until {formatting.moment(taken['until'], zone)} {taken['comment']}" if taken else ""
    return [
        ("alert", f"{one['id']} {one['severity']} {one['state']}{lasted}"),
        ("summary", one["summary"]),
        ("rule", one["rule"]),
        ("server", one["server_id"]),
        ("tags", _pairs(one["tags"])),
        ("labels", _pairs(one["labels"])),
        ("figures", figures),
        ("began", formatting.moment(one["started"], zone)),
        ("ended", one["reason"] or ""),
        ("names", ", ".join(one["evidence"].get("names", ()))),
        ("evidence", "; ".join(one["evidence"].get("lines", ()))),
        ("runbook", one["runbook"]),
        ("acknowledged", f"by {taken['by']}{until}" if taken else ""),
        ("silenced by", ", ".join(map(str, one["silenced_by"]))),
    ]


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(values.items()))


@alerts.command()
@click.argument("alert_ids", metavar="ID...", type=int, nargs=-1, required=True)
@comment_option
@click.option(
    "--until", type=MomentOption(is_ahead=True), help="Until when, such as 4h.  [default: 24h]"
)
@config_option
@click.pass_context
def ack(ctx: click.Context, *, alert_ids: tuple[int, ...], comment: str, until: int | None) -> None:
    """Acknowledge alerts: no more reminders until then, at most 30 days."""
    from hostpulse_server.operator import actions  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.state import writing  # noqa: PLC0415 - as above

    act = actions.Act(who(), now(ctx), comment)
    with open_state(ctx) as (engine, zone):

        def acknowledge(alert_id: int) -> str:
            with writing(engine) as session:
                row = actions.acknowledge(session, alert_id, act, until)
                text = formatting.moment(row.acknowledged_until_ms or 0, zone)
            return f"acknowledged alert {alert_id} until {text}"

        _each(alert_ids, acknowledge)


def _each(alert_ids: Sequence[int], do: Callable[[int], str]) -> None:
    """Do it to each alert, the others too if one is over or unknown; raise the first such error."""
    from hostpulse_server.errors import AlertOverError, UnknownAlertError  # noqa: PLC0415 - keeps ``--help`` fast

    errors: list[AlertOverError | UnknownAlertError] = []
    for alert_id in dict.fromkeys(alert_ids):
        try:
            click.echo(do(alert_id))
        except (AlertOverError, UnknownAlertError) as error:
            errors.append(error)
    for other in errors[1:]:
        click.echo(f"note: {other}", err=True)
    if errors:
        raise errors[0]


@alerts.command()
@click.argument("alert_ids", metavar="ID...", type=int, nargs=-1, required=True)
@config_option
@click.pass_context
def unack(ctx: click.Context, *, alert_ids: tuple[int, ...]) -> None:
    """Take the acknowledgement of alerts back."""
    from hostpulse_server.operator import actions  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.state import writing  # noqa: PLC0415 - as above

    act = actions.Act(who(), now(ctx))
    with open_state(ctx) as (engine, _):

        def unacknowledge(alert_id: int) -> str:
            with writing(engine) as session:
                actions.unacknowledge(session, alert_id, act)
            return f"alert {alert_id} is not acknowledged"

        _each(alert_ids, unacknowledge)
