"""An owner that gets nowhere while its back ends answer starts over (protocol O2); one that had nothing to do does not."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from svc.delivery.owner import STALL_SECONDS, Owner, StalledError
from svc.delivery.wire import ProtoEncoder
from svc.kernel.eventlog import EVENTS
from tests.contracts.owner import PARTITIONS, open_stand, until
from tests.messaging.world import StepClock


class Held:
    """A back end, one method of which returns only when the gate is open."""

    def __init__(self, real, method, applies=lambda *arguments: True):
        self._real, self._method, self._applies = real, method, applies
        self.waits = asyncio.Event()
        self.gate = asyncio.Event()

    def __getattr__(self, name):
        return self._hold if name == self._method else getattr(self._real, name)

    async def _hold(self, *arguments):
        if self._applies(*arguments):
            self.waits.set()
            await self.gate.wait()
        return await getattr(self._real, self._method)(*arguments)


@asynccontextmanager
async def serving(stand, log, store):
    """An owner, its task and the clock by which it watches itself."""
    clock = StepClock()
    owner = Owner(log, store, ProtoEncoder(clock, stand.ids), clock, stand.tracer, stand.coordination)
    claims = [await stand.coordination.claim(partition, stand.instance) for partition in range(PARTITIONS)]
    await owner.take([claim for claim in claims if claim is not None])
    task = asyncio.create_task(owner.run())
    await looks(owner, task, clock, 1)
    try:
        yield owner, task, clock
    finally:
        task.cancel()
        await asyncio.wait([task])


async def looks(owner, task, clock, times):
    """Let it look at itself once a second, so many times."""
    for _ in range(times):
        async with asyncio.timeout(10):
            while not clock._sleepers and not task.done():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.001)
        clock.advance(1.0)


async def test_a_record_after_a_long_silence_is_no_stall(tmp_path):
    async with open_stand(tmp_path) as stand:
        store = Held(stand.store, "write")
        async with serving(stand, stand.log, store) as (owner, task, clock):
            await looks(owner, task, clock, 2 * int(STALL_SECONDS))
            await stand.append(stand.record("d.u1.u2"))
            await store.waits.wait()
            await looks(owner, task, clock, 3)
            store.gate.set()
            await stand.heads("d.u1.u2", 1)
            assert not task.done()


@pytest.mark.parametrize("step", ["store", "announce"])
async def test_an_owner_that_gets_nowhere_starts_over(tmp_path, step):
    async with open_stand(tmp_path) as stand:
        log, store = stand.log, stand.store
        if step == "store":
            held = store = Held(store, "write")
        else:
            held = log = Held(log, "append", lambda topic, entries: topic == EVENTS)
        async with serving(stand, log, store) as (owner, task, clock):
            await stand.append(stand.record("d.u1.u2"))
            await held.waits.wait()
            await looks(owner, task, clock, int(STALL_SECONDS) + 5)

            async def ended():
                return task.done()

            await until(ended)
            with pytest.raises(StalledError):
                await task
