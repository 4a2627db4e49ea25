"""The keys to which offline tokens encrypt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("devices", sa.Column("access_spki", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("devices", "access_spki")
