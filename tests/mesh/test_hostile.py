"""Clients that mean no good, or that are only broken: they hurt nobody but themselves, and leave nothing behind."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

import svc.messaging.node
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance import people as crowd
from stonechat_conformance.contract import METHODS
from stonechat_conformance.device import Device
from stonechat_conformance.patience import Patience
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.model import headers
from stonechat_conformance.surfaces.native import CONNECT
from stonechat_conformance.surfaces.native import refused as refused_of
from stonechat_conformance.surfaces.rest import STREAM
from stonechat_conformance.surfaces.web import frame
from svc.app import product
from svc.kernel.settings import for_tests
from tests.mesh.bystanders import bystanders
from tests.mesh.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTENT = "x" * 16_000
FLOOD = 400  # messages: 6.4 MB, more than all buffers between a session's queue and its client
SECONDS = 20.0
STREAMS = {"connect": 500, "grpc-web": 100, "grpc-web-text": 100, "rest+sse": 100}
SUBSCRIBE = METHODS[messaging.SubscribeRequest].path


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def others(people: People) -> AsyncIterator[None]:
    async with bystanders(people):
        yield


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is true of the server."""
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process: nothing tells us
            await asyncio.sleep(0.05)


def streams(server: Product) -> dict[str, float]:
    """Streams that are open, by method."""
    return {name: count for name, count in server.metrics().items() if name.startswith("stonechat_open_streams")}


@contextlib.asynccontextmanager
async def deaf(people: People, device: Device, surface: str) -> AsyncIterator[None]:
    """A session of a device whose client never reads."""
    if surface == "connect":
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        async with grpc.aio.insecure_channel(people.url.removeprefix("http://"), options=options) as channel:
            stream = channel.stream_stream(CONNECT)(metadata=tuple(headers(device.token).items()))
            await stream.write(messaging.ConnectRequest(hello=messaging.Hello()).SerializeToString())
            await stream.read()
            yield
            stream.cancel()
    else:
        web = surface == "grpc-web"
        body = frame(b"") if web else b""
        kind = "content-type: application/grpc-web+proto\r\n" if web else ""
        line = f"POST {SUBSCRIBE}" if web else f"GET {STREAM}"
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            host, _, port = people.url.removeprefix("http://").rpartition(":")
            await loop.sock_connect(client, (host, int(port)))
            head = f"{line} HTTP/1.1\r\nhost: x\r\n{kind}authorization: Bearer {device.token}\r\n"
            await loop.sock_sendall(client, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await loop.sock_recv(client, 64)
            yield


@pytest.mark.parametrize("surface", ["connect", "grpc-web", "rest+sse"])
async def test_who_never_reads_loses_nothing_and_costs_little(people: People, server: Product, surface: str):
    alice = await people.sign_in(await people.register(), "grpc+poll")
    name = await people.register()
    bob, listening = await people.sign_in(name, surface), await people.device("connect", name)
    await alice.send(bob.user_id, CONTENT)
    overflows = server.metrics()["stonechat_session_overflows_total"]
    envoy = await server.envoy.stat("server.memory_allocated")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(deaf(people, bob, surface))
        for _ in range(FLOOD - 1):
            await alice.send(bob.user_id, CONTENT)
        await until(
            lambda: server.metrics()["stonechat_session_overflows_total"] >= overflows + 4, "all four are behind"
        )
        # Had Envoy no bound, four times 6.4 MB would wait in it.
        assert await server.envoy.stat("server.memory_allocated") - envoy < 4_000_000
    # The other device of the same user has them all, in order.
    await listening.until(lambda: len(listening.messages(direct(alice, bob))) == FLOOD, "the whole flood")


async def test_who_reads_again_is_told_where_to_pull(people: People):
    alice = await people.sign_in(await people.register(), "grpc+poll")
    bob = await people.sign_in(await people.register(), "connect")
    await alice.send(bob.user_id, CONTENT)
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(people.url.removeprefix("http://"), options=options) as channel:
        stream = channel.stream_stream(CONNECT)(metadata=tuple(headers(bob.token).items()))
        await stream.write(messaging.ConnectRequest(hello=messaging.Hello()).SerializeToString())
        await stream.read()
        for _ in range(FLOOD - 1):
            await alice.send(bob.user_id, CONTENT)
        await alice.send(bob.user_id, "are you back?")
        # Pushed without a hole, told of what was not pushed, and what comes after that is pushed again.
        last, behinds = 1, 0
        while last < FLOOD + 1:
            for event in messaging.ConnectResponse.FromString(await stream.read()).events:
                if event.conversation_event.conversation_id.startswith("d."):
                    assert event.conversation_event.seq == last + 1
                    last += 1
                elif event.behind.conversation_id.startswith("d."):
                    assert event.behind.last_seq > last
                    last, behinds = event.behind.last_seq, behinds + 1
        assert last == FLOOD + 1
        assert behinds >= 1
        stream.cancel()


@pytest.mark.parametrize("surface", list(STREAMS))
async def test_who_comes_and_goes_leaves_nothing_behind(people: People, server: Product, surface: str):
    device = await people.sign_in(await people.register(), surface)
    before, sessions = streams(server), server.metrics()["stonechat_sessions"]
    envoy_before = await server.envoy.stat("http.edge.downstream_rq_active")
    for half in range(2):
        rss = server.rss_kb()
        for _ in range(STREAMS[surface] // 2):
            async with contextlib.aclosing(device.surface.listen(device.token, device.place)) as batches:
                await anext(batches)
        if half:
            assert server.rss_kb() - rss < 8_000
    await until(lambda: streams(server) == before, "no stream is left")
    # An event stream may be resumed by its cursor for a minute; a user has no more than 16 of those.
    kept = 16 if surface == "rest+sse" else 0
    await until(lambda: server.metrics()["stonechat_sessions"] <= sessions + kept, "no session is left")
    assert await server.envoy.stat("http.edge.downstream_rq_active") <= envoy_before + 1


async def test_who_stops_sending_is_let_go(people: People):
    device = await people.sign_in(await people.register(), "connect")
    for frames in ([], [messaging.ConnectRequest(hello=messaging.Hello()).SerializeToString()]):
        stream = people.network.channel.stream_stream(CONNECT)(metadata=tuple(headers(device.token).items()))
        for raw in frames:
            await stream.write(raw)
        await stream.done_writing()
        async with asyncio.timeout(SECONDS):
            while await stream.read() is not grpc.aio.EOF:
                pass
            assert await stream.code() == grpc.StatusCode.OK


async def test_more_sends_than_a_session_may_have_in_flight(people: People):
    alice, bob = await people.two("connect")
    surface: Any = alice.surface
    sends = [
        messaging.SendMessageRequest(to=bob.user_id, content="hi", type="text", client_message_id=f"k{number}")
        for number in range(400)
    ]
    results = await asyncio.gather(*(surface.ask(messaging.ConnectRequest(send=send)) for send in sends))
    sent = [result.sent.seq for result in results if result.HasField("sent")]
    assert sorted(sent) == list(range(1, len(sent) + 1))
    for result in results:
        assert result.HasField("sent") or "wait for their answers" in result.error.message
    await bob.until(lambda: len(bob.messages(direct(alice, bob))) == len(sent), "what was acknowledged, and no more")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svc.messaging.node, "GREETING_SECONDS", 0.1)


async def test_who_never_says_hello_is_let_go(tmp_path: Path, impatient: None):
    died: list[BaseException] = []
    async with (
        product(for_tests(tmp_path, listen="http://127.0.0.1:0"), died.append) as running,
        crowd.server(running.url, Patience()) as tested,
        crowd.people(tested) as people,
    ):
        device = await people.sign_in(await people.register(), "connect")
        stream = people.network.channel.stream_stream(CONNECT)(metadata=tuple(headers(device.token).items()))
        async with asyncio.timeout(SECONDS):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await stream.read()
        assert refused_of(ended.value) == Refused("FAILED_PRECONDITION", "PROTOCOL_VIOLATION", ("hello",))
    assert died == []
