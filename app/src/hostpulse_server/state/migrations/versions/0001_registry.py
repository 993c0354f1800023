"""Servers, keys, what agents say about their hosts, and the registry's revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the registry."""
    revision_table = op.create_table(
        "registry_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry_revision"),
    )
    op.bulk_insert(revision_table, [{"id": 1, "revision": 1}])
    op.create_table(
        "servers",
        sa.Column("id", sa.String(253), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("address", sa.String(253), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("allow_from", sa.JSON(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("machine", sa.String(128), nullable=True),
        sa.Column("machine_key", sa.Integer(), nullable=True),
        sa.Column("conflict_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
    )
    _create_keys()
    op.create_table(
        "server_facts",
        sa.Column("server_id", sa.String(253), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("agent_version", sa.String(64), nullable=True),
        sa.Column("clock_offset_ms", sa.BigInteger(), nullable=True),
        sa.Column("interval_ms", sa.BigInteger(), nullable=True),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", name="pk_server_facts"),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_server_facts_server_id", ondelete="CASCADE"
        ),
    )


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("server_id", sa.String(253), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_keys"),
        sa.UniqueConstraint("id", name="uq_keys_id"),
        sa.UniqueConstraint("sha256", name="uq_keys_sha256"),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_keys_server_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_keys_server_id", "keys", ["server_id"])


def downgrade() -> None:
    """Refuse: a rollback of the program runs on the schema it finds or restores a backup."""
    raise NotImplementedError
