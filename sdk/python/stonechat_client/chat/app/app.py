"""The program on a terminal: it puts what a `Chat` knows on the screen, and has done what the person asks for."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, OptionList, Static
from textual.worker import Worker, WorkerCancelled

from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.chat.account import Account
from stonechat_client.chat.app.bar import Bar
from stonechat_client.chat.app.composer import Composer
from stonechat_client.chat.app.deeds import Deeds
from stonechat_client.chat.app.dialogs import Tell
from stonechat_client.chat.app.help import help_rows
from stonechat_client.chat.app.main import Main
from stonechat_client.chat.app.messages import MessageRow
from stonechat_client.chat.app.palette import Offer, Offers
from stonechat_client.chat.app.sidebar import Sidebar
from stonechat_client.chat.app.sign_in import SignIn
from stonechat_client.chat.chat import Change, Chat, NotPossible
from stonechat_client.chat.commands import Command, Commands, parse
from stonechat_client.client import Client
from stonechat_client.errors import ClientError, SignedOut
from stonechat_client.items import Item, Refused, StateChanged
from stonechat_client.problems import Problem
from stonechat_client.state import State
from stonechat_client.timeline import TimelineMessage

R = TypeVar("R")
_DRAW_SECONDS = 0.03
_LEAVE_SECONDS = 3.0
_TYPED = 100
"""Lines that may wait for those before them."""
_SHORT_SECONDS = 0.5
"""Catching up for less than this is not worth a word."""


class ChatApp(App[int]):
    """One person at one device. `last_words` are for the terminal that is left."""

    CSS_PATH = "style.tcss"
    TITLE = "Stonechat"
    COMMANDS = {Offers}  # noqa: RUF012 - textual's form
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (76, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+k", "command_palette", "Commands", priority=True),
        Binding("ctrl+b", "conversations", "Conversations"),
        Binding("alt+up", "neighbour(-1)", show=False),
        Binding("alt+down", "neighbour(1)", show=False),
        Binding("f1", "help", "Help"),
        Binding("ctrl+q", "quit", "Quit", priority=True),
    ]

    def __init__(self, account: Account, to: str = "", password: str = "", register: bool = False) -> None:
        super().__init__()
        self._account = account
        self._to = to
        self._password = password
        self._may_register = register
        self._typed: asyncio.Queue[str] = asyncio.Queue(_TYPED)
        self._talking: Worker[None] | None = None
        self._waiting_to_draw = Change(0)
        self._state_shown = StateChanged(State.CONNECTING)
        self._state_at = 0.0
        self.chat: Chat | None = None
        self.deeds: Deeds | None = None
        self.last_words: list[str] = []

    def compose(self) -> ComposeResult:
        yield Bar(id="bar")
        yield Main()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._state_at = asyncio.get_running_loop().time()
        self.set_interval(1.0, lambda: self._changed(Change.STATE | Change.LIST))
        self._changed(Change.STATE)
        self._talking = self.run_worker(self._talk(), name="talk")
        self.run_worker(self._listen(), name="listen")

    # The connection

    async def _talk(self) -> None:
        try:
            async with self._account.device() as client:
                problem = ""
                while True:
                    if not await self._account.resume(client):
                        await self._sign_in(client, problem)
                    try:
                        return await self._converse(client)
                    except SignedOut as error:
                        problem = f"this device was signed out ({error})"
        except (ClientError, OSError) as error:
            self.last_words.append(f"stonechat: {error}")
            self.exit(return_code=1)

    async def _sign_in(self, client: Client, problem: str) -> None:
        async def attempt(password: str, register: bool) -> None:
            await self._account.sign_in(client, password, register)

        # What was given at the start is good for the start: nobody is signed in again who was signed out elsewhere.
        password, self._password = self._password, ""
        server = self._account.server
        await self.push_screen_wait(
            SignIn(self._account.username, server, attempt, password, self._may_register, problem)
        )

    async def _converse(self, client: Client) -> None:
        async with client.connect() as session:
            known = self._account.open_known()
            self.chat = Chat(client, session, known, self._account.username, self._changed, self._told)
            self.deeds = Deeds(self.chat, self)
            self._changed(Change.STATE | Change.LIST)
            try:
                await self.chat.run()
            finally:
                self.chat = self.deeds = None  # what it stands on is closed

    async def _told(self, item: Item) -> None:
        match item:
            case StateChanged(state):
                if state is not State.CATCHING_UP or self._state_shown.state is not State.LIVE:
                    self._show_state(item)
                else:
                    self.set_timer(_SHORT_SECONDS, self._still)
                if self._to and self.deeds is not None and (state is State.LIVE or self.deeds.actions.known(self._to)):
                    to, self._to = self._to, ""
                    self.open_called(to)
            case Refused(_, error):
                self.notify(str(error), title="not sent", severity="error", markup=False)
            case Problem(kind, text):
                self.notify(text, title=f"the server: {kind.value}", severity="warning", markup=False)

    def _still(self) -> None:
        if self.chat is not None and self.chat.state.state is not self._state_shown.state:
            self._show_state(self.chat.state)

    def _show_state(self, state: StateChanged) -> None:
        self._state_shown, self._state_at = state, asyncio.get_running_loop().time()
        self._changed(Change.STATE)

    def leave(self) -> None:
        """Leave as Ctrl-Q does; for signals."""
        self.run_worker(self._leave(), name="leave", group="leave", exclusive=True)

    async def action_quit(self) -> None:
        """Leave: what is on its way is waited for, a moment; what waits is told of."""
        self.leave()

    async def _leave(self) -> None:
        waiting = 0
        if self.chat is not None:
            if self.chat.session.state in (State.LIVE, State.CATCHING_UP):
                self.screen_stack[0].query_one("#state", Static).update(Content("leaving …"))
                await self.chat.outgoing.settle(_LEAVE_SECONDS)
            waiting = len(self.chat.waiting())
            if unmade := self.chat.unmade():
                self.last_words.append(f"{unmade} edits, withdrawals or reactions were not made")
        if waiting and self._account.path is not None:
            self.last_words.append(f"{waiting} not sent yet: they wait here, and are sent when you start again")
        elif waiting:
            self.last_words.append(f"{waiting} not sent: without a cache they are lost")
        if self._talking is not None:
            self._talking.cancel()
            with suppress(WorkerCancelled):
                await self._talking.wait()
        self.exit(return_code=1 if waiting and self._account.path is None else 0)

    def _changed(self, change: Change) -> None:
        if not self._waiting_to_draw and self.is_running:
            self.set_timer(_DRAW_SECONDS, self._draw_changes)
        self._waiting_to_draw |= change

    def _draw_changes(self) -> None:
        change, self._waiting_to_draw = self._waiting_to_draw, Change(0)
        if not self.is_running or not self.screen_stack:
            return
        seconds_ago = asyncio.get_running_loop().time() - self._state_at
        waiting = len(self.chat.waiting()) if self.chat is not None else 0
        self.screen_stack[0].query_one(Bar).show(self._account.username, self._state_shown, seconds_ago, waiting)
        if self.chat is not None:
            self._main.draw(self.chat, change)

    @property
    def _main(self) -> Main:
        return self.screen_stack[0].query_one(Main)

    @on(events.AppFocus)
    def _looked_at(self) -> None:
        self._main.look()

    # What the person does

    def do(self, deed: Awaitable[object]) -> None:
        """Have something done; if it does not work, say why."""
        self.run_worker(self._try(deed), group="deeds", exclusive=False)

    async def _try(self, deed: Awaitable[object]) -> bool:
        try:
            await deed
        except (NotPossible, ClientError) as error:
            self.notify(str(error), severity="error", markup=False)
            return False
        return True

    def open_called(self, name: str) -> None:
        """Open the conversation with a user or a group."""
        if self.deeds is not None:
            self.do(self.deeds.actions.open_called(name))

    @on(OptionList.OptionSelected, "#sidebar")
    def _picked(self, event: OptionList.OptionSelected) -> None:
        if self.chat is not None and event.option.id:
            self.chat.open(event.option.id)
            self.action_write()

    @on(MessageRow.Asked)
    def _message_asked(self, event: MessageRow.Asked) -> None:
        if self.deeds is not None:
            self.do(self.deeds.on_message(event.message, event.what))

    @on(Composer.Writing)
    def _writing(self) -> None:
        text = self._main.composer.text
        if self.chat is not None and text and not text.startswith("/") and self._main.editing is None:
            self.chat.types()

    @on(Composer.Submitted)
    async def _submitted(self, event: Composer.Submitted) -> None:
        if (editing := self._main.editing) is not None:
            self._main.edit(None)
            if self.chat is not None:
                self.do(self.chat.edit(editing.message_id, event.text))
            return
        try:
            self._typed.put_nowait(event.text)
        except asyncio.QueueFull:
            self._main.composer.give_back(event.text)

    async def _listen(self) -> None:
        """One after the other: what is said behind `/to bob` is for bob."""
        while True:
            text = await self._typed.get()
            if not await self._try(self._say(text)):
                self._main.composer.give_back(text)

    async def _say(self, text: str) -> None:
        if self.chat is None:
            raise NotPossible("not signed in yet")
        said = parse(text)
        if isinstance(said, Command):
            await self._obey(self.chat, said)
        elif said:
            self.chat.say(said)
            self._main.messages.anchor()

    async def _obey(self, chat: Chat, command: Command) -> None:
        assert self.deeds is not None  # noqa: S101 - it comes with the chat
        match command.name:
            case "/quit":
                await self.action_quit()
            case "/help":
                self.action_help()
            case "/list":
                self.action_conversations()
            case "/members":
                await self.deeds.members()
            case "/history":
                self._main.look_back()
            case _:
                await chat.settle()
                await Commands(chat, self.deeds.actions, self._start).obey(command)

    def _start(self, what: str, key: str, change: Coroutine[Any, Any, Sent]) -> None:
        self.do(change)

    async def ask(self, screen: ModalScreen[R]) -> R:
        """Show a dialog, and wait for what it says."""
        return await self.push_screen_wait(screen)

    def edit(self, message: TimelineMessage) -> None:
        """Have the person change a message."""
        self._main.edit(message)

    def copy(self, text: str, what: str) -> None:
        """Put text into the clipboard of the terminal."""
        self.copy_to_clipboard(text)
        self.notify(f"copied {what}", markup=False)

    def offers(self) -> Iterator[Offer]:
        """What the palette lists."""
        if self.deeds is not None:
            yield from self.deeds.offers()
        numbers = "Hide the numbers of messages" if self._main.numbers else "Show the numbers of messages"
        yield Offer(numbers, "1, 2, 3 … without holes", self._main.toggle_numbers)
        yield Offer("Theme", "other colours", self.action_change_theme)
        yield Offer("Help", "keys, commands, what the marks mean", self.action_help)
        yield Offer("Quit", "Ctrl-Q", self.leave)

    def action_help(self) -> None:
        """What can be done."""
        self.push_screen(Tell("Stonechat", help_rows()))

    def action_conversations(self) -> None:
        """Go to the list, or back."""
        self._main.toggle_list()

    def action_write(self) -> None:
        """Go to where one writes."""
        self._main.write()

    def action_neighbour(self, step: int) -> None:
        """Open the conversation above or below."""
        name = self._main.query_one(Sidebar).neighbour(step)
        if self.chat is not None and name:
            self.chat.open(name)

    def action_scroll_messages(self, pages: int) -> None:
        """Scroll the conversation."""
        self._main.scroll_pages(pages)
