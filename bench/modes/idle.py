"""What does a stream cost in memory that says nothing?"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from bench import usage
from bench.crowd import Terms, crowd
from bench.progress import say
from bench.server import Server, ServerFailed

_SETTLE_SECONDS = 15.0
_STILL = 0.001  # a process whose memory moves less than this share in a second has settled
_LEAST_SECONDS = 3.0


async def run(server: Server, terms: Terms) -> AsyncIterator[dict[str, Any]]:
    """One result: kB a stream of each process of the server, over all streams and over the second half of them, which has
    nothing in it that is only spent once. Raises ServerFailed when its processes are not known."""
    if not server.parts():
        raise ServerFailed("the memory of a server can be told only with its process id: give --pid")
    async with crowd(server, terms) as people:
        half = [(share[: len(share) // 2], share[len(share) // 2 :]) for share in people.shares]
        readings = [await _settled(server)]
        for which in (0, 1):
            shares = [of[which] for of in half]
            say(f"idle: opening {sum(map(len, shares))} streams")
            await people.fleet.open(server.host, server.port, shares)
            readings.append(await _settled(server))
    streams = len(people.accounts)
    first, middle, last = readings
    yield {
        "mode": "idle",
        "streams": streams,
        "memory": {
            part: {
                "pss_kb_per_stream": (last[part].pss - first[part].pss) / streams / 1000,
                "rss_kb_per_stream": (last[part].rss - first[part].rss) / streams / 1000,
                "pss_kb_per_stream_second_half": (last[part].pss - middle[part].pss) / (streams / 2) / 1000,
                "pss_mb_without": first[part].pss / 1e6,
                "pss_mb_with": last[part].pss / 1e6,
            }
            for part in last
        },
    }


async def _settled(server: Server) -> dict[str, usage.Memory]:
    """The memory of each process once it keeps still."""
    begun = time.monotonic()
    before = _memory(server)
    while True:
        await asyncio.sleep(1.0)
        now = _memory(server)
        still = all(abs(now[part].pss - before[part].pss) <= _STILL * now[part].pss for part in now)
        seconds = time.monotonic() - begun
        if (still and seconds > _LEAST_SECONDS) or seconds > _SETTLE_SECONDS:
            return now
        before = now


def _memory(server: Server) -> dict[str, usage.Memory]:
    return {part: usage.memory(pid) for part, pid in server.parts().items()}
