"""The command line; the only place that exits."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from hostpulse_agent import __version__, config
from hostpulse_agent.errors import AgentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_HELP = {
    "run": "sample, spool and send until stopped",
    "once": "print one sample as JSON; sends nothing, needs no configuration",
    "check": "check configuration, key, TLS and reachability; exit 0 or 1",
    "status": "show the last sample, the last acknowledged one, the spool and its drops",
    "spool": "list what waits in the spool",
    "key": "the host's secret",
}


def _parser() -> argparse.ArgumentParser:
    import argparse  # noqa: PLC0415 -- see _plain_run

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help=f"default {config.DEFAULT_PATH}"
    )
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    parser = argparse.ArgumentParser(
        prog="hostpulse-agent", description="Samples this host for hostpulse.", parents=[common]
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {
        name: commands.add_parser(name, parents=[common], help=text, description=text)
        for name, text in _HELP.items()
    }
    made["check"].add_argument(
        "--offline", action="store_true", help="only the configuration, before the rest is there"
    )
    verbs = made["key"].add_subparsers(dest="verb", required=True, metavar="init")
    init = verbs.add_parser(
        "init", parents=[common], help="make the secret if there is none; print id and SHA-256"
    )
    init.add_argument("--key-file", metavar="FILE", help="default: the configuration's key_file")
    return parser


def _plain_run(arguments: list[str]) -> str | None:
    """Return the configuration when asked just to run, as a service is: no parser in memory."""
    path = config.DEFAULT_PATH
    rest = list(arguments)
    if "--config" in rest[:-1]:
        at = rest.index("--config")
        path = rest[at + 1]
        del rest[at : at + 2]
    return path if rest == ["run"] else None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        return _dispatch(arguments)
    finally:
        _print("", end="")  # what --help left in the buffer


def _dispatch(arguments: list[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    path = _plain_run(arguments)
    try:
        if path is not None:
            return _run(path)
        options = vars(_parser().parse_args(arguments))
        options.setdefault("config", config.DEFAULT_PATH)
        options.setdefault("json", False)
        return _COMMANDS[options["command"]](options)
    except AgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- the answer to the caller
        return 1


def _print(text: str, end: str = "\n") -> None:
    try:
        print(text, end=end, flush=True)  # noqa: T201 -- output is what a command is for
    except BrokenPipeError:
        # the reader closed the pipe, as `| head` does; at exit the interpreter would flush again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(path: str) -> int:
    from hostpulse_agent import service, sources  # noqa: PLC0415 -- only `run` pays for TLS

    settings = config.load(path, os.environ)
    agent = service.Agent(settings, sources.build(settings.collectors), os.environ)
    stop = service.StopSignal()
    stop.install()
    agent.run(stop)
    return 0


def _once(_options: dict[str, Any]) -> int:
    from hostpulse_agent import sources, wire  # noqa: PLC0415 -- no TLS is needed here
    from hostpulse_agent.sampler import Sampler  # noqa: PLC0415 -- as above
    from hostpulse_agent.stream import Stream  # noqa: PLC0415 -- as above

    host = sources.build(config.CollectorsConfig())
    try:
        sampler = Sampler(host.collectors, 1.0)
        sampler.prime()
        time.sleep(1.0)  # rates need two readings
        reading = wire.Reading(int(time.monotonic() * 1000), 1000, sampler.collect(), host.top())
    finally:
        host.close()
    sample_id = Stream().next_id(int(time.time() * 1000))
    _print(json.dumps(wire.sample(sample_id, reading), indent=2))
    return 0


def _check(options: dict[str, Any]) -> int:
    from hostpulse_agent import diagnostics  # noqa: PLC0415 -- only this command needs it

    findings = diagnostics.check(options["config"], os.environ, offline=options["offline"])
    if options["json"]:
        _print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for part, ok, text in findings:
            _print(f"{'ok  ' if ok else 'FAIL'}  {part:<14}  {text}")
    return 0 if all(finding.ok for finding in findings) else 1


def _status(options: dict[str, Any]) -> int:
    from hostpulse_agent import report  # noqa: PLC0415 -- only this command needs it

    overview = report.overview(config.load(options["config"], os.environ, files=False))
    _show(options, overview, report.status_lines)
    return 0


def _spool(options: dict[str, Any]) -> int:
    from hostpulse_agent import report  # noqa: PLC0415 -- only this command needs it

    settings = config.load(options["config"], os.environ, files=False)
    _show(options, report.spool(settings.spool.path), report.spool_lines)
    return 0


def _show(
    options: dict[str, Any], data: dict[str, Any], lines: Callable[[dict[str, Any]], list[str]]
) -> None:
    _print(json.dumps(data, indent=2) if options["json"] else "\n".join(lines(data)))


def _key(options: dict[str, Any]) -> int:
    from hostpulse_agent import keys  # noqa: PLC0415 -- only this command needs it

    path = options["key_file"]
    if path is None:
        settings = config.load(options["config"], os.environ, files=False)
        path = keys.locate(settings.server.key_file, settings.sibling_path(""), {})
    _print(json.dumps(keys.init(path)))
    return 0


_COMMANDS: dict[str, Callable[[dict[str, Any]], int]] = {
    "run": lambda options: _run(options["config"]),
    "once": _once,
    "check": _check,
    "status": _status,
    "spool": _spool,
    "key": _key,
}
