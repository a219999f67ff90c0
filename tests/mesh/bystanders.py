"""Two who go on talking whatever others do: they must notice nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stonechat_conformance.people import People, direct


@asynccontextmanager
async def bystanders(people: People) -> AsyncIterator[None]:
    """Question and answer, one after the other, for as long as the block lasts; each must be acknowledged and arrive."""
    alice, bob = await people.device("connect"), await people.device("grpc-web")
    talk = direct(alice, bob)
    said: list[str] = []
    done = asyncio.Event()

    async def say(content: str) -> None:
        sender, receiver = (alice, bob) if len(said) % 2 == 0 else (bob, alice)
        said.append(content)
        await sender.send(receiver.user_id, content)
        await receiver.until(lambda: receiver.messages(talk)[len(said) - 1 :] == [content], content)

    async def go_on() -> None:
        while not done.is_set():
            await say(f"{len(said)}")

    talking = asyncio.create_task(go_on())
    try:
        yield
    finally:
        done.set()
        await talking
    await say("the last word")
    for device in (alice, bob):
        await device.until_messages(talk, said)
        assert not [event for event in device.seen if event.HasField("behind") and event.behind.last_seq > 2]
