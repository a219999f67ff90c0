"""The client's frames of one stream, in order: the one reader of a stream.

A frame that is refused is answered and the stream goes on; what breaks the protocol ends it.
"""

from collections.abc import AsyncIterator, Callable

from svc.kernel.errors import ProtocolViolation, StonechatError, TooManyInFlight, Unauthenticated
from svc.kernel.identity import TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.relay import Answer
from svc.messaging.model import Draft, Frame, Hello, ReadMark, Renewal, Typing
from svc.messaging.node import Node
from svc.messaging.session import Session

NO_DEADLINE = float("inf")


class FrameReader:
    """Reads streams for a node. `parse` turns a client's bytes into a frame, given the user id."""

    def __init__(
        self,
        node: Node,
        parse: Callable[[str, bytes], Frame],
        verifier: TokenVerifier,
        limiter: RateLimiter,
        rate: Rate,
        in_flight: int,
    ) -> None:
        self._node = node
        self._parse = parse
        self._verifier = verifier
        self._limiter = limiter
        self._rate = rate
        self._in_flight = in_flight

    async def read(self, session: Session, frames: AsyncIterator[bytes]) -> None:
        """Until the client leaves (or only stops sending: the two look alike). Raises what ends the stream."""
        said_hello = False
        async for raw in frames:
            # Whoever does not read what is answered is not read either.
            await session.outbox.room()
            if session.ended.is_set():
                return
            frame = self._parse(session.user_id, raw)
            if isinstance(frame.body, Hello):
                if said_hello:
                    raise ProtocolViolation("hello: was said already", field="hello")
                said_hello = True
                await self._node.open(session)
                await self._node.greet(session, frame.body.known)
            elif not said_hello:
                raise _first(frame.body)
            else:
                await self._take(session, frame)
        session.end()

    async def _take(self, session: Session, frame: Frame) -> None:
        try:
            match frame.body:
                case StonechatError() as error:
                    raise error
                case Draft() as draft:
                    await self._send(session, frame.request_id, draft)
                case ReadMark() as mark:
                    self._limit(session, "MarkRead")
                    await self._node.put_mark(mark, lambda error: self._result(session, frame.request_id, error))
                case Typing(conversation_id):
                    self._limit(session, "SendTyping")
                    await self._node.typing(session.user_id, conversation_id)
                    self._result(session, frame.request_id, None)
                case Renewal(access_token):
                    self._limit(session, "RenewToken")
                    await self._renew(session, access_token)
                    self._result(session, frame.request_id, None)
        except Unauthenticated:
            raise
        except StonechatError as error:
            self._result(session, frame.request_id, error)

    async def _send(self, session: Session, request_id: int, draft: Draft) -> None:
        if session.in_flight >= self._in_flight:
            raise TooManyInFlight(f"{session.in_flight} sends of this session wait for their answers already")
        self._limit(session, "SendMessage")
        # Each message is a trace of its own: that of the stream, which lives for hours, is not its parent.
        record = await self._node.accept(session.user_id, draft, NO_DEADLINE, "")
        session.in_flight += 1

        def answered(answer: Answer | StonechatError) -> None:
            session.in_flight -= 1
            if not session.ended.is_set():
                session.outbox.control(session.encoder.answer(request_id, record.conversation_id, answer))

        self._node.submit(record, NO_DEADLINE, answered)

    async def _renew(self, session: Session, access_token: str) -> None:
        renewed = await self._verifier.verify(access_token)
        old = session.identity
        if (renewed.user_id, renewed.device_id) != (old.user_id, old.device_id):
            raise Unauthenticated("renew_token: must be a token of the same user and device")
        session.identity = renewed

    def _limit(self, session: Session, method: str) -> None:
        self._limiter.take(session.user_id, method, self._rate)

    @staticmethod
    def _result(session: Session, request_id: int, error: StonechatError | None) -> None:
        # Bounded: a frame makes at most one, and the next frame is read when there is room for it.
        if request_id and not session.ended.is_set():
            session.outbox.control(session.encoder.answer(request_id, "", error))


def _first(body: object) -> StonechatError:
    return (
        body if isinstance(body, StonechatError) else ProtocolViolation("hello: must be the first frame", field="hello")
    )
