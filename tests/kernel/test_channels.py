"""Calls between services: every instance in its turn, and the next one when one of them cannot answer."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from svc.kernel import channels as channels_module
from svc.kernel.channels import Channels
from svc.kernel.errors import StonechatError, Unavailable
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.status import DETAILS_KEY, to_status


class Far:
    """An instance of a service: answers with its name, unless it is told otherwise."""

    def __init__(self, name: str, registry: ProcessRegistry) -> None:
        self.name = name
        self.hangs = False
        self.asked = asyncio.Event()
        self.error: StonechatError | None = None
        self.instance = Instance("", name)
        self._registry = registry
        self._server: Any = None

    async def start(self) -> None:
        method = grpc.unary_unary_rpc_method_handler(self._call)
        self._server = grpc.aio.server(
            handlers=[grpc.method_handlers_generic_handler("far.Service", {"Call": method})],
            options=[("grpc.so_reuseport", 0)],
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.instance = Instance(f"127.0.0.1:{port}", self.name)
        await self._registry.register("far", self.instance)

    async def stop(self) -> None:
        await self._server.stop(grace=None)

    async def _call(self, request: bytes, context: Any) -> bytes:
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            details = ((DETAILS_KEY, to_status(self.error).SerializeToString()),)
            await context.abort(grpc.StatusCode[self.error.code], self.error.message, trailing_metadata=details)
        return self.name.encode()


class World:
    """Two instances, and who calls them."""

    def __init__(self) -> None:
        self.registry = ProcessRegistry()
        self.channels = Channels(self.registry, "inner token")
        self.one, self.two = Far("one", self.registry), Far("two", self.registry)

    async def call(self, seconds: float = 20.0) -> str:
        method = self.channels.to("far").unary_unary("/far.Service/Call")
        return str((await self.channels.call(method, b"", seconds)).decode())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.channels.close)
        for far in (world.one, world.two):
            await far.start()
            stack.push_async_callback(far.stop)
        yield world


async def test_every_instance_has_its_turn(world: World):
    """One call after the other goes round."""
    assert Counter([await world.call() for _ in range(10)]) == {"one": 5, "two": 5}


async def test_one_that_cannot_be_reached_is_not_waited_for(world: World):
    """It is still registered: calls are answered by the other, all of them."""
    await world.call()
    await world.call()
    await world.one.stop()
    assert [await world.call() for _ in range(10)] == ["two"] * 10


async def test_one_that_hangs_takes_half_of_the_time(world: World):
    """The other half is the next one's."""
    world.one.hangs = True
    assert [await world.call(4.0) for _ in range(2)] == ["two"] * 2


async def test_what_an_instance_says_itself_is_believed(world: World):
    """Another one would say the same: it is not asked."""
    world.one.error = world.two.error = Unavailable("the store cannot answer")
    with pytest.raises(Unavailable, match="the store cannot answer"):
        await world.call()
    assert world.one.asked.is_set() != world.two.asked.is_set()


async def test_without_an_instance_nobody_is_asked(world: World):
    """And the error names the service."""
    for far in (world.one, world.two):
        await world.registry.deregister("far", far.instance)
    with pytest.raises(Unavailable, match="no instance of far is up"):
        await world.call()


async def test_when_all_are_gone_the_call_is_unavailable(world: World):
    """Whatever gRPC calls it."""
    for far in (world.one, world.two):
        await far.stop()
    with pytest.raises(Unavailable):
        await world.call()


async def test_a_call_under_way_to_an_instance_that_left_is_not_a_cancellation(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Its channel is closed after a while: the call goes elsewhere, and who made it was not cancelled."""
    monkeypatch.setattr(channels_module, "_GRACE_SECONDS", 0.0)
    world.one.hangs = world.two.hangs = True
    calling = asyncio.create_task(world.call())
    async with asyncio.timeout(20):
        waiting = [asyncio.create_task(far.asked.wait()) for far in (world.one, world.two)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        first, second = (world.one, world.two) if world.one.asked.is_set() else (world.two, world.one)
        second.hangs = False
        await world.registry.deregister("far", first.instance)
        assert await calling == second.name
    for task in waiting:
        task.cancel()


async def test_the_last_that_left_is_unavailable(world: World, monkeypatch: pytest.MonkeyPatch):
    """There was nobody else."""
    monkeypatch.setattr(channels_module, "_GRACE_SECONDS", 0.0)
    await world.registry.deregister("far", world.two.instance)
    world.one.hangs = True
    calling = asyncio.create_task(world.call())
    async with asyncio.timeout(20):
        await world.one.asked.wait()
        await world.registry.deregister("far", world.one.instance)
        with pytest.raises(Unavailable):
            await calling


async def test_who_is_cancelled_is_cancelled(world: World):
    """A call does not keep its task from ending."""
    world.one.hangs = world.two.hangs = True
    calling = asyncio.create_task(world.call())
    async with asyncio.timeout(20):
        waiting = [asyncio.create_task(far.asked.wait()) for far in (world.one, world.two)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    for task in waiting:
        task.cancel()
