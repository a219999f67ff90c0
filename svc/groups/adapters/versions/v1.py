"""Groups, their members, and the outbox that tells of changes."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, SmallInteger, UniqueConstraint

from svc.backends.sql_columns import blob, counted_id, fixed_bytes, free_text, key_text
from svc.backends.sql_schema import create_index

revision = "1"
down_revision = None


def upgrade(op: Operations) -> None:
    """To version 1."""
    op.create_table(
        "chat_groups",
        Column("group_id", key_text(20), primary_key=True),
        Column("name", free_text(100), nullable=False),
        Column("member_count", Integer, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("created_us", BigInteger, nullable=False),
        Column("creator_id", key_text(20), nullable=False),
        Column("client_request_id", key_text(64)),
        Column("request_digest", fixed_bytes(32), nullable=False),
        UniqueConstraint("creator_id", "client_request_id", name="chat_groups_by_request"),
        if_not_exists=True,
    )
    op.create_table(
        "group_members",
        Column("group_id", key_text(20), primary_key=True),
        Column("user_id", key_text(20), primary_key=True),
        Column("role", SmallInteger, nullable=False),
        Column("joined_version", BigInteger, nullable=False),
        if_not_exists=True,
    )
    columns = ["group_id", "role", "joined_version", "user_id"]
    create_index(op, "group_members_by_service", "group_members", columns)
    # Files were made before groups and users could share a database.
    op.create_table(
        "outbox" if op.get_bind().dialect.name == "sqlite" else "groups_outbox",
        Column("id", counted_id(), primary_key=True, autoincrement=True),
        Column("conversation_id", key_text(64), nullable=False),
        Column("record", blob(), nullable=False),
        Column("created_us", BigInteger, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
