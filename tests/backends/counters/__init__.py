"""Tables of two versions, for the tests of whatever leads from one to the other."""

from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, Table

from svc.backends.sql import Schema
from svc.backends.sql_columns import blob, key_text

SCHEMA = Schema("things", 1, Path(__file__).parent)
NEWER = Schema("things", 2, Path(__file__).parent)
METADATA = MetaData()
COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", key_text(32), primary_key=True),
    Column("value", Integer, nullable=False),
    Column("ballast", blob()),
)
