"""``hostpulse-server rules``: checking rules files, running their tests, trying them on history."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from hostpulse_server import formatting
from hostpulse_server.commands.options import (
    config_option,
    json_option,
    load_config,
    open_registry,
    print_json,
)
from hostpulse_server.commands.progress import follow
from hostpulse_server.errors import RulesError
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.rule_testing.backtest import BacktestHost
    from hostpulse_server.rule_testing.report import Report
    from hostpulse_server.rule_testing.runner import CaseOutcome
    from hostpulse_server.rules.loading import RuleBundle

_FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True)


@click.group()
@config_option
def rules() -> None:
    """Check, test and try out the rules that alerts are made by.

    Of several files, a rule in a later one is laid over the one of the same name key by key. A
    FILE may be a glob in quotes.
    """


@rules.command()
@_FILES
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, *, files: tuple[str, ...], as_json: bool) -> None:
    """Say whether rules files are right, or all that is wrong with them."""
    from hostpulse_server.rules.lint import (  # noqa: PLC0415 - keeps ``--help`` fast
        untested,
        warnings,
    )

    bundle = _bundle(ctx, files, as_json=as_json)
    found = warnings(bundle)
    if as_json:
        print_json(
            {
                "ok": True,
                "faults": [],
                "files": list(bundle.files),
                "rules": len(bundle.rules.rules),
                "tests": len(bundle.cases),
                "untested": untested(bundle),
                "warnings": found,
            }
        )
        return
    for text in found:
        click.echo(f"warning: {text}")
    counts = f"{_many(len(bundle.rules.rules), 'rule')}, {_many(len(bundle.cases), 'test')}"
    click.echo(f"ok: {counts} in {_many(len(bundle.files), 'file')}")


@rules.command()
@_FILES
@config_option
@json_option
@click.pass_context
def test(ctx: click.Context, *, files: tuple[str, ...], as_json: bool) -> None:
    """Run the tests of rules files; exit status 1 if any fails.

    A test sees the rules as its own file and those before it make them.
    """
    from hostpulse_server.rule_testing.runner import run  # noqa: PLC0415 - as above

    outcomes = [run(case) for case in _bundle(ctx, files, as_json=as_json).cases]
    failed = sum(not outcome.is_passed for outcome in outcomes)
    if as_json:
        print_json({"failed": failed, "tests": [_outcome_json(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            _print_outcome(outcome)
        click.echo(f"{_many(len(outcomes), 'test')}, {failed} failed")
    if failed:
        ctx.exit(1)


@rules.command()
@_FILES
@click.option("--start", default="-24h", show_default=True, help="Epoch ms, RFC 3339 or -24h.")
@click.option("--end", default="now", show_default=True, help="As --start.")
@click.option("--against", multiple=True, metavar="FILE2", help="Also show what differs with it.")
@click.option("--rule", "names", multiple=True, metavar="NAME", help="Only this rule.")
@click.option("--server", "servers", multiple=True, metavar="ID", help="Only this server.")
@config_option
@json_option
@click.pass_context
def backtest(  # noqa: PLR0913 - the options of a command
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    start: str,
    end: str,
    against: tuple[str, ...],
    names: tuple[str, ...],
    servers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what rules would have told of the samples that are stored.

    By the state machine that runs live, begun at --start with nothing known. Rules of kind liveness
    are left out: they judge silence while it lasts. --against, --rule and --server may be repeated.
    """
    config = load_config(ctx)
    span = _span(config, start, end)
    bundles = [_bundle(ctx, one, as_json=as_json) for one in (files, against) if one]
    for name in names:
        if not any(name in bundle.rules.rules for bundle in bundles):
            raise click.BadParameter(f"there is no rule {name!r} in these files")
    report = _replayed(config, bundles, names, servers, span)
    if as_json:
        print_json(report.as_json())
    else:
        _print_report(report, formatting.zone(config.site.timezone))


def _replayed(
    config: ServerConfig,
    bundles: Sequence[RuleBundle],
    names: Sequence[str],
    servers: Sequence[str],
    span: tuple[int, int],
) -> Report:
    from hostpulse_server.rule_testing import backtest as work  # noqa: PLC0415 - as above
    from hostpulse_server.rule_testing.report import Report, Side  # noqa: PLC0415 - as above
    from hostpulse_server.rule_testing.sample_history import (  # noqa: PLC0415 - as above
        SampleHistory,
    )
    from hostpulse_server.store.factory import open_store  # noqa: PLC0415 - as above

    hosts = _hosts(config)
    chosen = [work.of_thresholds(bundle.rules, names) for bundle in bundles]
    for server_id in servers:
        if server_id not in hosts:
            raise click.BadParameter(f"there is no server {server_id!r} in the registry")
    server_ids = servers or ("", *hosts)
    joint = work.JointBacktest(chosen, hosts)
    with closing(open_store(config, read_only=True)) as store:
        history = SampleHistory(store, joint.rules.values(), *span)
        follow(joint.run(history, server_ids), history.pages * len(server_ids), "backtest")
    sides = (
        Side(bundle.files, tuple(one.rules), spells)
        for bundle, one, spells in zip(bundles, chosen, joint.spells(), strict=True)
    )
    return Report(*span, len(server_ids), tuple(sides))


def _hosts(config: ServerConfig) -> dict[str, BacktestHost]:
    from hostpulse_server.rule_testing.backtest import (  # noqa: PLC0415 - as above
        DEFAULT_INTERVAL_MS,
        BacktestHost,
    )

    with open_registry(config, create=False) as registry:
        return {
            server.id: BacktestHost(server.labels, server.interval_ms or DEFAULT_INTERVAL_MS)
            for server in registry.servers()
        }


def _span(config: ServerConfig, start: str, end: str) -> tuple[int, int]:
    from hostpulse_server.api.query_parameters import time_ms  # noqa: PLC0415 - as above

    now_ms = SYSTEM.now_ms()
    try:
        found = time_ms(start, now_ms), time_ms(end, now_ms)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--start, --end") from None
    if found[0] >= found[1]:
        raise click.BadParameter("must be before --end", param_hint="--start")
    oldest_ms = round(now_ms - config.retention.raw * 1000)
    if found[0] < oldest_ms:
        days = config.retention.raw / 86_400
        click.echo(f"note: raw values are kept for {days:g} days; it begins there", err=True)
        # at least nothing: --end may be before that, too
        found = min(oldest_ms, found[1]), found[1]
    return found


def _bundle(ctx: click.Context, files: Sequence[str], *, as_json: bool) -> RuleBundle:
    """Return what the files say; if that is wrong, print all faults and end with status 1."""
    from hostpulse_server.rules.loading import files_of, load_bundle  # noqa: PLC0415 - as above

    if not files_of(files):
        raise click.BadParameter(f"no file matches {' or '.join(files)}", param_hint="FILE")
    try:
        return load_bundle(files)
    except RulesError as error:
        if as_json:
            print_json({"ok": False, "faults": list(error.faults)})
        else:
            click.echo("\n".join(error.faults))
        ctx.exit(1)


def _print_outcome(outcome: CaseOutcome) -> None:
    case = outcome.case
    name = f" ({case.name})" if case.name else ""
    click.echo(f"{'ok  ' if outcome.is_passed else 'FAIL'}  {case.at} {case.rule.name}{name}")
    if not outcome.is_passed:
        width = max((len(one) for one, _ in outcome.side_by_side()), default=0)
        for expected, found in (("expected", "found"), *outcome.side_by_side()):
            mark = " " if expected in (found, "expected") else "!"
            click.echo(f"      {mark} {expected:<{max(width, 8)}}  {found}")


def _outcome_json(outcome: CaseOutcome) -> dict[str, Any]:
    case = outcome.case
    return {
        "file": case.at.file,
        "line": case.at.line,
        "rule": case.rule.name,
        "name": case.name,
        "passed": outcome.is_passed,
        "expected": [one.as_json() for one in case.expect],
        "found": [one.as_json() for one in outcome.found],
    }


def _print_report(report: Report, zone: tzinfo) -> None:
    for section in report.sections(zone):
        click.echo("\n".join(section.lines()))


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
