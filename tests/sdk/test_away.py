"""A device that comes and goes, with everything it has: cache, queue and ledger on the disk, against a real product.

What it missed is handed to it from the beginning; what it queued is stored once; and `stonechat verify` finds nothing to say.
"""

import asyncio
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stonechat_client import Client, Event, FileLedger, Session, SqliteCache, State, new_id
from tests.mesh.product import Product, product

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product")) as found:
        yield found


@asynccontextmanager
async def user(url: str, name: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        await client.register(name, PASSWORD)
        await client.sign_in(name, PASSWORD)
        yield client


@asynccontextmanager
async def device(url: str, name: str, folder: Path) -> AsyncIterator[Client]:
    async with Client(url, SqliteCache(folder / f"{name}.cache"), FileLedger(folder / f"{name}.ledger")) as client:
        if not await client.resume():
            await client.sign_in(name, PASSWORD)
        yield client


Handed = dict[str, list[str]]
"""What was handed over, by conversation: texts, and kinds of other events."""


async def until(session: Session, condition: Callable[[Handed], bool]) -> Handed:
    handed: Handed = defaultdict(list)
    async with asyncio.timeout(30):
        async for item in session:
            if isinstance(item, Event) and item.HasField("conversation_event"):
                event = item.conversation_event
                handed[event.conversation_id].append(event.message.content or event.WhichOneof("body") or "")
            if condition(handed):
                return handed
    raise EOFError("the session has ended")


async def until_live(session: Session) -> Handed:
    return await until(session, lambda _: session.state is State.LIVE)


async def verdict(running: Product, folder: Path) -> str:
    """What `stonechat verify` says of all ledgers, when it says so: all is quiet, so every ledger must reach the end."""
    verify = ["-m", "svc", "verify", "--settled", "--ledgers", str(folder), "--data-dir", str(running.data_dir)]
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, *verify], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


async def test_what_came_up_while_it_was_away_is_handed_over_from_its_beginning(
    running: Product, tmp_path: Path
) -> None:
    async with user(running.url, "ann"), user(running.url, "ben") as ben, user(running.url, "cyd") as cyd:
        async with device(running.url, "ann", tmp_path) as ann, ann.connect() as session:
            assert await until_live(session) == {}
            ann_id = ann.user_id
        direct = (await ben.send(ann_id, "we have never met")).conversation_id
        await ben.send(ann_id, "have we?")
        group = (await cyd.create_group("Chess", [ben.user_id])).group_id
        await cyd.send(group, "before her time")
        await cyd.add_members(group, [ann_id])
        for number in range(3):
            await ben.send(group, f"in the group {number}")
        async with device(running.url, "ann", tmp_path) as ann, ann.connect() as session:
            talk = asyncio.create_task(_talk(ben, group))  # pushed before the inbox was read
            handed = await until(session, lambda handed: "the end" in handed[group] and session.state is State.LIVE)
            await talk
        assert handed[direct] == ["we have never met", "have we?"]
        told = [f"in the group {number}" for number in range(3)] + [f"meanwhile {number}" for number in range(20)]
        assert handed[group] == ["membership", *told, "the end"]
        assert handed[f"inbox.{ann_id}"] == ["opened", "joined"]
    assert "lost 0   doubled 0   reordered 0   wrong 0   problems 0" in await verdict(running, tmp_path)


async def _talk(client: Client, group: str) -> None:
    for number in range(20):
        await client.send(group, f"meanwhile {number}")
    await client.send(group, "the end")


PROGRAM = """
import asyncio, sys
from tests.sdk.test_away import *

async def main(url, folder, group, first, last):
    async with device(url, "dan", Path(folder)) as client, client.connect() as session:
        for number in range(int(first), int(last)):
            session.queue(group, f"number {number}", f"n{number}")
            print(number, flush=True)
            await asyncio.sleep(0)
        async for item in session:
            if session.state is State.LIVE and not session.queued():
                print("done", flush=True)
                return

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_program_that_is_killed_again_and_again_loses_nothing(running: Product, tmp_path: Path) -> None:
    """It is killed while it queues, sends and is handed things; the next one goes on with its cache and its ledger."""
    chance, first, last = random.Random(5), 0, 400
    async with user(running.url, "dan") as dan, user(running.url, "eve") as eve:
        async with device(running.url, "dan", tmp_path) as ready, ready.connect() as session:
            await until_live(session)
        group = (await eve.create_group("Numbers", [dan.user_id])).group_id
        for kills in range(6):
            command = [sys.executable, "-c", PROGRAM, running.url, str(tmp_path), group, str(first), str(last)]
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            assert process.stdout is not None
            until = first + chance.randrange(1, 80)
            async with asyncio.timeout(60):
                while (line := (await process.stdout.readline()).decode().strip()) not in ("", "done"):
                    first = int(line) + 1
                    if kills < 5 and first >= until:
                        break
            if kills < 5:
                await eve.send(group, f"eve {kills}", new_id())
                process.kill()
                # What it had queued before it died: it may have said so after we stopped listening.
                rest = (await process.stdout.read()).decode().split("\n")[:-1]
                first = max([first, *(int(number) + 1 for number in rest if number != "done")])
            assert await process.wait() == (-9 if kills < 5 else 0)
        messages = [message async for message in _history(eve, group)]
    assert [text for text in messages if text.startswith("number")] == [f"number {number}" for number in range(last)]
    assert len(messages) == last + 5
    said = await verdict(running, tmp_path)
    assert "lost 0   doubled 0   reordered 0   wrong 0   problems 0" in said


async def _history(client: Client, conversation_id: str) -> AsyncIterator[str]:
    """All texts, oldest first."""
    after = 0
    while (page := await client.list_events(conversation_id, after, 500)).events:
        for event in page.events:
            if event.HasField("message"):
                yield event.message.content
        after = page.events[-1].seq
