"""How many messages a second, one to one, does it hold? Rates rise until the p99 is too high or something is missing."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from bench.crowd import Terms, crowd
from bench.progress import say
from bench.server import Server
from bench.window import Load, greet, measure

BOUND_MS = 50.0


def holds(result: dict[str, Any]) -> bool:
    """The p99 is under the bound and every message arrived, once and in order."""
    p99 = result["latency_ms"]["p99"]
    return p99 is not None and p99 < BOUND_MS and not result["missing"] and not result["wrong"] and not result["lost"]


async def run(server: Server, terms: Terms, rates: Sequence[float], keep_going: bool) -> AsyncIterator[dict[str, Any]]:
    """A result for each rate. A rate that does not hold is tried once more, because other work on the machine may be to blame;
    after one that fails twice it ends. Clients write to their partners, both ways."""
    async with crowd(server, terms) as people:
        await people.connect()
        await greet(people)
        held = True
        for step, (rate, attempt) in enumerate((rate, attempt) for rate in rates for attempt in (1, 2)):
            if attempt == 2 and held:
                continue
            say(f"ladder: {rate:g} messages/s for {terms.warm_up:g} + {terms.seconds:g} s" + ", again" * (attempt - 1))
            result = {"mode": "ladder", "clients": len(people.accounts), "attempt": attempt}
            result |= await measure(people, terms, Load(rate, terms.seed + step, people.to_partners()))
            result["holds"] = held = holds(result)
            yield result
            if attempt == 2 and not held and not keep_going:
                return
