"""Sessions to which something was not pushed that decides what they belong to: that is read anew.

A session joins a conversation when the inbox tells of it. After a gap in the inbox (a former owner died between storing and
relaying, a relay queue overflowed) its client pulls what it missed, but nobody would join what that tells of. And after a gap
in a group nobody would leave it: the user's removal may lie in the gap.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import StonechatError, Transient
from svc.messaging.session import Session

log = logging.getLogger(__name__)

_TOGETHER = 16


class MissedNews:
    """Those of a node that wait for it. `look` reads it for one session, and tells the session."""

    def __init__(self, look: Callable[[Session], Awaitable[None]], clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._waiting: dict[Session, None] = {}
        self._wake = asyncio.Event()

    def put(self, session: Session) -> None:
        """This one missed something. Bounded by the sessions of the node."""
        self._waiting[session] = None
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. A back end that fails is asked again."""
        backoff = Backoff(base=0.05, cap=2.0)
        while True:
            await self._wake.wait()
            batch = list(self._waiting)[:_TOGETHER]
            for session in batch:
                del self._waiting[session]
            if not self._waiting:
                self._wake.clear()
            failed = [session for session in await asyncio.gather(*map(self._try, batch)) if session is not None]
            for session in failed:
                self.put(session)
            if failed:
                await self._clock.sleep(backoff.next_delay())
            else:
                backoff.reset()

    async def _try(self, session: Session) -> Session | None:
        """The session again, if it has to be tried again."""
        if session.ended.is_set():
            return None
        try:
            await self._look(session)
        except Transient as error:
            log.debug("what a session belongs to cannot be read now", extra={"error": str(error)})
            return session
        except StonechatError as error:
            session.end(error)
        return None
