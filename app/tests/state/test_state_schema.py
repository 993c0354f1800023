"""The state database gets its schema from the package and says when it has another."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hostpulse_server import state
from hostpulse_server.errors import ConfigError, SchemaError, StateUnavailableError
from hostpulse_server.state.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine whose database does not exist yet."""
    engine = state.open_engine(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


def set_revision(engine: Engine, revision: str) -> None:
    """Pretend that the database was left by another release."""
    with state.writing(engine) as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def test_an_upgrade_makes_what_the_models_say_and_a_second_changes_nothing(engine: Engine) -> None:
    """Migrations and models agree, and upgrading is idempotent."""
    assert state.is_empty(engine)
    assert state.upgrade(engine) == (None, state.HEAD)
    assert state.upgrade(engine) == (state.HEAD, state.HEAD)
    state.require_current(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_constant_names_the_end_of_the_migrations() -> None:
    """Services compare with HEAD instead of reading all migrations."""
    migrations = Path(state.__file__).parent / "migrations"
    assert ScriptDirectory(str(migrations)).get_current_head() == state.HEAD


@pytest.mark.integration
def test_upgrades_at_the_same_time_end_well(tmp_path: Path) -> None:
    """Two services or a playbook may start at once on an empty directory."""
    program = (
        "import sys; from hostpulse_server import state\n"
        "engine = state.open_engine(sys.argv[1]); state.upgrade(engine); engine.dispose()"
    )
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/state.db"]
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(subprocess.run, command, capture_output=True, check=False) for _ in range(3)
        ]
        assert [(run.result().returncode, run.result().stderr) for run in runs] == [(0, b"")] * 3


def test_a_database_without_schema_names_the_command(engine: Engine, tmp_path: Path) -> None:
    """A service does not start on an empty database, nor does looking create one."""
    with pytest.raises(SchemaError, match="run: hostpulse-server db upgrade"):
        state.require_current(engine)
    assert list(tmp_path.iterdir()) == []


def test_an_older_schema_names_the_command(engine: Engine) -> None:
    """A service refuses an older schema and says what to run."""
    state.upgrade(engine)
    set_revision(engine, "0000")
    with pytest.raises(SchemaError, match=r"has schema 0000.*run: hostpulse-server db upgrade"):
        state.require_current(engine)


def test_a_newer_schema_that_allows_this_release_is_used_as_it_is(engine: Engine) -> None:
    """Else a release could not be rolled back across a migration without its database."""
    state.upgrade(engine)
    set_revision(engine, "9999")
    state.require_current(engine)
    assert state.upgrade(engine) == ("9999", "9999")
    assert state.needed_revision(engine) == "9999"
    with state.writing(engine) as session:
        policy = sa.text("UPDATE schema_policy SET oldest_release_schema = :r")
        session.execute(policy, {"r": state.HEAD})
    state.require_current(engine)
    assert state.current_revision(engine) == "9999"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE schema_policy SET oldest_release_schema = '9998'",
        "DELETE FROM schema_policy",
        "DROP TABLE schema_policy",
    ],
)
def test_a_newer_schema_that_does_not_is_left_alone(engine: Engine, statement: str) -> None:
    """An older program neither serves on a newer schema that says nothing for it nor touches it."""
    state.upgrade(engine)
    set_revision(engine, "9999")
    with state.writing(engine) as session:
        session.execute(sa.text(statement))
    with pytest.raises(SchemaError, match="newer than this release"):
        state.upgrade(engine)
    assert state.current_revision(engine) == "9999"


def test_a_failed_migration_leaves_the_database_as_it_was(engine: Engine, tmp_path: Path) -> None:
    """The whole upgrade is one transaction, tables included."""
    state.upgrade(engine)
    with state.writing(engine) as session:
        session.execute(sa.text("DELETE FROM alembic_version"))
    with pytest.raises(StateUnavailableError, match="already exists"):
        state.upgrade(engine)  # the tables are there, so making them fails
    assert state.current_revision(engine) is None


def test_the_file_is_private_and_belongs_to_the_owner_of_its_directory(
    engine: Engine, tmp_path: Path
) -> None:
    """What root makes in a playbook must open for the service's own user."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 1234, 1235)
    state.upgrade(engine)
    made = (tmp_path / "state.db").stat()
    assert stat.S_IMODE(made.st_mode) == 0o600
    assert (made.st_uid, made.st_gid) == (tmp_path.stat().st_uid, tmp_path.stat().st_gid)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The message says which path cannot be made."""
    engine = state.open_engine(f"sqlite:///{tmp_path}/absent/state.db")
    with pytest.raises(StateUnavailableError, match=r"cannot create .*absent/state\.db"):
        state.upgrade(engine)


def test_writing_rolls_back_on_an_error_and_the_pragmas_are_set(engine: Engine) -> None:
    """A failed change leaves nothing, and SQLite holds what it is asked to hold."""
    state.upgrade(engine)
    wrong = [sa.text("UPDATE registry_revision SET revision = 77"), sa.text("SELECT no_column")]
    with pytest.raises(StateUnavailableError), state.writing(engine) as session:
        list(map(session.execute, wrong))
    with state.reading(engine) as session:
        assert session.scalar(sa.text("SELECT revision FROM registry_revision")) == 1
        pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        for name, value in pragmas.items():
            assert session.scalar(sa.text(f"PRAGMA {name}")) == value
        assert session.scalar(sa.text("PRAGMA busy_timeout")) == 10_000


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A file that is no database is told, not replaced."""
    (tmp_path / "state.db").write_bytes(b"no database" * 100)
    engine = state.open_engine(f"sqlite:///{tmp_path}/state.db")
    with pytest.raises(StateUnavailableError, match=r"state\.db does not answer"):
        state.ping(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("no url", "not a database URL"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("postgresql+nodriver://me:hunter2@db/state", "driver that is not installed"),
    ],
)
def test_a_wrong_url_is_a_configuration_error_without_its_password(url: str, said: str) -> None:
    """The message helps and holds no password."""
    with pytest.raises(ConfigError, match=said) as caught:
        state.open_engine(url)
    assert "hunter2" not in str(caught.value)
