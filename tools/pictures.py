"""Takes the pictures of `stonechat chat` in the README: a server, three people, and what one of them sees.

`python -m tools.pictures [FOLDER]` writes PNG files to docs/pictures, or to that folder. The letters are DejaVu Sans Mono,
which has to be installed (package fonts-dejavu-core).
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import resvg_py
from textual.pilot import Pilot

from stonechat_client import Client, Session, new_id
from stonechat_client.chat.account import Account
from stonechat_client.chat.app.app import ChatApp
from stonechat_client.chat.app.messages import MessageRow
from stonechat_client.state import State
from svc.app import product
from svc.kernel.settings import for_tests

FOLDER = Path("docs/pictures")
_PASSWORD = "correct horse"  # noqa: S105 - of people who live for a minute
_SIZE = (104, 34)
_SECONDS = 30.0
_FONT = "DejaVu Sans Mono"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="default: %(default)s")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        asyncio.run(_play(Path(data), folder))
    print(f"{folder}: {', '.join(sorted(file.name for file in folder.glob('*.png')))}")
    return 0


async def _play(data: Path, folder: Path) -> None:
    died: list[BaseException] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(AsyncExitStack())
        running = await server.enter_async_context(product(for_tests(data / "server"), died.append))
        people = await stack.enter_async_context(AsyncExitStack())
        bob = await people.enter_async_context(_person(running.url, "bob"))
        carol = await people.enter_async_context(_person(running.url, "carol"))
        app = ChatApp(Account(running.url, "alice", data / "alice"), password=_PASSWORD, register=True)
        pilot = await stack.enter_async_context(app.run_test(size=_SIZE))
        await _until(pilot, lambda: app.chat is not None and app.chat.session.state is State.LIVE)
        await _talk(app, pilot, bob, carol)
        await pilot.pause(0.2)
        _take(app, folder / "conversation.png")

        await pilot.press("ctrl+k")
        await _until(pilot, lambda: bool(app.screen.query("CommandList")))
        await pilot.press(*"re")
        await pilot.pause(1.0)
        _take(app, folder / "commands.png")
        await pilot.press("escape")

        await people.aclose()
        await server.aclose()
        await _until(pilot, lambda: app.chat is not None and app.chat.session.state is State.OFFLINE)
        await _write(app, pilot, "I bring tea, and cake for everybody")
        chat = app.chat
        await _until(pilot, lambda: chat is not None and (chat.state.retry_in or 0) > 1.5)
        await pilot.pause(0.3)
        _take(app, folder / "offline.png")
    if died:
        raise died[0]


async def _talk(app: ChatApp, pilot: Pilot[int], bob: "_Person", carol: "_Person") -> None:
    chat, deeds = app.chat, app.deeds
    assert chat is not None  # noqa: S101 - there is a connection
    assert deeds is not None  # noqa: S101
    alice = chat.user_id
    await carol.session.send(alice, "The photos are lovely, thank you!", new_id())
    group = await deeds.actions.create_group("Bird watchers", ["bob", "carol"])
    await _write(app, pilot, "Who is coming to the heath on Sunday?")
    await _rows(app, pilot, 1)
    await bob.session.send(group, "I am! Shall we meet at the car park at seven?", new_id())
    early = await carol.session.send(group, "sven is rather early for me", new_id())
    await carol.session.edit(group, early.message_id, "seven is rather early for me … eight?", new_id())
    await _rows(app, pilot, 3)
    await _write(
        app, pilot, "Eight it is. The stonechats will wait for us, they always sit on top of the same gorse bush."
    )
    await _rows(app, pilot, 4)
    eight = chat.room.last_message(own=True) if chat.room is not None else None
    assert eight is not None  # noqa: S101
    for person in (bob, carol):
        await person.session.react(group, eight.message_id, "❤", new_id())
    await bob.session.send(group, "I have a telescope.\nAnd a spare pair of binoculars, if anybody wants it.", new_id())
    await _write(app, pilot, "Yes please!")
    await _rows(app, pilot, 6)
    await bob.session.mark_read(group, eight.seq + 2)
    for text in ("Is Dave coming too?", "He has the big car."):
        await bob.session.send(alice, text, new_id())
    await _until(pilot, lambda: [one.unread for one in chat.conversations if one.unread] == [2, 1])
    carol.session.typing(group)
    await _until(pilot, lambda: bool(chat.conversations.typists(group)))


class _Person:
    def __init__(self, client: Client, session: Session) -> None:
        self.client = client
        self.session = session


@asynccontextmanager
async def _person(url: str, name: str) -> AsyncIterator[_Person]:
    """Somebody who is signed in and listens."""
    async with Client(url) as client:
        await client.register(name, _PASSWORD)
        await client.sign_in(name, _PASSWORD)
        async with client.connect() as session:
            listening = asyncio.create_task(_listen(session))
            try:
                yield _Person(client, session)
            finally:
                listening.cancel()


async def _listen(session: Session) -> None:
    async for _ in session:
        pass


async def _write(app: ChatApp, pilot: Pilot[int], text: str) -> None:
    app.query_one("#composer").focus()
    await pilot.pause()
    await pilot.press(*text, "enter")


async def _rows(app: ChatApp, pilot: Pilot[int], count: int) -> None:
    await _until(pilot, lambda: len(app.query(MessageRow)) == count)


async def _until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not condition():
            await pilot.pause(0.02)


def _take(app: ChatApp, path: Path) -> None:
    picture = app.export_screenshot(title="stonechat chat --user alice")
    # resvg loads no font from a network, and the reader's machine is not to matter.
    path.write_bytes(
        resvg_py.svg_to_bytes(svg_string=picture.replace("Fira Code", _FONT), monospace_family=_FONT, zoom=1.0)
    )


if __name__ == "__main__":
    sys.exit(main())
