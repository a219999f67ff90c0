"""Clients that do not behave: they leave in every way there is, hang, say nothing, read slowly. For the soak."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.client import Account, connect_headers
from bench.http2 import End, GrpcStream
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest, Hello

ANSWER_SECONDS = 30.0
SILENT_SECONDS = 30.0  # the server gives up on one that never says Hello after 10
DEAF_SECONDS = 50.0  # the edge gives up on one that answers no PING after 40
SLOW_SECONDS = 20.0
_SIP_SECONDS, _PAUSE_SECONDS = 0.02, 1.0
_HELLO = ConnectRequest(hello=Hello()).SerializeToString()


@dataclass
class Visit:
    """One connection and its stream, from its opening to its end."""

    stream: GrpcStream
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    end: End | None = None

    async def answer(self) -> None:
        """Wait until something was told, or it ended. Raises TimeoutError."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self.answered.wait()

    async def last(self, seconds: float) -> None:
        """Wait until the other side ends it, so long at most; then hang up."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            self.stream.abort()


async def leaves(visit: Visit) -> None:
    """Is answered, and cancels its call."""
    visit.stream.write(_HELLO)
    await visit.answer()
    visit.stream.cancel()


async def vanishes(visit: Visit) -> None:
    """Is answered, and its connection is reset."""
    visit.stream.write(_HELLO)
    await visit.answer()
    visit.stream.abort()


async def impatient(visit: Visit) -> None:
    """Says Hello and cancels before it is answered."""
    visit.stream.write(_HELLO)
    await asyncio.sleep(0)
    visit.stream.cancel()


async def silent(visit: Visit) -> None:
    """Opens a stream and never says a word."""
    await visit.last(SILENT_SECONDS)


async def deaf(visit: Visit) -> None:
    """Is answered, then its peer is gone without a word: it reads nothing any more and answers no PING."""
    visit.stream.write(_HELLO)
    await visit.answer()
    visit.stream.stop_reading()
    await visit.last(DEAF_SECONDS)


async def slow(visit: Visit) -> None:
    """Reads for 20 ms a second, while more comes than it can read."""
    visit.stream.write(_HELLO)
    await visit.answer()
    until = asyncio.get_running_loop().time() + SLOW_SECONDS
    while asyncio.get_running_loop().time() < until and not visit.ended.is_set():
        visit.stream.stop_reading()
        await asyncio.sleep(_PAUSE_SECONDS)
        visit.stream.go_on_reading()
        await asyncio.sleep(_SIP_SECONDS)
    visit.stream.abort()


Kind = Callable[[Visit], Awaitable[None]]
# How often each comes, of a hundred.
SHARES: dict[Kind, int] = {
    leaves: 45,
    vanishes: 20,
    impatient: 15,
    silent: 7,
    deaf: 7,
    slow: 6,
}


async def visit_all(
    host: str,
    port: int,
    accounts: Sequence[Account],
    slow_ones: Sequence[Account],
    count: int,
    per_second: float,
    seed: int,
    shares: Mapping[Kind, int] = SHARES,
) -> Counter[str]:
    """So many visits at an even pace, as `shares` say; `slow_ones` are those to whom much is told. Returns when all have
    ended, with how often each kind ended how."""
    chance = random.Random(seed)
    kinds, weights = list(shares), list(shares.values())
    outcomes: Counter[str] = Counter()
    begun = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as visits:
        for number in range(count):
            kind = chance.choices(kinds, weights)[0]
            account = chance.choice(slow_ones if kind is slow else accounts)
            visits.create_task(_visit(kind, host, port, account, outcomes), name=kind.__name__)
            await asyncio.sleep(max(0.0, begun + (number + 1) / per_second - asyncio.get_running_loop().time()))
    return outcomes


async def _visit(kind: Kind, host: str, port: int, account: Account, outcomes: Counter[str]) -> None:
    def told(_: bytes) -> None:
        visit.answered.set()

    def ended(end: End) -> None:
        visit.end = end
        visit.answered.set()
        visit.ended.set()

    visit = Visit(GrpcStream(connect_headers(host, port, account), told, ended))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.get_running_loop().create_connection(lambda: visit.stream, host, port)
        await kind(visit)
        how = str(visit.end) if visit.end else "hung up"
    except (OSError, TimeoutError) as error:
        how = f"failed: {type(error).__name__}"
        visit.stream.abort()
    outcomes[f"{kind.__name__}: {how}"] += 1
