"""Does the server grow? An hour's worth of clients that come, leave, hang and read slowly, compressed into minutes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from bench import usage
from bench.accounts import Registrar
from bench.client import Account
from bench.crowd import Crowd, Terms
from bench.fleet import Generators, generators
from bench.progress import say
from bench.server import Server, ServerFailed
from bench.window import Load, measure

PASSERS_BY = 200
SLOW = 20
PER_SECOND = 40.0
# The server keeps the newest messages and their keys in memory, up to a bound (measured: full after 8,000). Filled first, they
# do not look like a leak of connections.
FILL_MESSAGES = 9000
_FILL_RATE = 200.0
QUIET_SECONDS = 15.0  # after the last visit, which stays until everybody who is gone without a word was given up
_LOOK_BACK = 8  # samples at the end of a quiet phase of which the median counts
_WARM_UP_SHARE = 0.2
_CONTENT_BYTES = 1000
FLAT_KB = 100.0
"""Growth in kB over 1,000 connects, in the second half, up to which a process counts as flat: 100 bytes a connect."""


@dataclass
class Record:
    """Memory and descriptors of every process of the server, once a second."""

    server: Server
    samples: list[dict[str, Any]] = field(default_factory=list)
    phase: str = "filling"
    begun: float = field(default_factory=time.monotonic)

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            self.samples.append({"s": round(time.monotonic() - self.begun, 1), "phase": self.phase} | self._now())
            await asyncio.sleep(1.0)

    def _now(self) -> dict[str, Any]:
        parts = self.server.parts()
        return {
            "rss_kb": {part: usage.resident(pid) // 1000 for part, pid in parts.items()},
            "descriptors": {part: usage.descriptors(pid) for part, pid in parts.items()},
        }

    def settled(self, what: str) -> dict[str, float]:
        """The median of the last samples: RSS in kB, or descriptors, of each process."""
        last = self.samples[-_LOOK_BACK:]
        return {part: median(sample[what][part] for sample in last) for part in last[-1][what]}


async def run(server: Server, terms: Terms, connects: int, rate: float) -> AsyncIterator[dict[str, Any]]:
    """One result. `connects` come in two halves after a warm-up, each followed by quiet; meanwhile a group whose members are
    well gets `rate` messages a second; the slow ones are members too. Raises ServerFailed without process ids."""
    if not server.parts():
        raise ServerFailed("the memory of a server can be told only with its process id: give --pid")
    async with Registrar(f"{server.host}:{server.port}") as registrar, generators(2) as fleet:
        say(f"soak: signing up {terms.clients + SLOW + PASSERS_BY} users")
        well, slow, passers = [await registrar.sign_up(count) for count in (terms.clients, SLOW, PASSERS_BY)]
        group_id = await registrar.create_group(well[0], [*well[1:], *slow])
        steady, unruly = fleet.apart()
        people = Crowd(server, registrar, steady, [well])
        await people.connect()
        record = Record(server)
        recording = asyncio.create_task(record.keep(), name="record")
        outcomes: Counter[str] = Counter()
        quiet: list[dict[str, dict[str, float]]] = []
        measured: dict[str, Any] = {}
        try:
            say(f"soak: {FILL_MESSAGES} messages at {_FILL_RATE:g}/s fill what is bounded")
            filling = replace(terms, seconds=FILL_MESSAGES / _FILL_RATE - terms.warm_up, size=_CONTENT_BYTES)
            await measure(people, filling, Load(_FILL_RATE, terms.seed, people.to_group(group_id), [len(well)]))
            for phase, share in (("warm-up", _WARM_UP_SHARE), ("first half", 0.5), ("second half", 0.5)):
                count = int(connects * share)
                say(f"soak: {phase}: {count} connects, {PER_SECOND:g} a second, then {QUIET_SECONDS:g} s of quiet")
                record.phase = phase
                load = Load(rate, terms.seed, people.to_group(group_id), [len(well)])
                busy = replace(terms, seconds=count / PER_SECOND - terms.warm_up, size=_CONTENT_BYTES)
                visiting = asyncio.create_task(_visits(unruly, server, passers, slow, count, terms.seed), name="visits")
                measured = await measure(people, busy, load)
                outcomes += await visiting
                record.phase = f"quiet after {phase}"
                await asyncio.sleep(QUIET_SECONDS)
                quiet.append({what: record.settled(what) for what in ("rss_kb", "descriptors")})
        finally:
            recording.cancel()
    yield {
        "mode": "soak",
        "connects": connects,
        "outcomes": dict(sorted(outcomes.items())),
        "growth": _growth(quiet, connects),
        "samples": record.samples,
    } | measured


async def _visits(
    unruly: Generators, server: Server, passers: list[Account], slow: list[Account], count: int, seed: int
) -> Counter[str]:
    (outcomes,) = await unruly.all(
        "visits",
        host=server.host,
        port=server.port,
        accounts=[(account.user_id, account.token) for account in passers],
        slow_ones=[(account.user_id, account.token) for account in slow],
        count=count,
        per_second=PER_SECOND,
        seed=seed,
    )
    return Counter(outcomes)


def _growth(quiet: list[dict[str, dict[str, float]]], connects: int) -> dict[str, dict[str, Any]]:
    """For each process, what it has when all is quiet, and what 1,000 connects added in each half. A leak adds the same in
    both."""
    start, end = quiet[0], quiet[-1]
    per_thousand = connects / 2 / 1000
    growth = {}
    for part in end["rss_kb"]:
        rss = [of["rss_kb"][part] for of in quiet]
        first, second = ((after - before) / per_thousand for before, after in pairwise(rss))
        growth[part] = {
            "rss_kb_quiet": rss,
            "descriptors_quiet": [of["descriptors"][part] for of in quiet],
            "kb_per_1000_connects": [first, second],
            "flat": second <= FLAT_KB and end["descriptors"][part] <= start["descriptors"][part] + 2,
        }
    return growth
