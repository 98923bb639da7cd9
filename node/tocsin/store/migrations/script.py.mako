"""Revision ${up_revision}: ${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Forward only: going back is restoring the backup."""
    ${upgrades if upgrades else "pass"}
