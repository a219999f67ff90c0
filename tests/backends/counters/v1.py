"""The first version of the tables that test_sql works on."""

from sqlalchemy import Column, Integer

from svc.backends.sql_columns import blob, key_text

revision = "1"
down_revision = None


def upgrade(op):
    op.create_table(
        "counters",
        Column("name", key_text(32), primary_key=True),
        Column("value", Integer, nullable=False),
        Column("ballast", blob()),
        if_not_exists=True,
    )
