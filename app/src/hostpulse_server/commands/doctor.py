"""``hostpulse-server doctor``: every part checked, one line each."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from hostpulse_server.commands.options import config_option, json_option, load_config, print_json
from hostpulse_server.errors import HostpulseError, RulesError
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.engine.status import EngineStatus
    from hostpulse_server.shipper.last_seen import ShipperStatus

LAG_LIMIT_SECONDS: Final = 60.0
ALIVE_LIMIT_SECONDS: Final = 30.0
_MIB: Final = 2**20
_MARKS: Final = {"ok": "ok  ", "warning": "WARN", "fail": "FAIL"}


class _Fault(Exception):  # noqa: N818 - a finding, not an error of this program
    """What is wrong with a part and what to do about it."""


class _Warning(Exception):  # noqa: N818 - as above
    """What works, and is no way to run a site."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report; a warning is no fault, but people should read it."""

    name: str
    is_ok: bool
    text: str
    is_warning: bool = False

    @property
    def level(self) -> str:
        """Return ``ok``, ``warning`` or ``fail``."""
        return "warning" if self.is_warning else "ok" if self.is_ok else "fail"


@click.command()
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check every part, one line each; exit status 1 if any is not well.

    A warning at the end (no channel, no heartbeat) does not count.
    """
    parts = examine(ctx)
    if as_json:
        names = ("part", "ok", "level", "text")
        print_json(
            [
                dict(zip(names, (part.name, part.is_ok, part.level, part.text), strict=True))
                for part in parts
            ]
        )
    else:
        for part in parts:
            text = "; ".join(part.text.splitlines())
            line = f"{_MARKS[part.level]}  {part.name:<13}  {text}"
            click.echo(line if part.level == "ok" else click.style(line, fg="red"))
    if not all(part.is_ok for part in parts):
        ctx.exit(1)


def examine(ctx: click.Context) -> list[CheckResult]:
    """Return all parts; only the configuration's when it cannot be read."""
    try:
        config = load_config(ctx)
    except HostpulseError as error:
        return [CheckResult("configuration", is_ok=False, text=str(error))]
    checks: tuple[tuple[str, Callable[[ServerConfig], str]], ...] = (
        ("configuration", _configuration),
        ("data dir", _data_dir),
        ("journal", _journal),
        ("state schema", _state),
        ("store", _store),
        ("shipper lag", _lag),
        ("api", _api),
        ("rules", _rules),
        ("alerts", _alerts),
        ("servers", _servers),
        ("notifications", _notifications),
        ("channels", _channels),
        ("heartbeat", _heartbeat),
    )
    return [_examine(name, check, config) for name, check in checks]


def _examine(name: str, check: Callable[[ServerConfig], str], config: ServerConfig) -> CheckResult:
    try:
        return CheckResult(name, is_ok=True, text=check(config))
    except _Warning as warning:
        return CheckResult(name, is_ok=True, text=str(warning), is_warning=True)
    except (_Fault, HostpulseError) as error:
        return CheckResult(name, is_ok=False, text=str(error))
    except OSError as error:
        return CheckResult(
            name, is_ok=False, text=f"{error.filename or ''} {error.strerror}".strip()
        )


def _data_dir(config: ServerConfig) -> str:
    path = config.data_dir
    if not path.is_dir():
        raise _Fault(f"{path} is no directory; create it for the user that runs the services")
    free, floor = shutil.disk_usage(path).free, config.journal.min_free_bytes
    if free < floor:
        raise _Fault(
            f"{path} has {free // _MIB} MiB free, samples are refused under "
            f"{floor // _MIB} MiB (journal.min_free_bytes); make room"
        )
    return f"{path}, {free // _MIB} MiB free"


def _journal(config: ServerConfig) -> str:
    from hostpulse_server.journal import open_journal  # noqa: PLC0415 - keeps ``--help`` fast

    path = config.paths.journal
    if not path.exists():
        raise _Fault(f"{path} is not there yet; start hostpulse-api, which makes it")
    with closing(open_journal(config, SYSTEM)) as journal:
        journal.check()
        stats = journal.stats()
    bound = config.journal.max_bytes
    if stats.bytes >= bound:
        raise _Fault(
            f"full ({stats.bytes // _MIB} of {bound // _MIB} MiB), samples are refused; "
            "see store and shipper lag for what holds it"
        )
    return f"{stats.entries} entries, {stats.bytes // _MIB} of {bound // _MIB} MiB"


def _state(config: ServerConfig) -> str:
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast

    engine = state.open_engine(config.state.url)
    try:
        state.require_current(engine)
        return state.current_revision(engine) or state.HEAD
    finally:
        engine.dispose()


def _shipper(config: ServerConfig) -> ShipperStatus | None:
    """Return how shipping goes, ``None`` if nothing was shipped yet."""
    from hostpulse_server.shipper.last_seen import LastSeenReader  # noqa: PLC0415 - keeps ``--help`` fast

    return LastSeenReader(config.paths.shipper).status()


def _store(config: ServerConfig) -> str:
    where = _influxdb(config) if config.store.kind == "influxdb" else config.store.kind
    status = _shipper(config)
    if status is None:
        return f"{where}, nothing was shipped yet"
    if status.store_error:
        raise _Fault(f"{config.store.kind}: {status.store_error}")
    return f"{where}, last write {status.store_write_ms:.0f} ms"


def _influxdb(config: ServerConfig) -> str:
    # keeps ``--help`` fast
    from hostpulse_server.store.factory import influxdb_settings  # noqa: PLC0415
    from hostpulse_server.store.influxdb.self_check import examine  # noqa: PLC0415

    return examine(
        influxdb_settings(config, read_only=False),
        influxdb_settings(config, read_only=True),
        config.retention.raw,
        config.retention.rollup,
    )


def _lag(config: ServerConfig) -> str:
    from hostpulse_server.journal import open_journal  # noqa: PLC0415 - keeps ``--help`` fast

    status = _shipper(config)
    if not config.paths.journal.exists():
        raise _Fault("there is no journal to be behind of yet; is hostpulse-api running?")
    with closing(open_journal(config, SYSTEM)) as journal:
        lag = journal.waiting_seconds(status.position_in(journal.epoch) if status else 0)
    if lag > LAG_LIMIT_SECONDS:
        raise _Fault(f"{lag:.0f} s behind the journal; is hostpulse-shipper running?")
    return f"{lag:.1f} s"


def _api(config: ServerConfig) -> str:
    from hostpulse_server.engine.api_readiness import ask  # noqa: PLC0415 - keeps ``--help`` fast

    return ask(config)


def _rules(config: ServerConfig) -> str:
    from hostpulse_server.rules import load  # noqa: PLC0415 - keeps ``--help`` fast

    try:
        rules = load(config.alerts.rules)
    except RulesError as error:
        status = _engine_status(config)
        if status is None or not status.rules_fault:
            raise
        stay = f"{status.rules} rules that were right last stay in force"
        raise _Fault(f"{error}\n{stay if status.rules else 'nothing is evaluated'}") from error
    status = _engine_status(config)
    if status is not None and status.rules_fault:
        if not rules.rules:
            raise _Fault(status.rules_fault)
        raise _Fault("the files are right now, the engine has not read them yet; look again")
    return f"{len(rules.rules)} from {', '.join(config.alerts.rules) or 'no files'}"


def _alerts(config: ServerConfig) -> str:
    from hostpulse_server.journal import open_journal  # noqa: PLC0415 - keeps ``--help`` fast

    status = _engine_status(config)
    if status is None:
        raise _Fault("the engine has not worked here yet; is hostpulse-alerts running?")
    ago = (SYSTEM.now_ms() - status.cursor.alive_ms) / 1000
    if ago > ALIVE_LIMIT_SECONDS:
        raise _Fault(f"the engine last worked {ago:.0f} s ago; is hostpulse-alerts running?")
    lag = 0.0
    if config.paths.journal.exists():
        with closing(open_journal(config, SYSTEM)) as journal:
            lag = journal.waiting_seconds(status.position_in(journal.epoch))
    if lag > LAG_LIMIT_SECONDS:
        raise _Fault(f"{lag:.0f} s behind the journal; see its log for what holds it up")
    counts = ", ".join(f"{count} {severity}" for severity, count in status.firing.items() if count)
    return f"{lag:.1f} s behind, firing: {counts or 'none'}"


def _servers(config: ServerConfig) -> str:
    from hostpulse_server.commands.options import open_registry  # noqa: PLC0415 - as above
    from hostpulse_server.operator.server_views import server_status  # noqa: PLC0415 - as above

    with open_registry(config, create=False) as registry:
        servers = registry.servers()
    now_ms = SYSTEM.now_ms()
    shared = [one.id for one in servers if server_status(one, None, now_ms) == "conflict"]
    if shared:
        raise _Warning(
            f"two machines report as {', '.join(shared)}; see docs/runbooks.md#server_conflict"
        )
    return f"{len(servers)} registered"


def _notifications(config: ServerConfig) -> str:
    from hostpulse_server.notifications.channels.factory import open_channels  # noqa: PLC0415 - as above

    open_channels(config)
    status = _engine_status(config)
    if status is None:
        return "none yet"
    text = f"{status.waiting} waiting, {status.failed} failed"
    if status.trouble:
        raise _Fault(f"{text}; {status.trouble}; see: hostpulse-server channels test NAME")
    return text


def _channels(config: ServerConfig) -> str:
    if not config.channels:
        unless = "unless Grafana notifies, " if config.site.grafana_url else ""
        raise _Warning(
            f"{unless}nobody is notified of alerts: no channel is configured; see docs/alerts.md"
        )
    return ", ".join(sorted(config.channels))


def _configuration(config: ServerConfig) -> str:
    if config.site.untranslated:
        raise _Warning(f"{config.source}: {config.site.untranslated}")
    return str(config.source)


def _heartbeat(config: ServerConfig) -> str:
    url = config.alerts.heartbeat_url
    if not url:
        raise _Warning(
            "nobody learns that hostpulse itself is down: [alerts] heartbeat_url is not set; "
            "see docs/alerts.md"
        )
    return f"pings {urlsplit(url).hostname}"  # the path may be a secret


def _engine_status(config: ServerConfig) -> EngineStatus | None:
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.engine.status import EngineStatusReader  # noqa: PLC0415 - as above

    engine = state.open_engine(config.state.url)
    try:
        state.require_current(engine)
        return EngineStatusReader(engine).get(SYSTEM.now_ms())
    finally:
        engine.dispose()
