"""Opening a session (protocol S10): inbox first, then the list, then everything in it; the answer in pages."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from svc.kernel.errors import Busy, DeviceRevoked, Unavailable
from svc.messaging.ports import Conversations, Directory
from svc.messaging.session import Session

PAGE_CONVERSATIONS = 200
OPEN_SECONDS = 10.0
_RETRY_SECONDS = (0.5, 2.0)


class Hellos:
    """Opens sessions, no more than so many at once (reconnect storms)."""

    def __init__(
        self, conversations: Conversations, directory: Directory, flush: Callable[[], None], admission: int
    ) -> None:
        self._conversations = conversations
        self._flush = flush
        self._directory = directory
        self._admission = admission
        self._at_work = 0

    async def open(self, session: Session) -> None:
        """Join everything the user belongs to. Raises Busy with the time to come back, DeviceRevoked, Unavailable."""
        with self._admitted():
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    await self._join_all(session)
            except TimeoutError:
                raise Unavailable("the session could not be opened in time: connect again") from None

    async def greet(self, session: Session, known: Mapping[str, int], paced: bool) -> None:
        """Answer Hello: what differs from what the client knows, most recent first, in pages. `paced`: somebody writes at the
        same time, so the next page waits until there is room for it."""
        order = {name: place for place, name in enumerate(session.recent)}
        differing = [name for name, head in session.heads.items() if head != known.get(name, 0)]
        differing.sort(key=lambda name: order.get(name, -1))
        session.greet(differing)
        for start in range(0, max(1, len(differing)), PAGE_CONVERSATIONS):
            if paced:
                await session.outbox.room()
            heads = await self._conversations.heads(session.user_id, differing[start : start + PAGE_CONVERSATIONS])
            heads = [head for head in heads if session.is_in(head.conversation_id)]  # what it left meanwhile is gone
            complete = start + PAGE_CONVERSATIONS >= len(differing)
            gone = [name for name in known if not session.is_in(name)] if complete else ()
            session.page(heads, session.encoder.hello_page(heads, gone, complete))

    async def look_again(self, session: Session) -> None:
        """Join what the user belongs to by now, and leave the rest. Raises DeviceRevoked, Unavailable."""
        identity = session.identity
        if not await self._directory.device_active(identity.user_id, identity.device_id):
            raise DeviceRevoked("this device was signed out")
        memberships = await self._conversations.of_user(identity.user_id)
        session.recent = [membership.conversation_id for membership in memberships]
        for membership in memberships:
            session.member(membership.conversation_id, membership.version, membership.member)
        self._flush()

    async def reassure(self, session: Session) -> None:
        """Read whether the user still is in the groups in doubt, and leave the others. Raises Unavailable."""
        if doubts := session.doubts():
            session.reassured(doubts, await self._conversations.member_of(session.user_id))

    async def _join_all(self, session: Session) -> None:
        session.join(session.inbox)
        self._flush()
        await session.settled()
        # Only now: a device that is signed out after this is told so by the inbox.
        await self.look_again(session)
        await session.settled()
        await self.reassure(session)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._at_work >= self._admission:
            raise Busy(
                "too many sessions are being opened: come back later",
                retry_after=random.uniform(*_RETRY_SECONDS),  # noqa: S311 - jitter, not a secret
            )
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
