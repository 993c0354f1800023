"""Tables of the state database. A change here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Root of all models; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class SchemaPolicy(Base):
    """One row, written by each migration: which older releases may go on using the database.

    ``oldest_release_schema`` is the oldest ``HEAD`` that may. Migrations add and never take away,
    so that a release can be rolled back without its database.
    """

    __tablename__ = "schema_policy"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    oldest_release_schema: Mapped[str] = mapped_column(String(32))


class RegistryRevision(Base):
    """One row, counted up by every change to servers and keys; snapshots watch it.

    Updating it first also makes writers take turns on databases with row locks.
    """

    __tablename__ = "registry_revision"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger)


class ServerRow(Base):
    """A server that may report. Times are epoch milliseconds."""

    __tablename__ = "servers"

    id: Mapped[str] = mapped_column(String(253), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    address: Mapped[str | None] = mapped_column(String(253))
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    allow_from: Mapped[list[str]] = mapped_column(JSON)
    disabled: Mapped[bool]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    # The machine this id is bound to, and the number of the key that bound it: only a key made
    # later may bind the id to another machine.
    machine: Mapped[str | None] = mapped_column(String(128))
    machine_key: Mapped[int | None] = mapped_column(Integer)
    conflict_ms: Mapped[int | None] = mapped_column(BigInteger)


class KeyRow(Base):
    """A key: its public id and the SHA-256 of its whole text, never the text."""

    __tablename__ = "keys"
    # Numbers grow for ever, so that they show which of two keys is newer.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - how SQLAlchemy reads it

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(12), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    server_id: Mapped[str | None] = mapped_column(
        ForeignKey("servers.id", ondelete="CASCADE"), index=True
    )
    created_ms: Mapped[int] = mapped_column(BigInteger)
    revoked_ms: Mapped[int | None] = mapped_column(BigInteger)


class FactsRow(Base):
    """The newest facts of a server's agent; apart, as they are large and rarely read."""

    __tablename__ = "server_facts"

    server_id: Mapped[str] = mapped_column(
        ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True
    )
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    agent_version: Mapped[str | None] = mapped_column(String(64))
    clock_offset_ms: Mapped[int | None] = mapped_column(BigInteger)
    interval_ms: Mapped[int | None] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)
