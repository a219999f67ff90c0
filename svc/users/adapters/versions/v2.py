"""An outbox that several instances send from, under a name of its own."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column

from svc.backends.sql_columns import key_text
from svc.backends.sql_schema import create_index

revision = "2"
down_revision = "1"


def upgrade(op: Operations) -> None:
    """To version 2."""
    if op.get_bind().dialect.name == "sqlite":
        op.rename_table("outbox", "users_outbox")
        op.execute("DROP TABLE IF EXISTS schema_version")  # of before Alembic
    op.create_table(
        "users_outbox_sweeper",
        Column("outbox", key_text(32), primary_key=True),
        Column("sweeper", key_text(32), nullable=False),
        Column("until_us", BigInteger, nullable=False),
        if_not_exists=True,
    )
    create_index(op, "users_outbox_by_conversation", "users_outbox", ["conversation_id", "id"])
