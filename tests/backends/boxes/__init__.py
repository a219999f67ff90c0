"""An outbox, and things that change and are told of by it."""

from pathlib import Path

from sqlalchemy import BigInteger, Column, MetaData, Table

from svc.backends.outbox import OutboxTables
from svc.backends.sql import Schema
from svc.backends.sql_columns import key_text

SCHEMA = Schema("box", 1, Path(__file__).parent)
METADATA = MetaData()
BOXES = OutboxTables.of("boxes", METADATA)
THINGS = Table(
    "things",
    METADATA,
    Column("name", key_text(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
)
