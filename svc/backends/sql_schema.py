"""The tables of a service and their versions, on SQLite and MySQL alike: Alembic, without its global `op`.

A version is a module `v<n>.py` with `revision = "<n>"`, `down_revision` and `upgrade(op)`. On MySQL each statement of DDL is
stored by itself, so an upgrade must be able to run again from its beginning; on SQLite all of them are one transaction.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect

if TYPE_CHECKING:
    from alembic.operations import Operations


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables that one service keeps, in a database that it may share: the tables' names are its own. `version` is the one
    that this program needs, `versions` the folder of the modules that lead there."""

    name: str
    version: int
    versions: Path

    @property
    def version_table(self) -> str:
        """Where the version that a database has is kept: one row, `version_num`."""
        return f"{self.name}_schema"


def upgrade(connection: Connection, schema: Schema, found: int) -> None:
    """Lead the tables from version `found` (0: there are none) to the newest. Blocks."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # whoever asked for this tells of it
    # Here, because loading them takes half a second, and most starts have nothing to do.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(schema.versions), version_locations=[str(schema.versions)])
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": schema.version_table,
            "transactional_ddl": connection.dialect.name == "sqlite",
            "fn": lambda current, _: scripts._upgrade_revs(str(schema.version), current),
        },
    )
    with context.begin_transaction():
        if found and not context.get_current_heads():
            context.stamp(scripts, str(found))
        context.run_migrations(op=Operations(context))


def create_index(op: "Operations", name: str, table: str, columns: Sequence[str]) -> None:
    """As `op.create_index`, unless it is there: MySQL cannot be asked for that in its SQL."""
    if name not in {index["name"] for index in inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)
