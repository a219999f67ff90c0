"""Everybody is cut at once: how long until all are back?"""

from collections.abc import AsyncIterator
from itertools import chain
from typing import Any

from bench.crowd import Terms, crowd
from bench.figures import percentiles_ms
from bench.progress import say
from bench.server import Server


async def run(server: Server, terms: Terms) -> AsyncIterator[dict[str, Any]]:
    """One result: from the cut of all connections until Hello is answered, for each client. They come back at once, and when
    they are refused as the server says."""
    async with crowd(server, terms) as people:
        say(f"storm: {len(people.accounts)} streams up, then all cut")
        await people.connect()
        cuts = await people.fleet.all("cut")
        at_ns = min(cut["at_ns"] for cut in cuts)
        back = await people.fleet.all("back", since_ns=at_ns)
        back_us = list(chain.from_iterable(each["back_us"] for each in back))
        endings: dict[str, int] = {}
        for each in back:
            for what, count in each["endings"].items():
                endings[what] = endings.get(what, 0) + count
    yield {
        "mode": "storm",
        "streams": len(back_us),
        "back_ms": percentiles_ms(back_us),
        "all_back_s": max(back_us) / 1e6,
        "endings": endings,
    }
