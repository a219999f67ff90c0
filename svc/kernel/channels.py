"""How one service calls another: a channel by name, found in the registry, with the inner token and a deadline on every call.

What the other side answers comes back as the same `StonechatError` it raised there. Unary calls between services may be
repeated without harm, so one that cannot be answered by an instance is tried at another.
"""

import asyncio
import itertools
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

import grpc
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from svc.kernel import errors
from svc.kernel.calls import INNER_TOKEN_KEY
from svc.kernel.registry import Registry
from svc.kernel.status import DETAILS_KEY

T = TypeVar("T")
OPTIONS = [
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.enable_http_proxy", 0),
    # A frozen instance keeps its connections: only a ping that is not answered shows it.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # One that was not there a moment ago may be there now.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
_GRACE_SECONDS = 5.0
_ELSEWHERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_OUT = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


def _leaves(tree: type[errors.StonechatError]) -> dict[str, type[errors.StonechatError]]:
    found = {tree.reason: tree} if "reason" in vars(tree) else {}
    for child in tree.__subclasses__():
        found |= _leaves(child)
    return found


_BY_REASON = _leaves(errors.StonechatError)


def _details(error: grpc.aio.AioRpcError) -> Status | None:
    """What the other side said of its error; None when it was not the one who spoke."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            return Status.FromString(cast(bytes, value))
    return None


def translate(error: grpc.aio.AioRpcError) -> errors.StonechatError:
    """The error that the other side raised; Unavailable when it could not even answer."""
    info, retry, field, must = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), "", ""
    for detail in (_details(error) or Status()).details:
        bad = error_details_pb2.BadRequest()
        if not (detail.Unpack(info) or detail.Unpack(retry)) and detail.Unpack(bad) and bad.field_violations:
            field, must = bad.field_violations[0].field, bad.field_violations[0].description
    leaf = _BY_REASON.get(info.reason)
    message = error.details() or error.code().name
    if leaf is None:
        return errors.Unavailable(f"another service cannot answer: {message}")
    if leaf is errors.InvalidField:
        return leaf(field, must)
    return leaf(message, field=field, retry_after=retry.retry_delay.ToNanoseconds() / 1e9 or None)


def call_is_over() -> bool:
    """In `except CancelledError`: it was a call of gRPC that was cancelled, by its channel's end, and not the task that
    waits for it."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


class ServiceChannel:
    """What a stub takes for a channel: each unary call goes to an instance in its turn, and to the next one when that cannot
    be reached or uses up its half of the time that is left."""

    def __init__(self, channels: "Channels", service: str) -> None:
        self._channels = channels
        self._service = service

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        """Called by stubs."""

        async def call(request: object, timeout: float, metadata: Any) -> Any:  # noqa: ASYNC109 - as a stub's method
            ends_at = asyncio.get_running_loop().time() + timeout
            *others, last = self._channels.all_to(self._service)
            for channel in others:
                left = ends_at - asyncio.get_running_loop().time()
                try:
                    return await channel.unary_unary(*method, **options)(request, timeout=left / 2, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in _ELSEWHERE or _details(error) is not None:
                        raise
                except asyncio.CancelledError:
                    if not call_is_over():
                        raise
            left = ends_at - asyncio.get_running_loop().time()
            return await last.unary_unary(*method, **options)(request, timeout=left, metadata=metadata)

        return call

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        """Called by stubs. A stream is opened to an instance that is known, by `Channels.at`."""
        return None


class Channels:
    """Channels to services by name: one for each address, opened on first use, closed together."""

    def __init__(self, registry: Registry, inner_token: str) -> None:
        self._registry = registry
        self._metadata = ((INNER_TOKEN_KEY, inner_token),)
        self._open: dict[str, grpc.aio.Channel] = {}
        self._turn = itertools.count()
        self._closing: set[asyncio.Task[None]] = set()
        self._forget = registry.watch(self._close_unused)

    def to(self, service: str) -> grpc.aio.Channel:
        """A channel to whichever instances of a service are up when a call is made."""
        return cast(grpc.aio.Channel, ServiceChannel(self, service))

    def all_to(self, service: str) -> list[grpc.aio.Channel]:
        """Channels to the instances of a service: another one first each time, those that could not be reached just now last.
        Raises Unavailable when none is registered."""
        instances = self._registry.instances(service)
        if not instances:
            raise errors.Unavailable(f"no instance of {service} is up")
        turn = next(self._turn) % len(instances)
        channels = [self.at(instance.address) for instance in (*instances[turn:], *instances[:turn])]
        return sorted(channels, key=lambda channel: channel.get_state() in _OUT)

    def at(self, address: str) -> grpc.aio.Channel:
        """The channel to an instance, by its address."""
        if address not in self._open:
            self._open[address] = grpc.aio.insecure_channel(address, options=OPTIONS)
        return self._open[address]

    def _close_unused(self) -> None:
        """Calls under way go on for a while; who keeps the channel of one that left opens another."""
        up = {instance.address for instances in self._registry.snapshot().values() for instance in instances}
        for address in self._open.keys() - up:
            task = asyncio.get_running_loop().create_task(self._open.pop(address).close(grace=_GRACE_SECONDS))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def call(self, method: Any, request: object, deadline: float) -> Any:
        """Call a stub's unary method; `deadline` in seconds. Raises what the other side raised."""
        try:
            return await cast(Awaitable[Any], method(request, timeout=deadline, metadata=self._metadata))
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        except asyncio.CancelledError:
            if call_is_over():
                raise errors.Unavailable("the other service left before it answered") from None
            raise

    def stream(self, method: Any) -> Any:
        """Open a stub's bidirectional stream, without a deadline: its reader watches for silence."""
        return method(metadata=self._metadata)

    async def close(self) -> None:
        """Close every channel."""
        self._forget()
        if self._closing:
            await asyncio.wait(self._closing)
        for channel in self._open.values():
            await channel.close(grace=None)
        self._open.clear()
