"""How many messages a second, one to one, does it hold? Rates rise until the p99 is too high or something is missing."""

from collections.abc import AsyncIterator
from typing import Any

from bench.accounts import Registrar
from bench.fleet import generators
from bench.progress import say
from bench.server import Server
from bench.window import Load, greet, measure

RATES = (250, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000)
BOUND_MS = 50.0


def holds(result: dict[str, Any]) -> bool:
    """The p99 is under the bound and every message arrived, once and in order."""
    p99 = result["latency_ms"]["p99"]
    return p99 is not None and p99 < BOUND_MS and not result["missing"] and not result["wrong"] and not result["lost"]


async def run(
    server: Server,
    processes: int,
    clients: int,
    rates: tuple[float, ...],
    seconds: float,
    warm_up: float,
    size: int,
    seed: int,
    keep_going: bool,
) -> AsyncIterator[dict[str, Any]]:
    """A result for each rate. A rate that does not hold is tried once more, because other work on the machine may be to blame;
    after one that fails twice it ends. Clients write to their partners, both ways."""
    pairs = max(1, clients // 2 // processes)
    async with Registrar(f"{server.host}:{server.port}") as registrar, generators(processes) as fleet:
        say(f"ladder: signing up {2 * pairs * processes} users")
        accounts = await registrar.sign_up(2 * pairs * processes)
        shares = [accounts[at : at + 2 * pairs] for at in range(0, len(accounts), 2 * pairs)]
        await fleet.open(server.host, server.port, shares)
        senders = [[(index, share[index ^ 1].user_id) for index in range(len(share))] for share in shares]
        await greet(fleet, senders)
        held = True
        for step, (rate, attempt) in enumerate((rate, attempt) for rate in rates for attempt in (1, 2)):
            if attempt == 2 and held:
                continue
            say(f"ladder: {rate:g} messages/s for {warm_up:g} + {seconds:g} s" + (", again" if attempt == 2 else ""))
            load = Load(rate, seconds, warm_up, size, seed + step, senders, members=[])
            result = {"mode": "ladder", "clients": len(accounts), "processes": processes, "attempt": attempt}
            result |= await measure(server, registrar, fleet, load)
            result["holds"] = held = holds(result)
            yield result
            if attempt == 2 and not held and not keep_going:
                return
