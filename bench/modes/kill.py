"""The server is killed under load and started again: how long until all are back, and is anything lost?"""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import chain
from typing import Any

from bench.crowd import Terms, crowd
from bench.figures import percentiles_ms
from bench.progress import say
from bench.server import Server, ServerFailed
from bench.window import Load, greet, measure


async def run(server: Server, terms: Terms, rate: float) -> AsyncIterator[dict[str, Any]]:
    """One result. SIGKILL comes after a third of the measured seconds. Raises ServerFailed when the server is not ours."""
    if not server.ours:
        raise ServerFailed("kill needs a server of its own: leave out --server")
    async with crowd(server, terms) as people:
        await people.connect()
        await greet(people)
        say(f"kill: {rate:g} messages/s; SIGKILL after {terms.seconds / 3:g} s, and started again")
        killing = asyncio.create_task(_kill(server, terms), name="kill")
        try:
            result = await measure(people, terms, Load(rate, terms.seed, people.to_partners(), survives=True))
            at_ns, ready_s = await killing
        finally:
            killing.cancel()
        back = await people.fleet.all("back", since_ns=at_ns)
        back_us = list(chain.from_iterable(each["back_us"] for each in back))
        del result["cpu"], result["others_cores"]  # of two lives of the server
        yield {
            "mode": "kill",
            "clients": len(back_us),
            "server_ready_s": ready_s,
            "back_ms": percentiles_ms(back_us),
            "all_back_s": max(back_us) / 1e6,
        } | result


async def _kill(server: Server, terms: Terms) -> tuple[int, float]:
    await asyncio.sleep(terms.warm_up + terms.seconds / 3)
    at_ns = time.monotonic_ns()
    await server.kill()
    await server.start()
    return at_ns, (time.monotonic_ns() - at_ns) / 1e9
