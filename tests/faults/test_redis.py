"""Redis vanishes, hangs, is wiped and comes back old under load (fault test 10): chat goes on, and all learn of everything."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from svc.backends.redis import open_redis
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from tests import real
from tests.faults.clients import Account, newest, rest, sign_up
from tests.faults.installation import BACK_ENDS, Installation
from tests.faults.load import load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified
from tests.real import Backends, private_backends

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

OTHERS = 20
"""So many people somebody writes to."""


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


@asynccontextmanager
async def on_a_redis_of_its_own(folder: Path) -> AsyncIterator[tuple[Installation, Backends]]:
    """An installation whose Redis is its own; nothing is started but that."""
    name = real.unique("faults")
    async with private_backends(folder / "redis", "redis") as backends:
        urls = {scheme: real.address(scheme, name) for scheme in BACK_ENDS if scheme != "redis"}
        installation = Installation(folder, urls | {"redis": backends.address("redis")})
        try:
            yield installation, backends
        finally:
            installation.discard()
            await installation.remove()


async def test_10_a_redis_that_comes_back_old(tmp_path: Path):
    """Saved, 1,000 messages, put back, owners restarted: sessions that know the old heads are told the true ones at once. None
    of their conversations is followed by anybody before: a node that follows one knows better than its owner."""
    async with on_a_redis_of_its_own(tmp_path) as (installation, backends):
        await installation.start()
        async with load(installation) as talk, rest(installation.url) as http:
            me = await sign_up(http, "sleeper")
            others = [await sign_up(http, f"other{number}") for number in range(OTHERS)]
            people = [me, *others]

            async def write(other: Account, texts: Iterable[str]) -> None:
                for text in texts:
                    body = {"to": other.user_id, "content": text, "type": "text", "clientMessageId": text}
                    (await http.post("/v1/messages/send", json=body, headers=me.header)).raise_for_status()

            await asyncio.gather(*(write(other, ["first"]) for other in others))
            await until(lambda: _kept(backends, OTHERS), "heads are kept")
            before = [await newest(http, account) for account in people]
            await saved(backends, tmp_path / "copy.rdb")
            await asyncio.gather(*(write(other, map(str, range(1000 // OTHERS))) for other in others))
            after = [await newest(http, account) for account in people]
            assert sum(after[0].values()) - sum(before[0].values()) == 1000

            for name in ("delivery-1", "delivery-2"):
                assert await installation[name].stop() == 0
            await put_back(backends, tmp_path / "copy.rdb")
            began = time.monotonic()
            await asyncio.gather(*(installation[name].start() for name in ("delivery-1", "delivery-2")))
            moved = [differing(now, then) for now, then in zip(after, before, strict=True)]
            assert [await told(installation.url, *known) for known in zip(people, before, strict=True)] == moved
            RECOVERIES.rows.append(("10: Redis old, owners started: all were told", time.monotonic() - began))

            talk.start()
            await talk.more(200)
            talk.accounts += people
            await verified(installation, talk, "Redis came back old")


def differing(now: dict[str, int], then: dict[str, int]) -> dict[str, int]:
    """What has moved on."""
    return {name: head for name, head in now.items() if head != then.get(name)}


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
