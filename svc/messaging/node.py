"""A messaging node: its sessions, and all that they share."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import Draining, OutcomeUnknown, ProtocolViolation, StonechatError, TokenExpired
from svc.kernel.eventlog import EventLog
from svc.kernel.identity import Identity
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.record import Record
from svc.kernel.registry import Registry
from svc.kernel.relay import Answer, Relay, Signal
from svc.kernel.settings import Settings
from svc.kernel.switches import READ_MARKS, TYPING, Switches
from svc.messaging.acceptance import Acceptance
from svc.messaging.appender import Appender
from svc.messaging.hello import OPEN_SECONDS, Hellos
from svc.messaging.links import Links
from svc.messaging.marks import Done, MarkBoard
from svc.messaging.missed import MissedNews
from svc.messaging.model import Draft, ReadMark
from svc.messaging.moved import MovedRecords
from svc.messaging.ports import Conversations, Directory, Encoder, ReadMarks
from svc.messaging.requests import Answered, Request, Requests
from svc.messaging.session import Session
from svc.messaging.subscriptions import Subscriptions

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.25
HEARTBEAT_SECONDS = 25.0
LEAVING_SECONDS = 3.0
ANSWERING_SECONDS = 2.0
"""So long a node that leaves waits for the answers to what it has accepted."""
GREETING_SECONDS = 10.0 + OPEN_SECONDS
"""Hello within 10 s; then it may take so long to answer it."""


class Node:
    """Accepts for its sessions, and tells them. Everything per message goes without a task, a timer or a span of its own."""

    def __init__(
        self,
        boot_id: str,
        settings: Settings,
        clock: Clock,
        event_log: EventLog,
        coordination: Coordination,
        registry: Registry,
        relay: Relay,
        conversations: Conversations,
        marks: ReadMarks,
        directory: Directory,
        encoder: Encoder,
        tracer: telemetry.Tracer,
        switches: Switches,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tracer = tracer
        self._switches = switches
        self.encoder = encoder
        self._subscriptions = Subscriptions()
        self._moved = MovedRecords(coordination, self._append, clock)
        self._requests = Requests(self._moved.put)
        self._sessions: set[Session] = set()
        self._draining = False
        self._closed = False
        self._links = Links(boot_id, relay, registry, coordination, self._subscriptions, self._requests, clock)
        self._appender = Appender(event_log, coordination, self._requests, tracer, clock)
        self._marks = MarkBoard(marks, encoder, self._signal_mark, clock)
        self._hellos = Hellos(conversations, directory, self._links.flush, settings.hello_admission)
        self._missed = MissedNews(self._hellos.look_again, clock)
        self._doubtful = MissedNews(self._hellos.reassure, clock)
        self._acceptance = Acceptance(conversations, directory, SnowflakeGenerator(clock), clock, boot_id)

    @asynccontextmanager
    async def running(self, failed: Failed | None = None) -> AsyncIterator[None]:
        """The node at work, for as long as the block lasts. `failed` is told when a part of it has died."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(owned(self._links.run(), "relay links", failed))
            await stack.enter_async_context(owned(self._moved.run(self._requests.waits), "moved records", failed))
            await stack.enter_async_context(owned(self._appender.run(), "appender", failed))
            await stack.enter_async_context(owned(self._marks.run(), "read marks", failed))
            await stack.enter_async_context(owned(self._missed.run(), "missed news", failed))
            await stack.enter_async_context(owned(self._doubtful.run(), "doubtful memberships", failed))
            await stack.enter_async_context(owned(self._sweep(), "session sweep", failed))
            yield

    # Sessions

    @asynccontextmanager
    async def session(self, identity: Identity) -> AsyncIterator[Session]:
        """A session from its first byte to its last. Raises Draining."""
        session = self.enter(identity)
        session.carrier = asyncio.current_task()
        try:
            yield session
        finally:
            self.leave(session)

    def enter(self, identity: Identity) -> Session:
        """Take a session in. Raises Draining."""
        if self._draining:
            raise Draining("this instance stops: connect again")
        session = Session(
            identity,
            self._subscriptions,
            self.encoder,
            self._settings.session_queue_bytes,
            self._clock.monotonic(),
            self._missed.put,
            self._doubtful.put,
        )
        self._sessions.add(session)
        self._acceptance.sessions.setdefault(identity.user_id, set()).add(session)
        telemetry.SESSIONS.inc()
        return session

    def leave(self, session: Session) -> None:
        """The session has gone."""
        session.end()
        self._subscriptions.leave(session, session.conversations(), self._clock.monotonic())
        self._sessions.discard(session)
        own = self._acceptance.sessions.get(session.user_id, set())
        own.discard(session)
        if not own:
            self._acceptance.sessions.pop(session.user_id, None)
        telemetry.SESSIONS.dec()

    async def open(self, session: Session) -> None:
        """Join everything. Raises Busy, DeviceRevoked, Unavailable."""
        await self._hellos.open(session)

    async def greet(self, session: Session, known: dict[str, int], paced: bool = True) -> None:
        """Answer Hello. `paced`: somebody writes at the same time."""
        await self._hellos.greet(session, known, paced)

    # What sessions ask

    async def accept(self, user_id: str, draft: Draft, deadline: float, traceparent: str) -> Record:
        """The record that a draft becomes: whom it is for, whether the sender may. `deadline`: seconds from now, at most the
        configured one; after that it is not numbered any more. Raises what forbids it."""
        if self._closed:
            raise Draining("this instance stops: send it again")
        began_ns = time.time_ns()
        context = self._tracer.begin(traceparent)
        record = await self._acceptance.record(user_id, draft, self._requests.next_id(), self._wait(deadline), context)
        if not context:
            return record
        attributes = {"user": user_id, "conversation": record.conversation_id, "record": str(record.record_id)}
        return replace(record, traceparent=self._tracer.span("accept", context, began_ns, time.time_ns(), **attributes))

    def submit(self, record: Record, deadline: float, answered: Answered) -> None:
        """Send a record on its way; `answered` is told once: when it is stored, or why there is no answer."""
        started = self._clock.monotonic()

        def told(answer: Answer | StonechatError) -> None:
            telemetry.SEND_SECONDS.observe(self._clock.monotonic() - started)
            telemetry.sends(answer.outcome.name if isinstance(answer, Answer) else answer.reason).inc()
            answered(answer)

        self._requests.add(Request(record, started + self._wait(deadline), told))
        try:
            self._appender.put(record)
        except StonechatError as error:
            self._requests.fail([record.request_id], error)

    async def send(self, user_id: str, draft: Draft, deadline: float, traceparent: str) -> tuple[Record, Answer]:
        """Accept, submit, and wait for the answer. Raises what it says instead."""
        record = await self.accept(user_id, draft, deadline, traceparent)
        future: asyncio.Future[Answer | StonechatError] = asyncio.get_running_loop().create_future()
        self.submit(record, deadline, lambda answer: None if future.done() else future.set_result(answer))
        answer = await future  # ended by the sweep at the latest
        if isinstance(answer, StonechatError):
            raise answer
        return record, answer

    async def mark_read(self, mark: ReadMark) -> None:
        """Raise a read mark; returns when it is stored."""
        future: asyncio.Future[StonechatError | None] = asyncio.get_running_loop().create_future()
        await self.put_mark(mark, lambda error: None if future.done() else future.set_result(error))
        try:
            async with asyncio.timeout(self._settings.send_timeout_ms / 1000):
                error = await future
        except TimeoutError:
            raise OutcomeUnknown("no answer in time: repeat, a mark only grows") from None
        if error is not None:
            raise error

    async def put_mark(self, mark: ReadMark, done: Done) -> None:
        """Raise a read mark; `done` is told when it is stored. Raises NotFound unless the user is part of it."""
        await self._acceptance.require_member(mark.user_id, mark.conversation_id)
        self._marks.put(mark, done)

    async def typing(self, user_id: str, conversation_id: str) -> None:
        """Tell the others that the user writes, unless that is switched off. Raises NotFound unless the user is part of it."""
        if not self._switches.is_on(TYPING):
            return
        await self._acceptance.require_member(user_id, conversation_id)
        frame = self.encoder.typing(conversation_id, user_id)
        self._links.signal(Signal(conversation_id, f"typing {user_id}", frame))

    def _signal_mark(self, signal: Signal) -> None:
        if self._switches.is_on(READ_MARKS):
            self._links.signal(signal)

    def queued_bytes(self) -> int:
        """Bytes that wait to be written to sessions."""
        return sum(session.outbox.size for session in self._sessions)

    def _append(self, record: Record) -> None:
        self._appender.put(record)

    def _wait(self, deadline: float) -> float:
        return min(deadline, self._settings.send_timeout_ms / 1000)

    # Time

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            now, today = self._clock.monotonic(), self._clock.now_us() / 1e6
            self._requests.expire(now)
            self._subscriptions.expire(now)
            self._links.retry()
            for session in list(self._sessions):
                self._check(session, now, today)

    def _check(self, session: Session, now: float, today: float) -> None:
        session.now = now
        if session.ended.is_set():
            self._let_go(session, now)
            return
        if session.identity.expires_at <= today:
            session.end(TokenExpired("the access token has expired: refresh it and connect again"))
        elif not session.greeted and now - session.opened_at > GREETING_SECONDS:
            session.end(ProtocolViolation("hello: must be the first frame, within 10 s", field="hello"))
        elif session.heartbeats and now - session.written_at > HEARTBEAT_SECONDS:
            session.written_at = now
            session.outbox.control(self.encoder.heartbeat())

    @staticmethod
    def _let_go(session: Session, now: float) -> None:
        # A writer whose client does not read waits for ever: it is told to leave, and the call is reset.
        if session.ended_at is None:
            session.ended_at = now
        elif now - session.ended_at > LEAVING_SECONDS and session.carrier is not None:
            log.info("a client did not take the end of its session", extra={"user": session.user_id})
            session.carrier.cancel()

    async def drain(self, seconds: float) -> None:
        """Tell all sessions to move, spread over the window; then accept nothing more, wait for the answers to what was
        accepted, and end the sessions that are left."""
        self._draining = True
        self._end_unheld()
        sessions = [session for session in self._sessions if not session.ended.is_set()]
        log.info("draining", extra={"sessions": len(sessions), "seconds": seconds})
        for number, session in enumerate(sessions):
            session.outbox.control(self.encoder.reconnect(int(1000 * seconds * number / len(sessions))))
        ends_at = self._clock.monotonic() + seconds
        while self._clock.monotonic() < ends_at and any(not session.ended.is_set() for session in self._sessions):
            await self._clock.sleep(0.05)
            self._end_unheld()
        self._closed = True
        ends_at = self._clock.monotonic() + ANSWERING_SECONDS
        while self._clock.monotonic() < ends_at and len(self._requests):
            await self._clock.sleep(0.05)
        for session in list(self._sessions):
            session.end(Draining("this instance stops: connect again"))

    def _end_unheld(self) -> None:
        # Held by a cursor between two calls: nobody to tell, and the next call goes elsewhere.
        for session in self._sessions:
            if session.carrier is None:
                session.end(Draining("this instance stops: begin anew"))
