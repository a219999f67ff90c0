"""`stonechat migrate`: the tables on real back ends, made or led to the version that this program needs."""

from svc.kernel import settings as settings_module
from svc.kernel.errors import FailedPrecondition


async def migrate() -> int:
    """Migrate every back end that is set; returns the exit code. May be run again, by several at once. Raises StartError."""
    settings = settings_module.load()
    cassandra, mysql = settings.cassandra_address(), settings.mysql_address()
    if cassandra is None and mysql is None:
        raise FailedPrecondition(
            "there is nothing to migrate: neither STONECHAT_CASSANDRA nor STONECHAT_MYSQL is set, and files migrate when they"
            " are opened"
        )
    if cassandra is not None:
        from svc.backends import cassandra_migrations

        done = await cassandra_migrations.migrate(cassandra)
        print(f"cassandra: keyspace {cassandra.name} {_told(done)}")
    if mysql is not None:
        from svc.backends import sql_mysql
        from svc.groups.wiring import SCHEMA as GROUPS
        from svc.users.wiring import SCHEMA as USERS

        for schema, versions in (await sql_mysql.migrate(mysql, [USERS, GROUPS])).items():
            print(f"mysql: {schema} in the database {mysql.name} {_told(versions)}")
    return 0


def _told(done: list[int]) -> str:
    return f"led to version {done[-1]}" if done else "is as it should be"
