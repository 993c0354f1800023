"""Entry point of ``hostpulse-server``: the root command and how subcommands are found.

Subcommands live one file each group in ``hostpulse_server.commands`` and are imported only when
called, so that a one-line command does not load gunicorn and Flask.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from hostpulse_server import __version__
from hostpulse_server.errors import HostpulseError
from hostpulse_server.runtime import redact
from hostpulse_server.runtime.paths import DEFAULT_CONFIG

# command name -> ("module:attribute" of the click command below hostpulse_server.commands, and the
# line that ``--help`` shows, here so that showing it imports nothing)
COMMANDS = {
    "alert": ("services:alert", "Apply the rules to samples and tell people (service)."),
    "alerts": ("alerts:alerts", "Look at alerts and acknowledge them."),
    "api": ("services:api", "Take samples in and answer queries (service)."),
    "channels": ("channels:channels", "Try the ways to people."),
    "check": ("check:check", "Read the configuration and name every fault in it."),
    "db": ("database:db", "Look after the state database."),
    "dev": ("dev:dev", "Run everything in one process, for a first look."),
    "doctor": ("doctor:doctor", "Check every part, one line each."),
    "keys": ("keys:keys", "Make, rotate, list and revoke keys."),
    "quarantine": ("quarantine:quarantine", "Look at points that no store takes, retry or drop."),
    "routes": ("routes:routes", "Ask who is told of what."),
    "rules": ("rules:rules", "Check, test and try out rules files."),
    "servers": ("servers:servers", "Add, change, list and remove servers that may report."),
    "ship": ("services:ship", "Move samples from the journal to the store (service)."),
    "silences": ("silences:silences", "Keep alerts from being told for a while."),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand, or ``None`` for an unknown name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        target, _ = COMMANDS[cmd_name]
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(f"hostpulse_server.commands.{module}"), attribute)
        if not isinstance(command, click.Command):  # pragma: no cover - a broken table
            raise TypeError(target)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hostpulse-server")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Configuration file (default {DEFAULT_CONFIG}); may also follow the command.",
)
@click.pass_context
def root(ctx: click.Context, config: Path | None) -> None:
    """Run and administer a hostpulse server."""
    ctx.ensure_object(dict)["config"] = config


def main() -> None:
    """Run the command line; an expected error becomes one line on stderr and exit status 1."""
    try:
        root(prog_name="hostpulse-server")
    except HostpulseError as error:
        click.echo(f"hostpulse-server: {redact.text(str(error))}", err=True)
        raise SystemExit(1) from None
