"""Whether the back ends of this process answer: asked every few seconds, told by a metric, a page, and a line a transition.

A back end that does not answer is normal operation: what can go on without it goes on, what cannot says so itself. So this
takes nothing out of service; it tells an operator where to look.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.errors import StonechatError

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
_ANSWER_SECONDS = 2.0

Ping = Callable[[], Awaitable[None]]
"""Returns when a back end answers; raises StonechatError when it cannot."""


class Readiness:
    """What is known of each back end, by name."""

    def __init__(self, pings: Mapping[str, Ping], clock: Clock) -> None:
        self._pings = pings
        self._clock = clock
        self.troubles: Mapping[str, str] = dict.fromkeys(pings, "")
        """Back end → what is wrong with it, or nothing. Replaced as a whole: any thread may read it."""

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            names = list(self._pings)
            found = dict(zip(names, await asyncio.gather(*map(self._ask, names)), strict=True))
            for name, trouble in found.items():
                telemetry.BACK_END_UP.labels(name).set(0 if trouble else 1)
                if bool(trouble) != bool(self.troubles[name]):
                    if trouble:
                        log.error("a back end does not answer", extra={"back_end": name, "error": trouble})
                    else:
                        log.warning("a back end answers again", extra={"back_end": name})
            self.troubles = found
            await self._clock.sleep(LOOK_SECONDS)

    async def _ask(self, name: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._pings[name]()
        except TimeoutError:
            return f"no answer in {_ANSWER_SECONDS:g} s"
        except StonechatError as error:
            return error.message
        return ""
