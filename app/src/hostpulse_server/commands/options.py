"""What commands share: ``--config``, ``--json`` and opening what the configuration names."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hostpulse_server.errors import ConfigError, RegistryError
from hostpulse_server.runtime.paths import DEFAULT_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.registry import Registry

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

    path = config_path(ctx)
    if path is None and (required or DEFAULT_CONFIG.exists()):
        path = DEFAULT_CONFIG
        if not path.exists():
            raise ConfigError(f"there is no {path}; name a configuration with --config FILE")
    return config.load(path, os.environ)


@contextmanager
def open_registry(config: ServerConfig, *, create: bool = True) -> Iterator[Registry]:
    """Yield the registry of the configured state database; makes a database that is not there.

    With ``create=False`` a missing one is replaced by an empty one that lasts for the command, so
    that a dry run on a bare host answers and leaves nothing behind. Raises SchemaError.
    """
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast
    from hostpulse_server.registry import Registry  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        engine = stack.enter_context(_engine(config.state.url))
        if state.is_empty(engine):
            if not create:
                scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="hostpulse-"))
                engine = stack.enter_context(_engine(f"sqlite:///{scratch}/state.db"))
            state.upgrade(engine)
        state.require_current(engine)
        yield Registry(engine)


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    from hostpulse_server import state  # noqa: PLC0415 - keeps ``--help`` fast

    engine = state.open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def secret_sink(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield what takes a new secret: stdout, or the file ``path`` with mode 0600.

    The file is opened first and moved into place last: a path that cannot be written fails before
    a key is made, and a reader never sees half of one. Raises RegistryError.
    """
    if path is None:
        yield click.echo
        return
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise RegistryError(f"cannot write the key file {path}: {error.strerror}") from None
    try:
        with open(handle, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, no path
            yield lambda text: print(text, file=file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def print_json(document: Any) -> None:
    """Print a document for programs."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print left-aligned columns for people; nothing but the head when there are no rows."""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    for line in (head, *rows):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
