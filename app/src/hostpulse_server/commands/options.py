"""What commands share: ``--config``, ``--json`` and opening what the configuration names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hostpulse_server.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig

F = TypeVar("F", bound="Callable[..., Any]")


def _remember(ctx: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.find_root().ensure_object(dict)["config"] = value


def config_option(function: F) -> F:
    """Let ``--config FILE`` follow the command, too; read it with ``load_config``."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_remember,
        help="Configuration file; may also precede the command.",
    )(function)


def json_option(function: F) -> F:
    """Add ``--json``, handed to the command as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(
        function
    )


def config_path(ctx: click.Context) -> Path | None:
    """Return the file named by ``--config`` before or after the command, or ``None``."""
    path: Path | None = ctx.find_root().ensure_object(dict).get("config")
    return path


def load_config(ctx: click.Context, *, required: bool = True) -> ServerConfig:
    """Load the configuration that the command line names, by default /etc/hostpulse/server.toml.

    With ``required=False`` a missing default file means the built-in defaults. Raises ConfigError.
    """
    from hostpulse_server import config  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.cli import DEFAULT_CONFIG  # noqa: PLC0415 - cli imports the commands

    path = config_path(ctx)
    if path is None and (required or DEFAULT_CONFIG.exists()):
        path = DEFAULT_CONFIG
        if not path.exists():
            raise ConfigError(f"there is no {path}; name a configuration with --config FILE")
    return config.load(path, os.environ)
