"""The program in a pipe: it reads lines until there are no more, and writes what happens until all it said is stored."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.chat import ids
from stonechat_client.chat.actions import Actions
from stonechat_client.chat.chat import Change, Chat, NotPossible
from stonechat_client.chat.commands import COMMANDS, Command, Commands, parse
from stonechat_client.chat.known import Known
from stonechat_client.chat.plain import events, tell
from stonechat_client.chat.plain.lines import Lines
from stonechat_client.client import Client
from stonechat_client.errors import ClientError, NotReachable, SignedOut
from stonechat_client.items import Item, Refused, StateChanged
from stonechat_client.session import Session
from stonechat_client.state import State
from stonechat_client.timeline import TimelineMessage

_LEAVE_SECONDS = 10.0
_PAGE = 50
_NEWEST = 2**62
_MOST_WAITING = 1_000
"""Messages that may wait to be acknowledged before another line is read."""


@dataclass(frozen=True, slots=True)
class _Say:
    """A message. `to` is the name of whom it is for; empty for the open conversation."""

    content: str
    to: str = ""
    key: str = ""


class Plain:
    """One run. `lost` counts lines of the input that are no message anybody will get."""

    def __init__(self, client: Client, session: Session, known: Known, username: str) -> None:
        self._chat = Chat(client, session, known, username, self._changed, self._told)
        self._actions = Actions(self._chat)
        self._commands = Commands(self._chat, self._actions, self._start)
        self._changes: set[asyncio.Task[None]] = set()
        self._answered = asyncio.Event()
        self._line = 0
        self._told_from = _NEWEST
        """The oldest message of the open conversation that /history has told of."""
        self.lost = 0

    async def run(self, to: str) -> int:
        """Until the input ends. Returns the exit code: 1 when something said is not stored. Raises ClientError when the
        session has ended for good."""
        chatting = asyncio.create_task(self._chat.run(), name="stonechat chat")
        person = asyncio.create_task(self._read(to), name="stonechat chat input")
        try:
            await asyncio.wait((chatting, person), return_when=asyncio.FIRST_COMPLETED)
            for task in (chatting, person):
                if task.done():
                    await task
            if waiting := await self._chat.outgoing.settle(_LEAVE_SECONDS):
                print(f"stonechat: {waiting} not acknowledged by the server", file=sys.stderr)  # noqa: T201
            return 1 if waiting or self.lost else 0
        finally:
            for task in (person, chatting, *self._changes):
                task.cancel()
            await asyncio.gather(person, chatting, *self._changes, return_exceptions=True)

    async def _read(self, to: str) -> None:
        # What a name means, and what there is, is known once the server has answered; or it does not, and the cache tells.
        await self._answered.wait()
        if to:
            await self._do(Command("/to", to))
        async for typed in Lines(0):
            self._line += 1
            if (meant := _meant(typed)) == Command("/quit", ""):
                return
            if meant:
                await self._do(meant)

    async def _do(self, meant: Command | _Say | str) -> None:
        try:
            match meant:
                case Command():
                    await self._chat.settle()
                    await self._obey(meant)
                case _Say(content, name, key):
                    await self._chat.outgoing.fewer_than(_MOST_WAITING)
                    to = ids.address(await self._actions.called(name), self._chat.user_id) if name else ""
                    self._chat.say(content, key, to)
                case text:
                    raise NotPossible(text)
        except SignedOut:
            raise
        except (NotPossible, ClientError) as error:
            self.lost += not isinstance(meant, Command)
            self._write(events.Error(str(error), self._line))

    async def _obey(self, command: Command) -> None:
        chat, room = self._chat, self._chat.room
        match command.name:
            case "/help":
                for usage, what in COMMANDS.items():
                    print(f"{usage:<20} {what}", file=sys.stderr)  # noqa: T201
            case "/list":
                with suppress(NotReachable):  # then as far as it is known here
                    await chat.read_heads()
                await chat.names.resolve(ids.address(one.conversation_id, chat.user_id) for one in chat.conversations)
                for one in chat.conversations:
                    title = chat.names.conversation(one.conversation_id)
                    self._write(events.Listed(one.conversation_id, title, one.unread, one.last_seq))
            case "/members":
                members = await self._actions.members()
                if room is not None:
                    title = chat.names.conversation(room.conversation_id)
                    self._write(events.Members(room.conversation_id, title, members))
            case "/history":
                await self._history()
            case _:
                await self._commands.obey(command)
                if chat.room is not room and chat.room is not None:
                    await self._opened(chat.room.conversation_id)

    async def _opened(self, conversation_id: str) -> None:
        await self._chat.names.resolve([ids.address(conversation_id, self._chat.user_id)])
        self._write(events.Opened(conversation_id, self._chat.names.conversation(conversation_id)))
        with suppress(ClientError):
            # So that messages can be named by their numbers. Without a connection, what the cache has must do.
            await self._chat.older()
        self._told_from = _NEWEST
        self._chat.saw()

    async def _history(self) -> None:
        room = self._chat.room
        if room is None:
            raise NotPossible("no conversation is open: /to NAME opens one, /list shows yours")
        while True:
            page = [item for item in room.items if isinstance(item, TimelineMessage) and 0 < item.seq < self._told_from]
            if len(page) >= _PAGE or not await self._chat.older():
                break
        page = page[-_PAGE:]
        if not page:
            raise NotPossible("there is nothing before this")
        self._told_from = page[0].seq
        await self._chat.names.resolve(item.sender_id for item in page)
        for item in page:
            self._write(tell.history(room.conversation_id, item, self._chat.names, self._chat.user_id))

    def _start(self, what: str, key: str, change: Coroutine[Any, Any, Sent]) -> None:
        task = asyncio.create_task(self._finish(what, key, change), name=f"stonechat chat: {what}")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _finish(self, what: str, key: str, change: Coroutine[Any, Any, Sent]) -> None:
        line = self._line
        try:
            self._write(tell.stored(key, await change))
        except ClientError as error:
            self.lost += 1
            self._write(events.Error(f"{what}: {error}", line))

    def _changed(self, change: Change) -> None:
        if Change.ROOM in change:
            self._chat.saw()

    async def _told(self, item: Item) -> None:
        if isinstance(item, Refused):
            self.lost += 1
        if isinstance(item, StateChanged) and item.state in (State.LIVE, State.OFFLINE):
            self._answered.set()
        event = await tell.tell(item, self._chat.names, self._chat.user_id)
        if event is not None:
            self._write(event)

    def _write(self, event: events.PlainEvent) -> None:
        sys.stdout.write(events.line(event) + "\n")
        sys.stdout.flush()


def _meant(typed: str) -> Command | _Say | str | None:
    """What a line asks for; a text says what is wrong with it."""
    if typed.lstrip().startswith("{"):
        try:
            said = json.loads(typed)
        except ValueError:
            said = None  # a message that begins so
        if isinstance(said, dict):
            content, to, key = said.get("content"), said.get("to", ""), said.get("id", "")
            unknown = said.keys() - {"content", "to", "id"}
            if unknown or not (isinstance(content, str) and isinstance(to, str) and isinstance(key, str)):
                return 'expected {"to": "name", "content": "text", "id": "optional"}, all of them strings'
            return _Say(content, to, key)
    said = parse(typed)
    if isinstance(said, Command):
        return said
    return _Say(said) if said else None
