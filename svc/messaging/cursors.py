"""Sessions that outlive a call: Poll and the event stream hold them by a cursor, kept for 60 s on this node.

What was handed out is kept until a later cursor confirms it, so an answer that got lost is given again. Nothing of it is saved
elsewhere: another node answers `reset` with where each conversation stands, from which a client sees what it misses as after
any Hello; to spare it that page would cost a write for every answer of every session.
"""

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace

from svc.kernel.clock import Clock
from svc.kernel.errors import ProtocolViolation
from svc.kernel.identity import Identity
from svc.messaging.node import Node
from svc.messaging.session import Session

KEPT_SECONDS = 60.0
_SWEEP_SECONDS = 1.0
_PER_USER = 16
_CURSOR_BYTES = 64
_RETAINED_BYTES = 256 * 1024


@dataclass(slots=True)
class CursorSession:
    """A session and what was handed out of it. `reset`: it stands for one that was lost."""

    session: Session
    identity: Identity
    token: str
    reset: bool
    used_at: float
    index: int = 0
    holder: int = 0
    confirmed: int = 0
    retained: deque[tuple[int, bytes]] = field(default_factory=deque)

    def hold(self) -> int:
        """Take the session over from whichever call has it; returns what `check` wants."""
        self.holder += 1
        self.session.outbox.nudge()
        return self.holder

    def check(self, holder: int) -> None:
        """Raises when another call took the session over, or it has ended."""
        if self.holder != holder:
            raise ProtocolViolation("cursor: another call uses this session now", field="cursor")
        if self.session.ended.is_set():
            raise self.session.error or ProtocolViolation(
                "cursor: this session has ended; its cursor starts another", field="cursor"
            )

    def cursor(self) -> str:
        """Where to go on after what was handed out so far."""
        return f"{self.token}.{self.index}"

    def confirm(self, index: int) -> bool:
        """Everything up to index has arrived. False when what comes after it is not kept any more."""
        if not self.confirmed <= index <= self.index:
            return False
        self.confirmed = index
        while self.retained and self.retained[0][0] <= index:
            self.retained.popleft()
        return True

    def again(self) -> bytes:
        """What was handed out and is not confirmed."""
        return b"".join(frame for _, frame in self.retained)

    def take(self) -> bytes:
        """What waits, and keep it until it is confirmed. Too much unconfirmed: the oldest counts as arrived."""
        frame = self.session.outbox.take()
        if frame:
            self.index += 1
            self.retained.append((self.index, frame))
            while sum(len(kept) for _, kept in self.retained) > _RETAINED_BYTES and len(self.retained) > 1:
                self.confirmed = self.retained.popleft()[0]
        return frame


class CursorSessions:
    """All of them on this node, by token."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._sessions: OrderedDict[str, CursorSession] = OrderedDict()

    async def resume(self, identity: Identity, cursor: str) -> CursorSession:
        """The session that a cursor names, of the same user and device; else a new one, that starts now, or, when a cursor
        was given, begins with everything as after Hello (`reset`). Raises Busy, DeviceRevoked, Draining, Unavailable."""
        token, _, index = cursor.rpartition(".") if len(cursor) <= _CURSOR_BYTES else ("", "", "")
        found = self._sessions.get(token)
        if (
            found is not None
            and (found.identity.user_id, found.identity.device_id) == (identity.user_id, identity.device_id)
            and index.isascii()
            and index.isdecimal()
            and found.confirm(int(index))
        ):
            found.used_at = self._clock.monotonic()
            found.reset = False
            self._sessions.move_to_end(token)
            return found
        return await self._open(identity, reset=bool(cursor))

    async def _open(self, identity: Identity, reset: bool) -> CursorSession:
        # The token of the call proves the caller each time; the session itself ends by disuse.
        session = self._node.enter(replace(identity, expires_at=float("inf")))
        try:
            await self._node.open(session)
            if reset:
                await self._node.greet(session, {}, paced=False)
            else:
                session.greet(())  # it knows nothing, and is told what comes from now on
        except BaseException:
            self._node.leave(session)
            raise
        made = CursorSession(session, identity, secrets.token_urlsafe(16), reset, self._clock.monotonic())
        self._sessions[made.token] = made
        own = [token for token, other in self._sessions.items() if other.identity.user_id == identity.user_id]
        for token in own[:-_PER_USER]:
            self._close(token)
        return made

    def _close(self, token: str) -> None:
        self._node.leave(self._sessions.pop(token).session)

    def used(self, found: CursorSession) -> None:
        """A call is done with it, or still at it."""
        found.used_at = self._clock.monotonic()

    async def run(self) -> None:
        """End what nobody uses, until cancelled."""
        while True:
            await self._clock.sleep(_SWEEP_SECONDS)
            now = self._clock.monotonic()
            for token, found in list(self._sessions.items()):
                unused = found.session.ended.is_set() or now - found.used_at > KEPT_SECONDS
                if unused and found.session.carrier is None:
                    self._close(token)
