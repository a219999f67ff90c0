"""What a person may say to the program, and what it does then."""

import asyncio
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress

from stonechat.history.v1.history_service_pb2 import Message
from stonechat_client.chat import lines
from stonechat_client.chat.describe import describe_stored, when
from stonechat_client.chat.lines import Command, Line
from stonechat_client.chat.names import Names, direct, other_user
from stonechat_client.chat.outgoing import Outgoing
from stonechat_client.chat.room import Room
from stonechat_client.client import Client, new_id
from stonechat_client.errors import CallFailed, InvalidRequest
from stonechat_client.session import Session

PAGE = 20
_MOST = 200
# A group can be written to once its first event has passed through the log, shortly after it was created.
_JOIN_SECONDS = 5.0


class Usage(Exception):
    """The command was not meant so. The text says what to type."""


class Commands:
    """Does what was typed. Raises Usage and ClientError; the open conversation stays as it was then."""

    def __init__(
        self, client: Client, session: Session, names: Names, outgoing: Outgoing, show: Callable[[Line], None]
    ) -> None:
        self._client = client
        self._session = session
        self._names = names
        self._outgoing = outgoing
        self._show = show
        self._joined: set[str] = set()
        self._news = asyncio.Event()
        self.room: Room | None = None
        self.showing = asyncio.Lock()
        """Held by whoever shows lines that belong together, or changes what is open."""

    async def obey(self, command: Command) -> None:
        """Do what a command says."""
        match command.name:
            case "/help":
                self._show(lines.helped())
            case "/to":
                await self.open(command.rest.strip("\"'"))
            case "/group":
                await self._create_group(command.rest)
            case "/add":
                await self._add(command.rest.split())
            case "/members":
                await self._members()
            case "/list":
                await self.list_all()
            case "/history":
                await self._older(command.rest)
            case "/edit":
                self._edit(command.rest)
            case "/withdraw":
                self._withdraw(command.rest)
            case "/react":
                self._react(command.rest)
            case _:
                raise Usage(f"there is no {command.name}: /help lists what there is")

    def say(self, text: str) -> None:
        """Send a message to the open conversation."""
        to, key = self._open().to, new_id()
        self._outgoing.start(f"{text!r} was not sent", key, self._session.send(to, text, key))

    async def open(self, name: str) -> None:
        """Open the conversation with a user, or a group: by its id, or by the name that it has in the list."""
        if not name:
            raise Usage("say whom you want to talk to: /to NAME")
        room = await self._group_called(name)
        if room is None:
            try:
                user = await self._client.find_user(name.lower())
            except (CallFailed, InvalidRequest) as error:
                raise Usage(f"there is no user, and no group of yours, called {name}") from error
            if user.user_id == self._client.user_id:
                raise Usage("that is you: /to somebody else")
            room = Room(direct(self._client.user_id, user.user_id), user.user_id, lines.clean(user.username))
        await self._enter(room)

    def joined(self, conversation_id: str) -> None:
        """The server has told that the user is part of a group."""
        self._joined.add(conversation_id)
        self._news.set()

    async def list_all(self) -> None:
        """Show all conversations."""
        async with self.showing:
            found = False
            async for head in self._client.list_conversations():
                found = True
                title = await self._names.conversation(head.conversation_id)
                self._show(lines.unread(title, head.unread_count, when(head.timestamp)))
            if not found:
                self._show(Line("no conversations yet: /to NAME begins one"))

    async def _group_called(self, name: str) -> Room | None:
        if name.startswith("g") and name[1:].isdecimal():
            return Room(name, name, lines.clean((await self._client.get_group(name)).name))
        async for head in self._client.list_conversations():
            if not other_user(head.conversation_id, self._client.user_id):
                title = await self._names.conversation(head.conversation_id)
                if title.lower() == name.lower():
                    return Room(head.conversation_id, head.conversation_id, title)
        return None

    async def _enter(self, room: Room) -> None:
        async with self.showing:
            try:
                page = await self._client.list_messages(room.conversation_id, limit=PAGE)
            except CallFailed as error:
                if error.code != "NOT_FOUND":
                    raise
                page = []  # two who have not talked yet
            self.room = room
            self._show(Line(f"── {room.title} " + "─" * max(3, 40 - len(room.title))))
            await self._show_page(page)
            room.newest_seq = page[0].seq if page else 0
            if len(page) == PAGE:
                self._show(Line("/history shows what was said before"))

    async def _show_page(self, page: Sequence[Message]) -> None:
        for message in reversed(page):
            own = message.sender_id == self._client.user_id
            self._show(await describe_stored(message, self._names, own))
        for message in page:
            self._open().shown(message.seq, message.message_id, message.sender_id == self._client.user_id)

    async def _older(self, rest: str) -> None:
        room, count = self._open(), int(rest) if rest.isdecimal() else PAGE
        if not room.oldest:
            raise Usage("there is nothing before this")
        async with self.showing:
            page = await self._client.list_messages(
                room.conversation_id, before=room.oldest, limit=max(1, min(count, _MOST))
            )
            self._show(Line("── before that " + "─" * 28 if page else "there is nothing before this"))
            await self._show_page(page)
            if page:
                self._show(Line("─" * 43))

    async def _create_group(self, rest: str) -> None:
        try:
            name, *members = shlex.split(rest)
        except ValueError:
            raise Usage("say it like this: /group NAME MEMBERS…") from None
        group = await self._client.create_group(name, await self._ids(members))
        with suppress(TimeoutError):
            async with asyncio.timeout(_JOIN_SECONDS):
                while group.group_id not in self._joined:
                    self._news.clear()
                    await self._news.wait()
        await self._enter(Room(group.group_id, group.group_id, lines.clean(group.name)))

    async def _add(self, members: list[str]) -> None:
        if not members:
            raise Usage("say who is to be added: /add MEMBERS…")
        await self._client.add_members(self._group(), await self._ids(members))

    async def _members(self) -> None:
        members = [member.user_id async for member in self._client.list_members(self._group())]
        self._show(Line(f"{len(members)} members: {await self._names.users(members)}"))

    def _edit(self, rest: str) -> None:
        number, text = lines.numbered(rest)
        if not text:
            raise Usage("say what it should be: /edit TEXT or /edit #N TEXT")
        room, target, key = self._open(), self._target(number, own=True), new_id()
        self._outgoing.start("the edit was not made", key, self._session.edit(room.conversation_id, target, text, key))

    def _withdraw(self, rest: str) -> None:
        number, unused = lines.numbered(rest)
        if unused:
            raise Usage("say which: /withdraw or /withdraw #N")
        room, target, key = self._open(), self._target(number, own=True), new_id()
        self._outgoing.start(
            "the message was not taken back", key, self._session.withdraw(room.conversation_id, target, key)
        )

    def _react(self, rest: str) -> None:
        number, emoji = lines.numbered(rest)
        if not emoji:
            raise Usage("say how: /react EMOJI or /react #N EMOJI")
        room, target, key = self._open(), self._target(number), new_id()
        self._outgoing.start(
            "the reaction was not made", key, self._session.react(room.conversation_id, target, emoji, key)
        )

    async def _ids(self, names: list[str]) -> list[str]:
        found = []
        for name in names:
            try:
                found.append((await self._client.find_user(name.lower())).user_id)
            except CallFailed as error:
                raise Usage(f"there is no user called {name}") from error
        return found

    def _open(self) -> Room:
        if self.room is None:
            raise Usage("no conversation is open: /to NAME opens one, /list shows yours")
        return self.room

    def _group(self) -> str:
        room = self._open()
        if not room.conversation_id.startswith("g"):
            raise Usage("this is no group: /group NAME MEMBERS… creates one")
        return room.conversation_id

    def _target(self, number: int | None, own: bool = False) -> str:
        message_id = self._open().message_id(number, own)
        if message_id is None:
            raise Usage("no such message was shown" if number else "there is no message yet")
        return message_id
