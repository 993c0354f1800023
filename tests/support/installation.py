"""A server's data directory in the process of a test: configuration, database, commands."""

from __future__ import annotations

import json
import tempfile
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from hostpulse_server import state
from hostpulse_server.cli import root
from hostpulse_server.config import load
from hostpulse_server.errors import HostpulseError
from hostpulse_server.registry import Registry
from hostpulse_server.runtime.clock import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.runtime.clock import Clock


def run_command(config: Path, *arguments: str, stdin: str | None = None) -> Result:
    """Run ``hostpulse-server``; an expected error is in ``exception``, others are raised."""
    result = CliRunner().invoke(root, ["--config", str(config), *arguments], input=stdin)
    if result.exception and not isinstance(result.exception, HostpulseError | SystemExit):
        raise result.exception
    return result


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        engine = state.open_engine(f"sqlite:///{folder}/state.db")
        state.upgrade(engine)
        engine.dispose()
        return Path(folder, "state.db").read_bytes()


def make_database(path: Path) -> None:
    """Make a state database, migrated once a process: that costs more than most tests."""
    path.touch(0o600)
    path.write_bytes(_migrated())


class Installation:
    """The configuration ``server.toml`` in a folder, which is the data directory as well."""

    def __init__(
        self,
        folder: Path,
        text: str = "",
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.folder = folder
        self.environ = environ or {}
        self.path = folder / "server.toml"
        self.clock = clock
        self.configure(text)

    def configure(self, text: str) -> None:
        """Write the configuration: the data directory, and ``text`` after it."""
        self.path.write_text(f'data_dir = "{self.folder}"\n{text}')
        self.__dict__.pop("config", None)

    @cached_property
    def config(self) -> ServerConfig:
        """The configuration as it was when it was first asked for."""
        return load(self.path, self.environ)

    @cached_property
    def database(self) -> Engine:
        """The state database, opened; ``make_database`` makes it."""
        return state.open_engine(self.config.state.url)

    @cached_property
    def registry(self) -> Registry:
        """The registry, at this installation's time."""
        return Registry(self.database, self.clock)

    def make_database(self) -> None:
        """Make an empty state database of this release."""
        make_database(self.folder / "state.db")

    def __call__(self, *arguments: str, stdin: Any = None) -> Result:
        """Run a command, with ``stdin`` as JSON; an expected error is in ``exception``."""
        given = None if stdin is None else json.dumps(stdin)
        return run_command(self.path, *arguments, stdin=given)

    def json(self, *arguments: str, stdin: Any = None) -> Any:
        """Run a command that must succeed and return its JSON."""
        result = self(*arguments, "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def close(self) -> None:
        """Close the state database, if it was opened."""
        if "database" in self.__dict__:
            self.database.dispose()
