"""A session with Redis answers or refuses within its deadline, whatever becomes of the server, and comes back by itself."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from svc.backends.breaker import FAILURES
from svc.backends.redis import Client, Redis, open_redis
from svc.backends.redis_buckets import RedisBuckets
from svc.delivery.adapters.redis import RedisHeads
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.limits import Rate, Spent
from tests.real import address, private_backends, unique

pytestmark = pytest.mark.real


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Redis]:
    async with open_redis(addresses.parse(addresses.REDIS, url), SystemClock()) as redis:
        yield redis


async def put(redis: Redis, name: str, value: str) -> None:
    async def question(client: Client) -> None:
        await client.set(redis.key(name), value)

    await redis.ask("put", question)


async def get(redis: Redis, name: str) -> str | None:
    async def question(client: Client) -> bytes | None:
        found: bytes | None = await client.get(redis.key(name))
        return found

    found = await redis.ask("get", question)
    return None if found is None else found.decode()


async def until_it_answers(redis: Redis) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await get(redis, "anything")
                return
            except Unavailable:
                await asyncio.sleep(0.05)


async def until_all_serve(redis: Redis) -> None:
    """Wait until each node of a young cluster knows that it is one."""
    for number in range(30):
        async with asyncio.timeout(30):
            while True:
                try:
                    await put(redis, f"{{{number}}}:x", f"{{{number}}}:x")
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)


async def until_refused_at_once(redis: Redis) -> None:
    for _ in range(FAILURES):
        with pytest.raises(Unavailable):
            await get(redis, "anything")
    with pytest.raises(Unavailable, match=r"^Redis does not answer$"):
        await get(redis, "anything")


async def test_keys_are_below_the_installation_s_name():
    """Two installations on one Redis do not see each other."""
    async with session(address("redis", unique("a"))) as one, session(address("redis", unique("b"))) as other:
        await put(one, "x", "1")
        assert (await get(one, "x"), await get(other, "x")) == ("1", None)
        await one.ask("remove", lambda client: client.delete(one.key("x")))


async def test_a_call_that_is_cancelled_never_leaves_its_answer_to_another():
    """However many are given up in the middle."""
    async with session(address("redis", unique("cancelled"))) as redis:
        for number in range(20):
            await put(redis, f"k{number}", f"v{number}")
        for give_up in range(8):
            asked = [asyncio.create_task(get(redis, f"k{number}")) for number in range(20)]
            for _ in range(give_up):
                await asyncio.sleep(0)
            for task in asked[::2]:
                task.cancel()
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert answers[1::2] == [f"v{number}" for number in range(1, 20, 2)]
        for number in range(20):
            assert await get(redis, f"k{number}") == f"v{number}"
            await redis.ask("remove", lambda client, number=number: client.delete(redis.key(f"k{number}")))  # type: ignore[misc]


async def test_a_server_that_hangs_is_given_up_and_then_not_waited_for(tmp_path: Path):
    """When it goes on, so do calls, and each gets its own answer."""
    async with private_backends(tmp_path, "redis") as backends, session(backends.address("redis")) as redis:
        await put(redis, "x", "1")
        await backends.pause("redis")
        await until_refused_at_once(redis)
        await backends.resume("redis")
        await until_it_answers(redis)
        await put(redis, "y", "2")
        assert (await get(redis, "x"), await get(redis, "y")) == ("1", "2")


async def test_a_server_that_dies_and_comes_back_empty(tmp_path: Path):
    """Is asked again by itself."""
    async with private_backends(tmp_path, "redis") as backends, session(backends.address("redis")) as redis:
        await put(redis, "x", "1")
        await backends.kill("redis")
        await until_refused_at_once(redis)
        await backends.start("redis")
        await until_it_answers(redis)
        assert await get(redis, "x") is None


async def test_a_server_that_comes_later_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A process starts without it, and says so once."""
    async with private_backends(tmp_path, "redis") as backends:
        await backends.stop("redis")
        async with session(backends.address("redis")) as redis:
            assert [record.levelname for record in caplog.records if "Redis" in record.message] == ["WARNING"]
            await until_refused_at_once(redis)
            await backends.start("redis")
            await until_it_answers(redis)


async def test_a_server_that_does_not_let_us_in_stops_the_start(tmp_path: Path):
    """With what to correct; with the right words we are in."""
    async with private_backends(tmp_path, "redis") as backends:
        url = backends.address("redis")
        async with session(url) as redis:
            await redis.ask("set up", lambda client: client.acl_setuser("chat", enabled=True, passwords="+pa:ss", keys="*",
                                                                        categories=["+@all"]))  # fmt: skip
            await redis.ask("set up", lambda client: client.config_set("requirepass", "secret"))
        for wrong in (url, url.replace("redis://", "redis://chat:wrong@")):
            with pytest.raises(StartError, match=r"does not let us in .* correct STONECHAT_REDIS"):
                async with session(wrong):
                    pass
        async with session(url.replace("redis://", "redis://chat:pa%3Ass@")) as redis:
            await put(redis, "x", "1")


async def test_several_servers_must_be_a_cluster():
    """Else it is not clear who has what."""
    url = address("redis", "none")
    host = url.removeprefix("redis://").partition("/")[0]
    with pytest.raises(StartError, match="no cluster"):
        async with session(f"redis://{host},{host}/none"):
            pass


async def test_a_cluster_is_known_by_asking_any_of_it(tmp_path: Path):
    """What shares its braces lies together; when one of three dies, the others answer on."""
    async with private_backends(tmp_path, "redis3") as backends:
        url = backends.address("redis3")
        first = url.removeprefix("redis://").partition(",")[0]
        async with session(f"redis://{first}/one"), session(url) as redis:
            await until_all_serve(redis)
            names = [f"{{{number}}}:x" for number in range(30)]
            assert [await get(redis, name) for name in names] == names
            both = [redis.key(name) for name in ("{7}:x", "{7}:y")]
            assert await redis.ask("both", lambda client: client.mget(both)) == [b"{7}:x", None]
            await backends.kill("redis3-2")
            outcomes = await asyncio.gather(*(get(redis, name) for name in names), return_exceptions=True)
            answered = [outcome for outcome in outcomes if isinstance(outcome, str)]
            refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
            assert len(answered) + len(refused) == len(names)
            assert set(answered) <= set(names)
            assert refused
            await backends.start("redis3-2")
            await until_it_answers(redis)


@asynccontextmanager
async def server_behind_tls(folder: Path) -> AsyncIterator[tuple[str, Path]]:
    """Where it listens, and the certificate that it shows."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *names]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    secured = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate]
    quiet = ["--save", "", "--dir", folder, "--tls-auth-clients", "no", "--logfile", folder / "log"]
    server = await asyncio.create_subprocess_exec(
        "redis-server", "--bind", "127.0.0.1", "--port", "0", "--tls-port", str(port), *secured, *quiet
    )
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        yield f"127.0.0.1:{port}", certificate
    finally:
        server.terminate()
        await server.wait()


async def test_what_is_kept_in_redis_is_kept_in_a_cluster(tmp_path: Path):
    """Each thing in one place, many things in many."""
    async with private_backends(tmp_path, "redis3") as backends, session(backends.address("redis3", "one")) as redis:
        await until_all_serve(redis)
        heads = RedisHeads(redis)
        for partition in range(8):
            await heads.write(f"0.{partition}", 0, 5, 5, {"a": partition + 1, "b": 1})
        assert [await heads.read(f"0.{number}", ["b", "a"]) for number in range(8)] == [
            (5, {"b": 1, "a": number + 1}) for number in range(8)
        ]
        rate = Rate(per_second=0.001, burst=100)
        spent = [Spent(f"u{number}", "Send", rate, number) for number in range(50)]
        levels = await RedisBuckets(redis).spend(spent)
        assert levels == pytest.approx([100 - number for number in range(50)], abs=0.5)


async def test_a_server_behind_tls_is_checked(tmp_path: Path):
    """One that shows what nobody signed stops the start."""
    async with server_behind_tls(tmp_path) as (place, certificate):
        async with session(f"redis://{place}?ca={certificate}") as redis:
            await put(redis, "x", "1")
            assert await get(redis, "x") == "1"
        with pytest.raises(StartError, match="cannot be trusted"):
            async with session(f"redis://{place}?tls=on"):
                pass
        with pytest.raises(StartError, match="a file that STONECHAT_REDIS names"):
            async with session(f"redis://{place}?ca={tmp_path}/missing.pem"):
                pass
