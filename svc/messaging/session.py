"""One device of a user, as long as it is connected: what it belongs to and what it is told.

The same object whatever carries it (Connect, Subscribe, event stream, Poll): only the writer differs.
"""

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svc.kernel.errors import DeviceRevoked, RateLimited, StonechatError
from svc.kernel.identity import Identity
from svc.kernel.ids import inbox_of, is_group_id
from svc.kernel.record import Kind
from svc.kernel.relay import Event, Signal
from svc.messaging.model import Head
from svc.messaging.outbox import Outbox
from svc.messaging.ports import Encoder
from svc.messaging.subscriptions import Subscriptions

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Doubt:
    """Events of a group went by since the membership was read, and one of them may have been the user's removal. `told`: how
    far the client is told."""

    told: int


class Session:
    """A `Listener` of the conversations of its user. Ends once, with an error or without; then nothing is queued any more."""

    def __init__(
        self,
        identity: Identity,
        subscriptions: Subscriptions,
        encoder: Encoder,
        max_bytes: int,
        now: float,
        missed: "Callable[[Session], None]" = lambda session: None,
        doubtful: "Callable[[Session], None]" = lambda session: None,
    ) -> None:
        self.identity = identity
        self.encoder = encoder
        self.outbox = Outbox(max_bytes, encoder.behind)
        self.inbox = inbox_of(identity.user_id)
        self.in_flight = 0
        self.opened_at = now
        self.now = now  # the node's monotonic clock, as of its last sweep
        self.written_at = now
        self.heartbeats = False  # whether the transport has no ping of its own
        self.greeted = False  # Hello was answered, or none is needed
        self.error: StonechatError | None = None
        self.ended = asyncio.Event()
        self.ended_at: float | None = None  # when the node saw it ended
        self.carrier: asyncio.Task[Any] | None = (
            None  # the task of the call that writes to its client, while there is one
        )
        self._subscriptions = subscriptions
        self._missed = missed  # told when something in the inbox was not pushed
        self._doubtful = doubtful  # told when there is a new doubt
        # Conversation → how far the client is told without a push; a conversation that is pending is not in it. Until its page
        # of Hello is there, that grows: what a page says is not pushed, so that each event comes once and in its place.
        self.heads: dict[str, int] = {}
        self._unpaged: set[str] = set()
        self.recent: list[str] = []  # the conversations of the user, most recent first, when the session was opened
        self._joining: set[str] = set()
        self._settled = asyncio.Event()
        # Conversation → (membership version, member): the newest that was heard, from the list or from the inbox.
        self._memberships: dict[str, tuple[int, bool]] = {}
        # Nothing of these groups is pushed until `reassured`. A new gap is a new doubt.
        self._doubts: dict[str, Doubt] = {}

    @property
    def user_id(self) -> str:
        """Whose session it is."""
        return self.identity.user_id

    def is_in(self, conversation_id: str) -> bool:
        """Whether the session gets the events of a conversation: the user is part of it as far as is known here."""
        return conversation_id in self.heads

    def sees(self, conversation_id: str) -> bool:
        """Whether it gets them right now: only then is what it knows of the membership sure to be the newest (S12)."""
        live = self.is_in(conversation_id) and self._subscriptions.last(conversation_id) is not None
        return live and conversation_id not in self._doubts

    def conversations(self) -> Iterable[str]:
        """Everything it joined, the inbox included."""
        return [*self.heads, *self._joining]

    def join(self, conversation_id: str) -> None:
        """Begin to get the events of a conversation."""
        if conversation_id in self.heads or conversation_id in self._joining:
            return
        last = self._subscriptions.join(self, conversation_id)
        if last is None:
            self._joining.add(conversation_id)
            self._settled.clear()
        else:
            self._live(conversation_id, last)

    def leave(self, conversation_id: str) -> None:
        """Get nothing more of it."""
        self.heads.pop(conversation_id, None)
        self._unpaged.discard(conversation_id)
        self._joining.discard(conversation_id)
        self._doubts.pop(conversation_id, None)
        self._subscriptions.leave(self, [conversation_id], self.now)
        self._settle()

    def member(self, conversation_id: str, version: int, member: bool) -> None:
        """The user joined or left, in that membership version. Older news than what is known are ignored (S10)."""
        known = self._memberships.get(conversation_id)
        if known is not None and known[0] >= version:
            return
        self._memberships[conversation_id] = (version, member)
        if member:
            self.join(conversation_id)
        else:
            self.leave(conversation_id)

    async def settled(self) -> None:
        """Until everything that was joined is live, or the session has ended."""
        # Whoever waits runs a little after it was woken: something else may have been joined in between.
        while self._joining and not self.ended.is_set():
            await self._settled.wait()

    def greet(self, unpaged: Iterable[str]) -> None:
        """Hello is being answered: pages follow for these conversations. In all others the client knows as much as `heads`."""
        self._unpaged.update(unpaged)
        self.greeted = True
        for name, doubt in self._doubts.items():
            doubt.told = self.heads[name]
        if self._doubts:
            self._doubtful(self)

    def page(self, heads: Sequence[Head], frame: bytes) -> None:
        """Queue a page of the answer to Hello: conversations that are joined. What comes after it is pushed."""
        self.outbox.control(frame)
        for told in heads:
            name = told.conversation_id
            self._unpaged.discard(name)
            if (doubt := self._doubts.get(name)) is not None:
                doubt.told = told.last_seq
            if told.last_seq >= (head := self.heads[name]):
                self.heads[name] = told.last_seq
            elif doubt is None:  # the page was read before that came
                self.outbox.behind(name, head)
                self._check_pace()

    def doubts(self) -> Mapping[str, Doubt]:
        """Groups of which it is not sure any more that the user is in."""
        return dict(self._doubts)

    def reassured(self, doubts: Mapping[str, Doubt], member_of: Container[str]) -> None:
        """What the user is part of was read after these doubts came up: go on, or leave."""
        for name, doubt in doubts.items():
            if self._doubts.get(name) is not doubt:
                continue
            if name not in member_of:
                self.leave(name)
                continue
            del self._doubts[name]
            if self.heads[name] > doubt.told and not self._is_unpaged(name) and not self.ended.is_set():
                self.outbox.behind(name, self.heads[name])
                self._check_pace()

    def end(self, error: StonechatError | None = None) -> None:
        """Stop. The first reason counts."""
        if not self.ended.is_set():
            self.error = error
            self.ended.set()
            self.outbox.end()
            self._settled.set()

    def fail(self, error: BaseException) -> None:
        """Stop because something that serves the session failed."""
        if isinstance(error, StonechatError):
            self.end(error)
        else:
            log.error("a session failed", exc_info=error)
            self.end(StonechatError("internal error"))

    # Listener

    def joined(self, conversation_id: str, head: int) -> None:
        if conversation_id in self._joining:
            self._joining.discard(conversation_id)
            self._live(conversation_id, head)
            self._settle()

    def push(self, event: Event) -> None:
        name = event.conversation_id
        head = self.heads.get(name)
        if head is None or self.ended.is_set():
            return
        if event.seq > head:  # else the page told of it
            if self._is_unpaged(name) or name in self._doubts:
                self.heads[name] = event.seq
            else:
                self.outbox.event(event.frame, name, event.seq, event.traceparent)
                self._check_pace()
        if name == self.inbox:
            self._told(event)
        elif event.kind == Kind.MEMBERSHIP and self.user_id in event.subjects:
            # Nothing beyond the removal, even if the inbox tells of it later.
            self.member(name, event.version, False)

    def behind(self, conversation_id: str, head: int) -> None:
        if conversation_id in self.heads and not self.ended.is_set():
            if is_group_id(conversation_id):
                self._doubt(conversation_id, self.heads[conversation_id])
                self.heads[conversation_id] = max(head, self.heads[conversation_id])
            elif self._is_unpaged(conversation_id):
                self.heads[conversation_id] = max(head, self.heads[conversation_id])
            else:
                self.outbox.behind(conversation_id, head)
                self._check_pace()
            if conversation_id == self.inbox:
                self._missed(self)

    def signal(self, signal: Signal) -> None:
        if signal.conversation_id in self.heads and self.greeted and not self.ended.is_set():
            self.outbox.signal(signal.key, signal.conversation_id, signal.frame)

    def _is_unpaged(self, conversation_id: str) -> bool:
        return not self.greeted or conversation_id in self._unpaged

    def _check_pace(self) -> None:
        if self.outbox.overwhelmed:
            self.end(RateLimited("the session does not keep up: connect again and say what is known"))

    def _live(self, conversation_id: str, head: int) -> None:
        self.heads[conversation_id] = head
        if head > 0 and is_group_id(conversation_id):
            self._doubt(conversation_id, 0)
        elif head > 0 and self.greeted:
            # It was joined in the middle of the session: what is there already has to be pulled.
            self.outbox.behind(conversation_id, head)

    def _doubt(self, conversation_id: str, told: int) -> None:
        older = self._doubts.get(conversation_id)
        self._doubts[conversation_id] = Doubt(told if older is None else older.told)
        if self.greeted:
            self._doubtful(self)

    def _settle(self) -> None:
        if not self._joining:
            self._settled.set()

    def _told(self, event: Event) -> None:
        match event.kind:
            case Kind.OPENED | Kind.JOINED:
                for conversation_id in event.subjects:
                    self.member(conversation_id, event.version, True)
            case Kind.LEFT:
                for conversation_id in event.subjects:
                    self.member(conversation_id, event.version, False)
            case Kind.DEVICE_SIGNED_OUT:
                if self.identity.device_id in event.subjects:
                    self.end(DeviceRevoked("this device was signed out"))
            case _:
                pass
