"""What a node knows of each conversation its sessions belong to: a pure state machine, no I/O, no clock (protocol S5–S7).

    absent ──join──▶ pending ──Ack──▶ live(last)
                        ▲                │ stream broken, NotOwner, a higher claim
                        └──── was=last ──┘

The caller hands in every item of each relay stream in order, and sends what `take_requests` returns.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from svc.kernel.relay import Ack, Event, Item, Moved, NotOwner, Signal

LINGER_SECONDS = 60.0


class Listener(Protocol):
    """A session, as far as a conversation concerns it. It may join and leave conversations when it is called."""

    def joined(self, conversation_id: str, head: int) -> None:
        """A conversation that was pending when this session joined is live: events above head follow."""
        ...

    def push(self, event: Event) -> None:
        """The next event."""
        ...

    def behind(self, conversation_id: str, head: int) -> None:
        """Events up to head were not pushed: pull them. What comes after is pushed."""
        ...

    def signal(self, signal: Signal) -> None:
        """An ephemeral event."""
        ...


Via = Hashable
"""Names a relay stream."""
Route = Callable[[str], "Via | None"]
"""Conversation → the stream to whoever owns it; None while that is not known, or there is no stream."""


@dataclass(slots=True)
class _Conversation:
    last: int | None = None  # the newest seq that was pushed or told; None: pending
    was: int | None = None  # the last one before it became pending again
    claim: int = 0  # the highest claim seen
    listeners: dict[Listener, None] = field(default_factory=dict)
    waiting: dict[Listener, None] = field(default_factory=dict)  # joined while it was pending
    via: Via | None = None  # the stream on which it was subscribed


@dataclass(slots=True)
class Requests:
    """What is to be sent up one relay stream."""

    subscribe: list[str] = field(default_factory=list)
    unsubscribe: list[str] = field(default_factory=list)


class Subscriptions:
    """All conversations of a node, counted by reference."""

    def __init__(self) -> None:
        self._conversations: dict[str, _Conversation] = {}
        self._idle: dict[str, float] = {}  # without a session since then, the longest first
        # A pending conversation is in one of these, or it was subscribed and waits for its Ack.
        self._wanted: dict[str, None] = {}  # to be subscribed
        self._refused: dict[str, None] = {}  # by who does not own them: wanted again after `retry`
        self._unowned: dict[str, None] = {}  # no stream leads to an owner: wanted again after `look_again`
        self._leaving: dict[str, Via] = {}  # to be unsubscribed, and where
        self.regressions = 0

    def __len__(self) -> int:
        return len(self._conversations)

    def join(self, listener: Listener, conversation_id: str) -> int | None:
        """Add a session and read the newest seq, in one step (S6). None: the conversation is pending, `joined` follows."""
        state = self._conversations.get(conversation_id)
        if state is None:
            state = self._conversations[conversation_id] = _Conversation()
            self._leaving.pop(conversation_id, None)
            self._wanted[conversation_id] = None
        self._idle.pop(conversation_id, None)
        (state.waiting if state.last is None else state.listeners)[listener] = None
        return state.last

    def leave(self, listener: Listener, conversation_ids: Iterable[str], now: float) -> None:
        """A session has gone from conversations. Those without any are kept for a while (see `expire`)."""
        for conversation_id in conversation_ids:
            state = self._conversations.get(conversation_id)
            if state is not None:
                state.listeners.pop(listener, None)
                state.waiting.pop(listener, None)
                if not state.listeners and not state.waiting and conversation_id not in self._idle:
                    self._idle[conversation_id] = now

    def last(self, conversation_id: str) -> int | None:
        """The newest seq of a live conversation, or None when it is absent or pending."""
        state = self._conversations.get(conversation_id)
        return state.last if state is not None else None

    def expire(self, now: float) -> None:
        """Forget conversations without a session for 60 s, and unsubscribe; a later join starts from absent."""
        while self._idle:
            conversation_id, since = next(iter(self._idle.items()))
            if now - since < LINGER_SECONDS:
                return
            del self._idle[conversation_id]
            state = self._conversations.pop(conversation_id)
            self._wanted.pop(conversation_id, None)
            self._refused.pop(conversation_id, None)
            self._unowned.pop(conversation_id, None)
            if state.via is not None:
                self._leaving[conversation_id] = state.via

    def broken(self, via: Via) -> None:
        """A relay stream ended or fell silent: what was subscribed on it is pending, and subscribed again on the next (S7)."""
        for conversation_id, state in self._conversations.items():
            if state.via == via:
                self._ask_again(conversation_id, state)
        for conversation_id in [name for name, left in self._leaving.items() if left == via]:
            del self._leaving[conversation_id]

    def reroute(self, route: Route) -> None:
        """Owners have changed: what was subscribed elsewhere is pending, and subscribed where it is owned now (S7)."""
        for conversation_id, state in self._conversations.items():
            if state.via is not None and state.via != route(conversation_id):
                self._leaving[conversation_id] = state.via
                self._ask_again(conversation_id, state)
        self.retry()
        self.look_again()

    def retry(self) -> None:
        """Ask again for what was refused. Not at once: two who disagree on who owns it would never stop."""
        self._wanted |= self._refused
        self._refused.clear()

    def look_again(self) -> None:
        """A stream was opened: it may lead to the owner of what had none."""
        self._wanted |= self._unowned
        self._unowned.clear()

    def take_requests(self, route: Route) -> dict[Via, Requests]:
        """What is to be sent now, by stream. What has none waits for one."""
        found: dict[Via, Requests] = {}
        if self._leaving:
            for conversation_id, via in self._leaving.items():
                found.setdefault(via, Requests()).unsubscribe.append(conversation_id)
            self._leaving.clear()
        if self._wanted:
            for conversation_id in self._wanted:
                if (to := route(conversation_id)) is None:
                    self._unowned[conversation_id] = None
                    continue
                self._conversations[conversation_id].via = to
                found.setdefault(to, Requests()).subscribe.append(conversation_id)
            self._wanted.clear()
        return found

    def receive(self, item: Item, via: Via) -> None:
        """The next item of a stream. Answers and ticks do not concern conversations and are ignored."""
        match item:
            case Event():
                self._event(item)
            case Ack():
                self._ack(item)
            case Moved():
                self._moved(item)
            case NotOwner():
                self._not_owner(item, via)
            case Signal():
                self._signal(item)
            case _:
                pass

    def _event(self, event: Event) -> None:
        state = self._conversations.get(event.conversation_id)
        if state is None or state.last is None or event.claim < state.claim:
            return
        if event.claim > state.claim:
            # Somebody else owns it now: what came between may be missing, so ask where it stands (S7).
            self._ask_again(event.conversation_id, state)
        elif event.seq == state.last + 1:
            state.last = event.seq
            for listener in list(state.listeners):
                listener.push(event)
        elif event.seq > state.last:
            self._skip_to(state, event.conversation_id, event.seq)

    def _ack(self, ack: Ack) -> None:
        state = self._conversations.get(ack.conversation_id)
        if state is None or ack.claim < state.claim:
            return
        state.claim = ack.claim
        if state.last is None:
            known, state.was = state.was, None
            # An owner that knows less than was pushed: keep what we know, and say so.
            self.regressions += known is not None and ack.head < known
            state.last = ack.head if known is None else max(known, ack.head)
            if known is not None and ack.head > known:
                self._tell_behind(state, ack.conversation_id)
            for listener in list(state.waiting):
                listener.joined(ack.conversation_id, state.last)
            state.listeners |= state.waiting
            state.waiting.clear()
        elif ack.head > state.last:
            # Subscribed again before the first Ack came: what lay between the two was not sent.
            self._skip_to(state, ack.conversation_id, ack.head)

    def _moved(self, moved: Moved) -> None:
        state = self._conversations.get(moved.conversation_id)
        if state is not None and state.last is not None and moved.head > state.last:
            self._skip_to(state, moved.conversation_id, moved.head)

    def _not_owner(self, item: NotOwner, via: Via) -> None:
        state = self._conversations.get(item.conversation_id)
        if state is not None and state.via == via:
            self._suspend(state)
            self._refused[item.conversation_id] = None

    def _signal(self, signal: Signal) -> None:
        state = self._conversations.get(signal.conversation_id)
        if state is not None:
            for listener in list(state.listeners):
                listener.signal(signal)

    def _skip_to(self, state: _Conversation, conversation_id: str, head: int) -> None:
        state.last = head
        self._tell_behind(state, conversation_id)

    @staticmethod
    def _tell_behind(state: _Conversation, conversation_id: str) -> None:
        assert state.last is not None  # noqa: S101 - it is live
        for listener in list(state.listeners):
            listener.behind(conversation_id, state.last)

    def _ask_again(self, conversation_id: str, state: _Conversation) -> None:
        self._suspend(state)
        self._wanted[conversation_id] = None

    @staticmethod
    def _suspend(state: _Conversation) -> None:
        state.via = None
        if state.last is not None:
            state.was, state.last = state.last, None
