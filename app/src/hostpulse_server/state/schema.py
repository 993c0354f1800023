"""The schema of the state database: its version, and its upgrade to this release's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from hostpulse_server.errors import SchemaError
from hostpulse_server.state.engine import make_file, reading, sqlite_path, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

# The newest migration; a test holds it equal to the end of the chain in migrations/versions.
HEAD: Final = "0002"
_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE = "run: hostpulse-server db upgrade"


def is_empty(engine: Engine) -> bool:
    """Return whether there is no database yet: no file, or no schema in it."""
    path = sqlite_path(engine)
    if path is not None and not path.exists():
        return True
    return current_revision(engine) is None


def current_revision(engine: Engine) -> str | None:
    """Return the schema the database has, ``None`` if it has none; never creates a file."""
    path = sqlite_path(engine)
    if path is not None and not path.exists():
        return None
    with reading(engine) as session:
        if not sa.inspect(session.connection()).has_table("alembic_version"):
            return None
        found = session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def oldest_release_schema(engine: Engine) -> str | None:
    """Return the oldest ``HEAD`` that may use the database, ``None`` if it does not say."""
    with reading(engine) as session:
        if not sa.inspect(session.connection()).has_table("schema_policy"):
            return None
        found = session.execute(
            sa.text("SELECT oldest_release_schema FROM schema_policy WHERE id = 1")
        ).scalar()
    return None if found is None else str(found)


def needed_revision(engine: Engine) -> str:
    """Return the schema that the database has to have: this release's, or its own newer one.

    A newer one will do if it says so: then a release that was rolled back goes on.
    """
    found = current_revision(engine)
    if found is not None and found > HEAD:
        oldest = oldest_release_schema(engine)
        if oldest is not None and oldest <= HEAD:
            return found
    return HEAD


def require_current(engine: Engine) -> None:
    """Return if this release may use the schema; else raise SchemaError with the command to run."""
    found = current_revision(engine)
    if found == needed_revision(engine):
        return
    where = engine.url.render_as_string(hide_password=True)
    if found is None:
        raise SchemaError(f"the state database {where} has no schema yet; {_UPGRADE}")
    if found > HEAD:
        raise SchemaError(
            f"the state database {where} has schema {found}, which is newer than this release's "
            f"{HEAD} and not meant for it; use a hostpulse-server at least as new as the one that "
            "upgraded it, or restore the backup from before that"
        )
    raise SchemaError(
        f"the state database {where} has schema {found}, this release needs {HEAD}; {_UPGRADE}"
    )


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring the schema to this release's; return it as it was before and as it is now.

    One transaction: a failed or interrupted migration changes nothing, and of two upgrades at once
    the second waits and then finds nothing to do. A newer schema stays as it is, and raises
    SchemaError unless this release may use it.
    """
    from alembic import command  # noqa: PLC0415 - 0.1 s that only upgrades need
    from alembic.config import Config  # noqa: PLC0415 - as above

    path = sqlite_path(engine)
    if path is not None and not path.exists():
        make_file(path)
    before = current_revision(engine)
    if before is not None and before > HEAD:
        require_current(engine)
        return before, before
    if before != HEAD:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with writing(engine) as session:
            config.attributes["connection"] = session.connection()
            command.upgrade(config, "head")
    return before, HEAD
