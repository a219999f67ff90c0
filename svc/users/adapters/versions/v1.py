"""Accounts, devices, keys, and the outbox that tells of sign-outs."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey

from svc.backends.sql_columns import blob, counted_id, fixed_bytes, free_text, key_text
from svc.backends.sql_schema import create_index

revision = "1"
down_revision = None


def upgrade(op: Operations) -> None:
    """To version 1."""
    op.create_table(
        "users",
        Column("user_id", key_text(20), primary_key=True),
        Column("username", key_text(32), nullable=False, unique=True),
        Column("display_name", free_text(100), nullable=False),
        Column("created_us", BigInteger, nullable=False),
        Column("password_hash", key_text(255), nullable=False),
        Column("client_request_id", key_text(64), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "devices",
        Column("device_id", key_text(20), primary_key=True),
        Column("user_id", key_text(20), ForeignKey("users.user_id"), nullable=False),
        Column("name", free_text(100), nullable=False),
        Column("created_us", BigInteger, nullable=False),
        Column("refreshed_us", BigInteger, nullable=False),
        Column("signed_out", Boolean, nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("digest", fixed_bytes(32), nullable=False),
        Column("exchanges", key_text(2_500), nullable=False),
        if_not_exists=True,
    )
    create_index(op, "devices_by_age", "devices", ["user_id", "created_us", "device_id"])
    op.create_table(
        "signing_keys",
        Column("key_id", key_text(16), primary_key=True),
        Column("private", fixed_bytes(32), nullable=False),
        Column("created_us", BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "secrets",
        Column("name", key_text(32), primary_key=True),
        Column("value", fixed_bytes(32), nullable=False),
        if_not_exists=True,
    )
    # Files were made before groups and users could share a database.
    op.create_table(
        "outbox" if op.get_bind().dialect.name == "sqlite" else "users_outbox",
        Column("id", counted_id(), primary_key=True, autoincrement=True),
        Column("conversation_id", key_text(64), nullable=False),
        Column("record", blob(), nullable=False),
        Column("created_us", BigInteger, nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
