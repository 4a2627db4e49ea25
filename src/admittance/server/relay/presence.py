"""Which node holds a device: rows that every node reads, written in batches.

Each arrival of a device raises its row's number, so of any number of connections, on whatever nodes, the one whose
row was written last is the newest, and the only one that is right. Node ids are made anew at each start of a node.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Table,
    Text,
)

from admittance.server.database import metadata

BATCH = 500
RETRY_AFTER_S = 0.5

presence = Table(
    "presence",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("node_id", Text),
    Column("since", BigInteger, nullable=False),
    Index(None, "node_id"),
)

relay_nodes = Table(
    "relay_nodes",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("beats", BigInteger, nullable=False),
)
