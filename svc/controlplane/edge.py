"""Keeps one proxy process serving: starts it, notices when it ends, starts it again, ends it."""

import asyncio
import logging

from svc.controlplane.ports import Proxy
from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import StartError

log = logging.getLogger(__name__)

START_ATTEMPTS = 4
_START_SECONDS = 20.0  # until it serves; a busy machine takes some of them
_LOOK_SECONDS = 0.03
_STEADY_SECONDS = 30.0  # having served this long, its end is a new mishap


class Edge:
    """The supervisor. `start`, then `run` in a task, then `stop`."""

    def __init__(self, proxy: Proxy, clock: Clock) -> None:
        self._proxy = proxy
        self._clock = clock
        self._backoff = Backoff(base=0.2, cap=10.0)
        self.starts = 0

    async def start(self) -> None:
        """Return when the proxy serves. Raises StartError with its last words after START_ATTEMPTS in vain."""
        how, said = "", ""
        for attempt in range(1, START_ATTEMPTS + 1):
            await self._proxy.start()
            how = await self._until_serving()
            if not how:
                self.starts += 1
                return
            said = self._proxy.last_words()
            await self._proxy.stop()
            log.warning("Envoy did not start: %s", how, extra={"attempt": attempt})
            if attempt < START_ATTEMPTS:
                await self._clock.sleep(self._backoff.next_delay())
        raise StartError(f"Envoy does not start: {how}. Its last words:\n{said or '(none)'}")

    async def run(self) -> None:
        """Start the proxy again each time it ends. Raises StartError when that fails for good."""
        while True:
            since = self._clock.monotonic()
            how = await self._proxy.ended()
            if self._clock.monotonic() - since >= _STEADY_SECONDS:
                self._backoff.reset()
            log.error("Envoy ended, and with it every connection: %s; starting it again", how)
            await self._clock.sleep(self._backoff.next_delay())
            await self.start()

    async def stop(self) -> None:
        """End the proxy: its clients get the drain time to leave."""
        await self._proxy.stop()

    async def _until_serving(self) -> str:
        """Empty once the proxy serves, else why it does not."""
        ended = asyncio.ensure_future(self._proxy.ended())
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not ended.done():
                    if await self._proxy.serving():
                        return ""
                    await asyncio.wait([ended], timeout=_LOOK_SECONDS)
                return ended.result()
        except TimeoutError:
            return f"not serving after {_START_SECONDS:.0f} s"
        finally:
            ended.cancel()
