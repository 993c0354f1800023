"""Run by alembic: migrate on the connection that ``state.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from hostpulse_server.state import alert_models  # noqa: F401 - its tables join Base.metadata
from hostpulse_server.state.models import Base

# transactional_ddl: alembic holds SQLite incapable of it, which is true of the driver's implicit
# transactions only; ours are explicit. Nothing is committed here but by the caller.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
