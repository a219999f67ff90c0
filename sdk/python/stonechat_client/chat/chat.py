"""One person chatting: what is typed becomes calls, what happens becomes lines."""

import asyncio

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event, TypingSignal
from stonechat_client.chat import lines
from stonechat_client.chat.commands import Commands, Usage
from stonechat_client.chat.describe import describe
from stonechat_client.chat.lines import Command, Line, Style
from stonechat_client.chat.names import Names
from stonechat_client.chat.outgoing import Outgoing
from stonechat_client.chat.screens import Screen
from stonechat_client.client import Client
from stonechat_client.errors import ClientError, SignedOut
from stonechat_client.session import Connected, Item, Reconnecting, Session

# How long a typing signal counts (contract), and how often one is told.
_TYPING_SECONDS = 6.0
_TELL_TYPING_SECONDS = 4.0
_SETTLE_SECONDS = 5.0
_LEAVE_SECONDS = 10.0


class Chat:
    """Three things go on at the same time: what is typed, what happens, and telling what was read."""

    def __init__(self, client: Client, session: Session, screen: Screen, username: str) -> None:
        self._client = client
        self._session = session
        self._screen = screen
        self._username = username
        self._names = Names(client)
        self._outgoing = Outgoing(self._tell_status, self._not_done)
        self._commands = Commands(client, session, self._names, self._outgoing, screen.show)
        self._state = "connecting …"
        self._connected = asyncio.Event()
        self._typing: dict[str, tuple[str, float]] = {}
        self._told_typing_at = 0.0
        self._read: dict[str, int] = {}
        self._shown = asyncio.Event()

    async def run(self, to: str) -> int:
        """Chat until the person leaves; `to` is opened at the start unless it is empty. Returns 1 when something that was
        said is lost, else 0. Raises ClientError when the session has ended for good."""
        self._screen.on_typing(self._person_types)
        self._tell_status()
        others = [
            asyncio.create_task(work(), name=f"stonechat chat {work.__name__}") for work in (self._events, self._marks)
        ]
        person = asyncio.create_task(self._person(to), name="stonechat chat person")
        try:
            await asyncio.wait((person, *others), return_when=asyncio.FIRST_COMPLETED)
            for task in (person, *others):
                if task.done():
                    await task
            self._screen.status("leaving …")
            return 1 if await self._outgoing.finish(_LEAVE_SECONDS) else 0
        finally:
            await self._outgoing.cancel()
            for task in (person, *others):
                task.cancel()
            await asyncio.gather(person, *others, return_exceptions=True)

    async def _person(self, to: str) -> None:
        await self._connected.wait()
        await self._do(Command("/to", to) if to else Command("/list", ""))
        while (typed := await self._screen.read(self._prompt())) is not None:
            said = lines.parse(typed)
            if said == Command("/quit", ""):
                return
            if said:
                await self._do(said)

    def _prompt(self) -> str:
        room = self._commands.room
        return f"{room.title}> " if room is not None else "> "

    async def _do(self, said: Command | str) -> None:
        if isinstance(said, Command):
            # `/edit` right behind a message means that one, which gets its number with its acknowledgement.
            await self._outgoing.settle(_SETTLE_SECONDS)
        try:
            if isinstance(said, Command):
                await self._commands.obey(said)
                self._mark_read()
            else:
                self._commands.say(said)
        except SignedOut:
            raise
        except Usage as error:
            # What was not understood was a message, for a script that counts on it.
            self._outgoing.lost += 0 if isinstance(said, Command) else 1
            self._screen.show(Line(str(error), Style.ERROR))
        except ClientError as error:
            self._screen.show(Line(f"that did not work: {error}", Style.ERROR))
        self._tell_status()

    def _not_done(self, what: str, error: ClientError) -> None:
        self._screen.show(Line(f"{what}: {error}", Style.ERROR))

    async def _events(self) -> None:
        async for item in self._session:
            if isinstance(item, Event) and item.conversation_event.HasField("joined"):
                self._commands.joined(item.conversation_event.joined.conversation_id)
            async with self._commands.showing:
                await self._take(item)

    async def _take(self, item: Item) -> None:
        match item:
            case Connected():
                if self._state.startswith("no connection"):
                    self._screen.show(Line("connected again"))
                self._state = "connected"
                self._connected.set()
            case Reconnecting(after_seconds, why):
                # Without a delay it is a move from one server to another: nothing to tell anybody.
                if after_seconds:
                    if not self._state.startswith("no connection"):
                        self._screen.show(Line(f"no connection ({why}), trying again"))
                    self._state = f"no connection, trying again in {after_seconds:.0f} s"
            case _:
                match item.WhichOneof("payload"):
                    case "conversation_event":
                        await self._happened(item.conversation_event)
                    case "typing":
                        await self._somebody_types(item.typing)
        self._tell_status()

    async def _happened(self, event: ConversationEvent) -> None:
        room, own = self._commands.room, event.sender_id == self._client.user_id
        if event.HasField("membership") and event.membership.name:
            self._names.call_group(event.conversation_id, event.membership.name)
        self._typing.pop(event.sender_id, None)
        if room is not None and event.conversation_id == room.conversation_id:
            if event.seq > room.newest_seq:
                await self._show(event, own, "")
                room.newest_seq = event.seq
                if event.HasField("message"):
                    room.shown(event.seq, event.message_id, own)
                self._mark_read()
        elif event.conversation_id.startswith("inbox."):
            if room is None or event.joined.conversation_id != room.conversation_id:
                await self._show(event, own, "")
        elif event.HasField("message"):
            await self._show(event, own, f"({await self._names.conversation(event.conversation_id)}) ")
        self._outgoing.seen(event.client_message_id)

    async def _show(self, event: ConversationEvent, own: bool, prefix: str) -> None:
        line = await describe(event, self._names, own)
        if line is not None:
            self._screen.show(Line(prefix + line.text, line.style))

    def _mark_read(self) -> None:
        room = self._commands.room
        if room is not None and room.newest_seq:
            self._read[room.conversation_id] = room.newest_seq
            self._shown.set()

    async def _marks(self) -> None:
        told: dict[str, int] = {}
        while True:
            await self._shown.wait()
            self._shown.clear()
            for conversation_id, seq in list(self._read.items()):
                if told.get(conversation_id, 0) < seq:
                    try:
                        await self._session.mark_read(conversation_id, seq)
                        told[conversation_id] = seq
                    except SignedOut:
                        raise
                    except ClientError:
                        continue  # the next line that is shown marks it too

    async def _somebody_types(self, signal: TypingSignal) -> None:
        room = self._commands.room
        if room is None or signal.conversation_id != room.conversation_id or signal.user_id == self._client.user_id:
            return
        loop = asyncio.get_running_loop()
        self._typing[signal.user_id] = (await self._names.user(signal.user_id), loop.time() + _TYPING_SECONDS)
        loop.call_later(_TYPING_SECONDS + 0.1, self._tell_status)

    def _person_types(self, text: str) -> None:
        room, now = self._commands.room, asyncio.get_running_loop().time()
        due = now - self._told_typing_at > _TELL_TYPING_SECONDS
        if due and room is not None and room.newest_seq and text and not text.startswith("/"):
            self._told_typing_at = now
            self._session.typing(room.conversation_id)

    def _tell_status(self) -> None:
        now = asyncio.get_running_loop().time()
        self._typing = {user: (name, until) for user, (name, until) in self._typing.items() if until > now}
        parts = [self._username, self._state]
        if self._outgoing.waiting:
            parts.append(f"{self._outgoing.waiting} not acknowledged yet")
        if self._typing:
            parts.append(", ".join(name for name, _ in self._typing.values()) + " is typing …")
        self._screen.status(" · ".join(parts))
