"""The second: another column."""

from sqlalchemy import Column, Integer

revision = "2"
down_revision = "1"


def upgrade(op):
    op.add_column("counters", Column("step", Integer, nullable=False, server_default="1"))
