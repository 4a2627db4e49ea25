"""The first schema."""

from alembic import op

from admittance.server.audit.triggers import create_triggers
from admittance.server.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    create_triggers(op.get_bind())
