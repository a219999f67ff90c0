"""TLS to MySQL: a real server with a certificate, and one without."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from svc.backends.sql import open_sql
from svc.backends.sql_mysql import migrate
from svc.kernel.errors import StartError
from tests.backends.counters import SCHEMA
from tests.backends.test_cassandra_tls import sign
from tests.tables import command, database, parsed

pytestmark = pytest.mark.real


@asynccontextmanager
async def mariadb(folder: Path, host: str, options: Sequence[str]) -> AsyncIterator[str]:
    """A server with a user that may come by TLS only; its URL without options."""
    data = ["--no-defaults", f"--datadir={folder / 'data'}", "--user=root"]
    making = await asyncio.create_subprocess_exec(
        "mariadb-install-db", *data, "--auth-root-authentication-method=normal", stdout=asyncio.subprocess.DEVNULL
    )
    assert await making.wait() == 0
    first = folder / "first.sql"
    users = ["root@'%'", "tls@'%' identified by 'secret' require ssl"]
    lines = [f"create user {user};\ngrant all on *.* to {user.split()[0]};\n" for user in users]
    await asyncio.to_thread(first.write_text, "".join(lines))
    process = await asyncio.create_subprocess_exec(
        "mariadbd", *data, f"--bind-address={host}", "--port=3306", f"--socket={folder / 's'}", f"--init-file={first}",
        "--pid-file=pid", "--innodb-buffer-pool-size=16M", "--skip-name-resolve", *options, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await command(f"mysql://root@{host}/", "SELECT 1")
                    break
                except Exception:
                    assert process.returncode is None
                    await asyncio.sleep(0.1)
        yield f"mysql://tls:secret@{host}/things"
    finally:
        process.terminate()
        await process.wait()


async def test_tls_is_used_and_the_server_must_show_who_it_is(tmp_path: Path) -> None:
    """By a certificate of the authority that is named, for the host that is named."""
    host = f"127.{16 + secrets.randbelow(200)}.{secrets.randbelow(256)}.1"
    authority, stranger = sign(tmp_path, "authority"), sign(tmp_path, "stranger")
    shown = sign(tmp_path, "server", authority, host)
    options = [f"--ssl-cert={shown.file}", f"--ssl-key={shown.key_file}", f"--ssl-ca={authority.file}"]
    async with mariadb(tmp_path, host, options) as url:
        await migrate(parsed(f"{url}?ca={authority.file}"), [SCHEMA])
        async with open_sql(parsed(f"{url}?ca={authority.file}"), SCHEMA) as sql, sql.read() as connection:
            assert (await connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'"))).one()[1]
        for wrong in (f"ca={stranger.file}", "tls=on"):
            with pytest.raises(StartError, match="CERTIFICATE_VERIFY_FAILED"):
                async with open_sql(parsed(f"{url}?{wrong}"), SCHEMA):
                    pass
        with pytest.raises(StartError, match="refuses the user of STONECHAT_MYSQL"):
            async with open_sql(parsed(url), SCHEMA):
                pass
        with pytest.raises(StartError, match="a TLS file of STONECHAT_MYSQL cannot be used"):
            async with open_sql(parsed(f"{url}?ca={tmp_path / 'missing'}"), SCHEMA):
                pass


async def test_nothing_is_sent_in_the_clear_where_tls_is_wanted() -> None:
    """The shared server has none."""
    async with database() as url:
        await migrate(parsed(url), [SCHEMA])
        with pytest.raises(StartError, match="TLS is wanted, the server has none"):
            async with open_sql(parsed(f"{url}?tls=on"), SCHEMA):
                pass
