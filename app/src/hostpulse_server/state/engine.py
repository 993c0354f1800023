"""Opens the state database, with the two kinds of transaction on it.

SQLite is the default and PostgreSQL is possible, so nothing here or in the registry uses SQL that
only one of them knows; what SQLite needs beyond that (pragmas, BEGIN IMMEDIATE) is set here.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from hostpulse_server.errors import ConfigError, StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

BUSY_TIMEOUT_MS = 10_000
_WRITE = "hostpulse_write"


def open_engine(url: str) -> Engine:
    """Return an engine for a state database URL; connects only when it is used.

    Raises ConfigError for a URL that is malformed, names an in-memory SQLite database (which no
    second process could see) or needs a driver that is not installed. The message never holds the
    URL's password.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise ConfigError(
            "state.url is not a database URL; write sqlite:////absolute/path or "
            "postgresql+psycopg://user@host/database"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        return _create(parsed, pool_pre_ping=True)
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError("state.url must name a file: sqlite:////var/lib/hostpulse/state.db")
    engine = _create(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _create(url: sa.URL, **options: Any) -> Engine:
    """Create the engine; 16 api threads share at most 20 connections."""
    shown = url.render_as_string(hide_password=True)
    try:
        return sa.create_engine(url, pool_size=4, max_overflow=16, pool_timeout=10, **options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            f"state.url {shown} needs a database driver that is not installed ({error}); "
            "install it beside hostpulse-server"
        ) from None


def _set_pragmas(connection: Any, _record: object) -> None:
    # The driver's own transactions start too late (at the first write) to take the lock early.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A read transaction that turns to writing fails at once with SQLITE_BUSY when another process
    # wrote in between, whatever the busy timeout; IMMEDIATE waits for the lock up front.
    mode = "IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")


def sqlite_path(engine: Engine) -> Path | None:
    """Return the file of a SQLite state database, ``None`` for another kind."""
    if engine.url.get_backend_name() != "sqlite":
        return None
    return Path(str(engine.url.database))


def make_file(path: Path) -> None:
    """Create an empty database file, 0600 and owned by the owner of its directory.

    Without this a database that root makes (``servers apply`` in a playbook) could not be opened by
    the service's own user.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateUnavailableError(
            f"cannot create the state database {path}: {error.strerror}"
        ) from None
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(handle, owner.st_uid, owner.st_gid)
    finally:
        os.close(handle)


@contextmanager
def _unavailable(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        if isinstance(error, sa.exc.IntegrityError):
            raise
        reason = str(error.orig) if isinstance(error, DBAPIError) else "no connection is free"
        where = engine.url.render_as_string(hide_password=True)
        raise StateUnavailableError(
            f"the state database {where} does not answer: {reason}"
        ) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Yield a session on one consistent view; raises StateUnavailableError."""
    with _unavailable(engine), Session(engine, autoflush=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Yield a session that holds the write lock; commits at the end, rolls back on any error.

    Raises StateUnavailableError when the lock or the database cannot be had.
    """
    locked = engine.execution_options(**{_WRITE: True})
    with _unavailable(engine), Session(locked) as session, session.begin():
        yield session


def ping(engine: Engine) -> None:
    """Return if the database answers and has its tables; raise StateUnavailableError otherwise.

    SQLite makes a missing file anew, and an empty one would answer, too.
    """
    with reading(engine) as session:
        session.execute(sa.text("SELECT revision FROM registry_revision"))
