"""A client that does not read costs a bounded amount, and cannot stay beyond the end of its session."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stonechat.messaging.v1 import messaging_service_pb2 as api
from svc.kernel.errors import DeviceRevoked
from svc.kernel.identity import TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.messaging.session import Session
from svc.messaging.stream import FrameReader
from svc.messaging.wire import to_frame
from tests.messaging.world import ALICE, World, identity, open_world

QUEUE_BYTES = 16 * 1024
HELLO = api.ConnectRequest(hello=api.Hello()).SerializeToString()
REFUSED = api.ConnectRequest(request_id=1, send=api.SendMessageRequest(to="x")).SerializeToString()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, session_queue_bytes=QUEUE_BYTES) as opened:
        yield opened


async def _no_keys() -> str:
    raise AssertionError("nobody asks for keys here")


async def test_whoever_does_not_read_the_answers_is_not_read(world: World):
    """However many refused frames a client sends: while their answers are not taken, no more frames are."""
    session = world.node.enter(identity(ALICE))
    taken = 0

    async def frames() -> AsyncIterator[bytes]:
        nonlocal taken
        yield HELLO
        while True:
            taken += 1
            yield REFUSED

    verifier = TokenVerifier(_no_keys, world.clock)
    reader = FrameReader(world.node, to_frame, verifier, RateLimiter(world.clock), Rate(1e9, 1e9), 100)
    reading = asyncio.create_task(reader.read(session, frames()))
    async with asyncio.timeout(20):
        before = -1
        while taken == 0 or taken != before:
            before = taken
            for _ in range(100):
                await asyncio.sleep(0)
    assert session.outbox.size < QUEUE_BYTES
    session.outbox.take()
    async with asyncio.timeout(20):
        while taken == before:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
    session.end()
    await asyncio.wait_for(reading, 20)
    assert not reading.cancelled()


async def test_a_writer_that_waits_for_a_client_that_does_not_read_is_let_go(world: World):
    """The end of a session does not wait for the client to take it: after a while the call itself ends."""
    left = asyncio.Event()
    opened: list[Session] = []

    async def call() -> None:
        async with world.node.session(identity(ALICE)) as session:
            opened.append(session)
            try:
                await asyncio.Event().wait()  # as a write does that flow control has stopped
            finally:
                left.set()

    carried = asyncio.create_task(call())
    await asyncio.sleep(0)
    opened[0].end(DeviceRevoked("signed out"))
    async with asyncio.timeout(20):
        while not left.is_set():
            world.clock.advance(1.0)
            await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await carried
