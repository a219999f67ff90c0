"""Streams, one after the other: when the next one is opened, and when no other would be any better."""

import asyncio
from collections.abc import Awaitable, Callable

from stonechat_client import backoff as backoff_module
from stonechat_client.backoff import Backoff
from stonechat_client.errors import CallFailed, ClientError, SignedOut
from stonechat_client.problems import Problem, ProblemKind
from stonechat_client.state import State
from stonechat_client.status import Status
from stonechat_client.tokens import Tokens

_FOR_GOOD = frozenset({"INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION"})
# A stream that was up for so many times the first delay was a good one: the next break counts as the first.
_SETTLED = 5.0
# So many moves in a row without a good stream between them are told of.
_MOVES = 3
Live = Callable[[str], Awaitable[None]]
"""Lives one stream with a token: returns when the server asks to move, raises ClientError when it has broken."""


class Connector:
    """Keeps a stream up for as long as the session lives."""

    def __init__(self, tokens: Tokens, live: Live, status: Status, report: Callable[[Problem], None]) -> None:
        self._tokens = tokens
        self._live = live
        self._status = status
        self._report = report
        self._backoff = Backoff()
        self._refused_token = ""
        self._moves = 0

    async def run(self) -> None:
        """Open streams, with 1, 2, 4, 8 … s and full jitter between those that fail. Raises ClientError when the session is
        over for good."""
        while True:
            self._status.set(State.CONNECTING)
            token = ""
            try:
                token = await self._token()
                await self._live(token)
                delay, why = self._asked_to_move(), "the server asks to move"
            except ClientError as error:
                delay, why = self._broken(token, error), str(error)
            if delay:
                self._status.set(State.OFFLINE, why, delay)
                await asyncio.sleep(delay)

    async def _token(self) -> str:
        if self._refused_token:
            return await self._tokens.renewed(self._refused_token)
        return await self._tokens.access()

    def _settled(self) -> bool:
        if self._status.seconds_up() < _SETTLED * backoff_module.BASE_SECONDS:
            return False
        self._backoff.reset()
        self._moves = 0
        return True

    def _asked_to_move(self) -> float:
        self._refused_token = ""
        if self._settled():
            return 0.0
        self._moves += 1
        if self._moves == _MOVES:
            text = f"the server asked to move {_MOVES} times in a row, each time soon after it was reached"
            self._report(Problem(ProblemKind.REDIRECTS, text))
        return 0.0 if self._moves == 1 and self._status.was_up else self._backoff.next_delay()

    def _broken(self, token: str, error: ClientError) -> float:
        self._settled()
        if self._status.was_up:
            self._refused_token = ""
        refused = isinstance(error, CallFailed) and error.code == "UNAUTHENTICATED"
        if _is_final(error) or (refused and self._refused_token not in ("", token)):
            raise error
        if refused:
            self._refused_token = token
        return self._backoff.next_delay(error.retry_after if isinstance(error, CallFailed) else None)


def _is_final(error: ClientError) -> bool:
    """Whether every other stream would end in the same way. All else is a break, INTERNAL with RST_STREAM and UNKNOWN
    included: that is how a proxy ends streams."""
    return isinstance(error, SignedOut) or (isinstance(error, CallFailed) and error.code in _FOR_GOOD)
