"""How a service is called: the one chain that every call goes through, for all four shapes of gRPC.

A servicer's methods get a parsed, validated request (streamed requests: the raw frames, parsed one by one by the session that
reads them) and a `Call`; they return or yield messages, or bytes that are already encoded. They raise `StonechatError`s and
know nothing of statuses.
"""

import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from svc.kernel.clock import Clock
from svc.kernel.errors import PermissionDenied, StonechatError, Unauthenticated
from svc.kernel.identity import Identity, TokenVerifier, bearer
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.status import DETAILS_KEY, internal, to_status
from svc.kernel.telemetry import CALL_SECONDS, CALLS, OPEN_STREAMS
from svc.kernel.validation import parse

log = logging.getLogger(__name__)
access_log = logging.getLogger("stonechat.calls")

INNER_TOKEN_KEY = "x-stonechat-inner"  # noqa: S105 - the name of a header

# The context of grpc.aio: its stubs type the synchronous one.
Context = Any


@dataclass(slots=True)
class Call:
    """One call, as a servicer sees it."""

    method: str
    context: Context
    metadata: Mapping[str, str]
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    identity: Identity | None = None
    code: str = "OK"

    @property
    def caller(self) -> Identity:
        """Who calls. Only methods that need a token have one."""
        if self.identity is None:
            raise Unauthenticated("send `authorization: Bearer <access token>`")
        return self.identity

    @property
    def traceparent(self) -> str:
        """The caller's W3C trace context, or empty."""
        return self.metadata.get("traceparent", "")

    def time_remaining(self, default: float) -> float:
        """Seconds until the caller's deadline; `default` when it gave none, and never more than that."""
        remaining = self.context.time_remaining()
        return default if remaining is None else max(0.0, min(default, remaining))


Stage = Callable[[Call], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call what. A method that stands in neither set needs an access token."""

    public: frozenset[str]
    inner: frozenset[str]
    inner_token: str


class CallChain:
    """The stages around every call, outermost first."""

    def __init__(self, verifier: TokenVerifier, access: Access, limiter: RateLimiter, rate: Rate, clock: Clock) -> None:
        self._verifier = verifier
        self._access = access
        self._limiter = limiter
        self._rate = rate
        self._clock = clock
        self.stages: tuple[Stage, ...] = (
            self._telemetry,  # outermost: sees how every call ends, and how long all of it took
            self._errors,  # around all that may raise, within what records the outcome
            self._identity,  # before limits, which count by user
            self._limits,  # last: a refused call costs no more than this
        )

    @asynccontextmanager
    async def _telemetry(self, call: Call) -> AsyncIterator[None]:
        started = self._clock.monotonic()
        try:
            yield
        except BaseException:
            call.code = "CANCELLED" if call.code == "OK" else call.code
            raise
        finally:
            seconds = self._clock.monotonic() - started
            CALLS.labels(call.method, call.code).inc()
            CALL_SECONDS.labels(call.method).observe(seconds)
            access_log.info(
                "call",
                extra={
                    "method": call.method,
                    "code": call.code,
                    "ms": round(seconds * 1000, 2),
                    "call_id": call.call_id,
                    "user": call.identity.user_id if call.identity else "",
                    "trace": call.traceparent[3:35],
                },
            )

    @asynccontextmanager
    async def _errors(self, call: Call) -> AsyncIterator[None]:
        try:
            yield
        except StonechatError as error:
            await self._abort(call, error)
        except Exception:
            log.exception("unforeseen error", extra={"method": call.method, "call_id": call.call_id})
            await self._abort(call, internal(call.call_id))

    @staticmethod
    async def _abort(call: Call, error: StonechatError) -> None:
        call.code = error.code
        details = to_status(error, call.call_id).SerializeToString()
        code = grpc.StatusCode[error.code]
        await call.context.abort(code, error.message, trailing_metadata=((DETAILS_KEY, details),))

    @asynccontextmanager
    async def _identity(self, call: Call) -> AsyncIterator[None]:
        if call.method in self._access.inner:
            token = call.metadata.get(INNER_TOKEN_KEY, "")
            if not hmac.compare_digest(token.encode(), self._access.inner_token.encode()):
                raise PermissionDenied("this call is for services only")
        elif call.method not in self._access.public:
            call.identity = await self._verifier.verify(bearer(call.metadata.get("authorization", "")))
        yield

    @asynccontextmanager
    async def _limits(self, call: Call) -> AsyncIterator[None]:
        if call.method not in self._access.inner:
            # Without a token it is the address, as Envoy appends it: what a client wrote before that counts for nothing.
            address = call.metadata.get("x-forwarded-for", "").rpartition(",")[2].strip()
            who = call.identity.user_id if call.identity else address
            rate = self._rate if call.identity else Rate(self._rate.per_second * 10, self._rate.burst * 10)
            self._limiter.take(who, call.method.rpartition("/")[2], rate)
        yield

    async def enter(self, stack: AsyncExitStack, method: str, context: Context) -> Call:
        """Run the stages' first halves; `stack` runs the second ones."""
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        call = Call(method, context, metadata)
        for stage in self.stages:
            await stack.enter_async_context(stage(call))
        return call


def _encode(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _handler(chain: CallChain, method: MethodDescriptor, behaviour: Callable[..., Any]) -> Any:
    name = f"/{method.containing_service.full_name}/{method.name}"
    request_type = GetMessageClass(method.input_type)

    async def unary(raw: bytes, context: Context) -> bytes:
        async with AsyncExitStack() as stack:
            call = await chain.enter(stack, name, context)
            return _encode(await behaviour(parse(request_type, raw), call))
        raise AssertionError("unreachable")  # pragma: no cover - abort always raises

    async def streamed(requests: bytes | AsyncIterator[bytes], context: Context) -> None:
        async with AsyncExitStack() as stack:
            call = await chain.enter(stack, name, context)
            stack.enter_context(OPEN_STREAMS.labels(name).track_inprogress())
            argument = parse(request_type, requests) if isinstance(requests, bytes) else requests
            # Closed at once when the call ends, so that what the stream holds is given back then.
            async with aclosing(behaviour(argument, call)) as responses:
                async for response in responses:
                    try:
                        await context.write(_encode(response))
                    except grpc.aio.InternalError:
                        # gRPC's word for a client that has gone in the middle of a write; there is nobody to tell.
                        call.code = "CANCELLED"
                        return

    async def collected(requests: AsyncIterator[bytes], context: Context) -> bytes:
        async with AsyncExitStack() as stack:
            call = await chain.enter(stack, name, context)
            return _encode(await behaviour(requests, call))
        raise AssertionError("unreachable")  # pragma: no cover - abort always raises

    if method.server_streaming and method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(streamed)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(streamed)
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(collected)
    return grpc.unary_unary_rpc_method_handler(unary)


def handlers(chain: CallChain, service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """A handler for every rpc of a service: `servicer` has a method of the same name for each (AttributeError if not).

    Shapes: `async def Unary(request, call) -> message`, `def ServerStream(request, call) -> async iterator`,
    `def BidiStream(frames: async iterator of bytes, call) -> async iterator`, `async def ClientStream(frames, call)`.
    """
    behaviours = {method.name: _handler(chain, method, getattr(servicer, method.name)) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, behaviours)
