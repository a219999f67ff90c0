"""Redis vanishes, hangs, is wiped and comes back old under load (fault test 10): chat goes on, and all learn of everything."""

import asyncio
import shutil
from pathlib import Path

import grpc
import pytest

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from svc.backends.redis import open_redis
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from tests.faults.clients import Account, newest, rest, sign_up
from tests.faults.load import load
from tests.faults.server import until
from tests.faults.verdict import verified
from tests.real import Backends, private_backends

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


async def saved(backends: Backends, copy: Path) -> None:
    """Keep what Redis has now."""
    place = addresses.parse(addresses.REDIS, backends.address("redis"))
    async with open_redis(place, SystemClock(), 5.0) as redis:
        assert await redis.ask("keys", lambda client: client.keys("heads:*"))
        await redis.ask("save", lambda client: client.save())
    shutil.copy(backends.data("redis") / "dump.rdb", copy)


async def killed(server) -> None:
    envoy = server.envoy()
    assert envoy is not None
    server.kill_group()
    await server.gone(envoy)


async def put_back(backends: Backends, copy: Path) -> None:
    """Redis has again what it had then."""
    await backends.kill("redis")
    shutil.copy(copy, backends.data("redis") / "dump.rdb")
    await backends.start("redis")


async def told(url: str, account: Account, known: dict[str, int]) -> dict[str, int]:
    """A session says Hello with what it knows. Conversation → newest event, of those that differ from that."""
    options = [("grpc.enable_http_proxy", 0)]
    heads: dict[str, int] = {}
    async with grpc.aio.insecure_channel(url.removeprefix("http://"), options=options) as channel, asyncio.timeout(30):
        method = channel.unary_stream(
            "/stonechat.messaging.v1.MessagingService/Subscribe",
            request_serializer=messaging.SubscribeRequest.SerializeToString,
            response_deserializer=messaging.SubscribeResponse.FromString,
        )
        request = messaging.SubscribeRequest(
            known=[messaging.KnownConversation(conversation_id=name, last_seq=seq) for name, seq in known.items()]
        )
        async for answer in method(request, metadata=tuple(account.header.items())):
            for event in answer.events:
                heads |= {head.conversation_id: head.last_seq for head in event.hello_page.conversations}
                if event.hello_page.complete:
                    return heads
    raise AssertionError("the stream ended before Hello was answered")


async def test_10_a_redis_that_comes_back_old(new_server, tmp_path: Path):
    """Saved, many messages, put back, everything begun anew: a session that knows the old heads is told the true ones."""
    async with private_backends(tmp_path / "redis", "redis") as backends:
        server = new_server(REDIS=backends.address("redis"))
        await server.start()
        async with rest(server.url) as http:
            ada = await sign_up(http, "ada")
            others = [await sign_up(http, f"other{number}") for number in range(20)]

            async def write(round_: str) -> None:
                for other in others:
                    body = {"to": other.user_id, "content": round_, "type": "text"}
                    (await http.post("/v1/messages/send", json=body, headers=ada.header)).raise_for_status()

            await write("first")
            await until(lambda: _kept(backends, 20), "heads are kept")
            before = await newest(http, ada)
            await saved(backends, tmp_path / "copy.rdb")
            for number in range(20):
                await write(f"more {number}")
            after = await newest(http, ada)
            assert sum(after.values()) - sum(before.values()) == 400
        await killed(server)
        await put_back(backends, tmp_path / "copy.rdb")
        await server.start()
        moved = {name: head for name, head in after.items() if head != before.get(name)}
        assert await told(server.url, ada, before) == moved


async def _kept(backends: Backends, count: int) -> bool:
    place = addresses.parse(addresses.REDIS, backends.address("redis"))
    async with open_redis(place, SystemClock(), 5.0) as redis:
        return len(await redis.ask("keys", lambda client: client.keys("heads:*d.u*"))) >= count


async def test_redis_hangs_dies_and_is_wiped(new_server, tmp_path: Path):
    """Nobody who writes is refused for it; the owner that begins anew meanwhile does without."""
    async with private_backends(tmp_path / "redis", "redis") as backends:
        server = new_server(REDIS=backends.address("redis"))
        await server.start()
        async with load(server) as talk:
            talk.start()
            await talk.more(200)
            await backends.pause("redis")
            await talk.more(300)
            await killed(server)
            await server.start()
            await talk.more(200)
            await backends.resume("redis")
            await talk.more(200)
            await backends.kill("redis")
            await talk.more(300)
            await backends.start("redis")
            await talk.more(200)
            await put_back_under_load(backends, tmp_path / "copy.rdb", talk)
            assert server.runs()
            await verified(server, talk, "Redis hung, died, was wiped and came back old")


async def put_back_under_load(backends: Backends, copy: Path, talk) -> None:
    async with asyncio.timeout(60):
        await saved(backends, copy)
    await talk.more(200)
    await put_back(backends, copy)
    await talk.more(200)
