"""The certificates by which clients prove themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("oauth_clients", sa.Column("certificate", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("oauth_clients", "certificate")
