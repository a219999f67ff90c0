"""The node's end of the relay: keeps a stream to the owner open, feeds what comes to the subscriptions and the requests."""

import logging

from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.relay import Answer, Relay, RelayStream, Signal
from svc.messaging.requests import Requests
from svc.messaging.subscriptions import Subscriptions

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0
"""The owner ticks each second: silence for so long means that the stream is dead (S7)."""


class Link:
    """One stream after the other, for as long as the node lives."""

    def __init__(self, node: str, relay: Relay, subscriptions: Subscriptions, requests: Requests, clock: Clock) -> None:
        self._node = node
        self._relay = relay
        self._subscriptions = subscriptions
        self._requests = requests
        self._clock = clock
        self._stream: RelayStream | None = None
        self._heard_at = 0.0
        self._regressions = 0

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(base=0.05, cap=2.0)
        async with owned(self._watch_silence(), "relay silence"):
            while True:
                try:
                    stream = await self._relay.open(self._node)
                    backoff.reset()
                    await self._serve(stream)
                except Unavailable as error:
                    log.debug("the relay stream ended", extra={"error": error.message})
                await self._clock.sleep(backoff.next_delay())

    async def _serve(self, stream: RelayStream) -> None:
        self._subscriptions.broken()
        self._stream, self._heard_at = stream, self._clock.monotonic()
        try:
            stream.unanswered(self._requests.unanswered())
            self.flush()
            while True:
                for item in await stream.receive():
                    if isinstance(item, Answer):
                        self._requests.resolve(item)
                    else:
                        self._subscriptions.receive(item)
                self._heard_at = self._clock.monotonic()
                self._tell_regressions()
                self.flush()
        finally:
            self._stream = None
            self._subscriptions.broken()
            await stream.close()

    def _tell_regressions(self) -> None:
        if (count := self._subscriptions.regressions) > self._regressions:
            self._regressions = count
            log.error(
                "an owner knows less than was pushed: was its store restored from an old copy?", extra={"times": count}
            )

    def flush(self) -> None:
        """Send what the subscriptions want sent."""
        if self._stream is None:
            return  # the next stream begins by subscribing to everything
        wanted = self._subscriptions.take_requests()
        if wanted.unsubscribe:
            self._stream.unsubscribe(wanted.unsubscribe)
        if wanted.subscribe:
            self._stream.subscribe(wanted.subscribe)

    def signal(self, signal: Signal) -> None:
        """Hand an ephemeral event to the owner; dropped while there is no stream."""
        if self._stream is not None:
            self._stream.signal(signal)

    async def _watch_silence(self) -> None:
        while True:
            await self._clock.sleep(1.0)
            if self._stream is not None and self._clock.monotonic() - self._heard_at > SILENCE_SECONDS:
                log.warning("the owner is silent: opening another stream")
                await self._stream.close()
