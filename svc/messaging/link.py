"""The node's end of the relay to one delivery instance: keeps a stream open, hands on what comes."""

import logging
from collections.abc import Callable, Sequence

from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.registry import Instance
from svc.kernel.relay import Answer, Relay, RelayStream, Signal, Unanswered
from svc.messaging.requests import Requests as Waiting
from svc.messaging.subscriptions import Requests, Subscriptions

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0
"""An instance ticks each second: silence for so long means that the stream is dead (S7)."""


class Link:
    """One stream after the other, for as long as the instance is up. `turned` is called with each new one and at the end of
    each, `received` after each batch of items."""

    def __init__(
        self,
        node: str,
        instance: Instance,
        relay: Relay,
        subscriptions: Subscriptions,
        requests: Waiting,
        clock: Clock,
        turned: Callable[["Link"], None],
        received: Callable[[], None],
    ) -> None:
        self.instance = instance
        self._node = node
        self._relay = relay
        self._subscriptions = subscriptions
        self._requests = requests
        self._clock = clock
        self._turned = turned
        self._received = received
        self._stream: RelayStream | None = None
        self._heard_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a stream."""
        return self._stream is not None

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(base=0.05, cap=2.0)
        async with owned(self._watch_silence(), "relay silence"):
            while True:
                try:
                    stream = await self._relay.open(self._node, self.instance)
                    backoff.reset()
                    await self._serve(stream)
                except Unavailable as error:
                    log.debug("the relay stream ended", extra={"error": error.message})
                await self._clock.sleep(backoff.next_delay())

    async def _serve(self, stream: RelayStream) -> None:
        self._stream, self._heard_at = stream, self._clock.monotonic()
        try:
            self._turned(self)
            while True:
                for item in await stream.receive():
                    if isinstance(item, Answer):
                        self._requests.resolve(item)
                    else:
                        self._subscriptions.receive(item, self)
                self._heard_at = self._clock.monotonic()
                self._received()
        finally:
            self._stream = None
            self._turned(self)
            self._subscriptions.broken(self)
            await stream.close()

    def send(self, requests: Requests) -> None:
        """Subscribe and unsubscribe; without a stream it is forgotten: the next one begins anew."""
        if self._stream is None:
            return
        if requests.unsubscribe:
            self._stream.unsubscribe(requests.unsubscribe)
        if requests.subscribe:
            self._stream.subscribe(requests.subscribe)

    def ask(self, unanswered: Sequence[Unanswered]) -> None:
        """List requests that wait for an answer (S9)."""
        if self._stream is not None and unanswered:
            self._stream.unanswered(unanswered)

    def signal(self, signal: Signal) -> None:
        """Hand an ephemeral event to the instance; dropped while there is no stream."""
        if self._stream is not None:
            self._stream.signal(signal)

    async def _watch_silence(self) -> None:
        while True:
            await self._clock.sleep(1.0)
            if self._stream is not None and self._clock.monotonic() - self._heard_at > SILENCE_SECONDS:
                log.warning(
                    "a delivery instance is silent: opening another stream", extra={"to": self.instance.address}
                )
                await self._stream.close()
