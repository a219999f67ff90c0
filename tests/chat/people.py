"""Somebody at `stonechat chat`: the app itself, with textual's pilot at its keys, in front of a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from stonechat_client.chat.account import Account
from stonechat_client.chat.app.app import ChatApp
from stonechat_client.chat.app.composer import Composer
from stonechat_client.chat.app.messages import MessageRow, MessageView, NoteRow
from stonechat_client.chat.app.sidebar import Row, Sidebar
from stonechat_client.state import State

DEADLINE_SECONDS = 40
PASSWORD = "password"
T = TypeVar("T")


class Person:
    """What they do, and what they see."""

    def __init__(self, app: ChatApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    # What they see

    @property
    def screen(self) -> list[str]:
        """The rows of the terminal, as text."""
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    @property
    def rows(self) -> list[MessageRow]:
        """The messages of the open conversation, those out of sight too."""
        return list(self.app.screen_stack[0].query(MessageRow))

    @property
    def said(self) -> list[tuple[str, str]]:
        """Of each: the mark of its delivery (empty for others) and the text."""
        return [
            (row.entry.message.delivery.value if row.entry.message.delivery else "", row.entry.body)
            for row in self.rows
        ]

    @property
    def notes(self) -> list[str]:
        """Days, members, and where the new begins."""
        return [str(note.visual) for note in self.app.screen_stack[0].query(NoteRow)]

    @property
    def listed(self) -> list[Row]:
        """The conversations in the list."""
        return list(self.app.screen_stack[0].query_one(Sidebar)._rows)

    @property
    def view(self) -> MessageView:
        return self.app.screen_stack[0].query_one(MessageView)

    @property
    def composer(self) -> Composer:
        return self.app.screen_stack[0].query_one(Composer)

    async def until(self, condition: Callable[[], T], what: str) -> T:
        """Wait until it is so."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not (found := condition()):
                    await self.pilot.pause(0.02)
        except TimeoutError:
            raise AssertionError(f"not so: {what}. They see:\n" + "\n".join(self.screen)) from None
        return found

    async def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        await self.until(lambda: any(text in row for row in self.screen), f"{text!r} is on the screen")

    async def is_in_state(self, state: State) -> None:
        """Wait for a state of the connection."""
        await self.until(lambda: self.app.chat is not None and self.app.chat.session.state is state, state.value)

    async def has_said(self, *said: tuple[str, str]) -> None:
        """Wait until the open conversation ends with these."""
        await self.until(lambda: self.said[-len(said) :] == list(said), f"{said} at the end of {self.said[-5:]}")

    # What they do

    async def writes(self, text: str) -> None:
        """Type (or paste) a text and send it."""
        self.composer.focus()
        self.composer.write(text)
        await self.pilot.press("enter")

    async def opens(self, title: str) -> None:
        """Choose a conversation in the list, with the keys."""
        await self.until(lambda: title in [row.title for row in self.listed], f"{title} is listed")
        sidebar = self.app.query_one(Sidebar)
        if not sidebar.has_focus:
            await self.pilot.press("ctrl+b")
        sidebar.highlighted = [row.title for row in self.listed].index(title)
        await self.pilot.press("enter")
        await self.sees(title)

    async def asks(self, *typed: str, choose: str = "") -> None:
        """In the palette: search, and take the first of what is found."""
        await self.pilot.press("ctrl+k")
        await self.until(lambda: self.app.screen.query("CommandInput"), "the palette is open")
        self.app.screen.query_one(Input).value = " ".join(typed)
        wanted = choose or " ".join(typed)

        def found() -> bool:
            options = self.app.screen.query_one(OptionList)
            return bool(options.option_count) and wanted in str(options.get_option_at_index(0).prompt)

        await self.until(found, f"{wanted} is the first in the palette")
        await self.pilot.press("enter")

    async def fills_in(self, *values: str) -> None:
        """Answer a dialog."""
        await self.until(lambda: self.app.screen.query(Input), "a dialog asks")
        for value in values:
            field = self.app.screen.focused
            assert isinstance(field, Input)
            field.value = value
            await self.pilot.press("enter")

    async def opens_the_actions_of_a_message(self) -> None:
        """Click on the newest message until its actions are there: a row that just came in may still move under the click."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.app.screen.is_modal:
                await self.pilot.click("MessageRow")
                await self.pilot.pause(0.1)

    async def chooses(self, text: str) -> None:
        """Take the choice that has this text."""

        def index() -> int:
            options = self.app.screen.query_one(OptionList).options
            return next((number for number, option in enumerate(options, 1) if text in str(option.prompt)), 0)

        await self.until(lambda: self.app.screen.is_modal and self.app.screen.query(OptionList), "there is a choice")
        number = await self.until(index, f"{text} can be chosen")
        self.app.screen.query_one(OptionList).highlighted = number - 1
        await self.pilot.press("enter")


@asynccontextmanager
async def at_the_app(
    name: str,
    server: str,
    *,
    folder: Path | None = None,
    to: str = "",
    password: str = PASSWORD,
    register: bool = True,
    size: tuple[int, int] = (100, 30),
    state: State | None = State.LIVE,
) -> AsyncIterator[Person]:
    """Somebody who has just started the program. It keeps nothing unless there is a folder."""
    app = ChatApp(Account(server, name, folder), to=to, password=password, register=register)
    async with app.run_test(size=size, notifications=True) as pilot:
        person = Person(app, pilot)
        if state is not None:
            await person.is_in_state(state)
        yield person
