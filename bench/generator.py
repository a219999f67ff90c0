"""One process that makes load: `python -m bench.generator`. It owns its clients and obeys JSON lines on standard input.

    {"do": "open", "host": …, "port": …, "accounts": [[user id, token], …], "at_once": 16, "first": …}      streams up
    {"do": "load", "start_ns": …, "warm_up": s, "seconds": s, "rate": …, "seed": …, "senders": [[client, to], …], "size": …}
    {"do": "greet", "senders": …}      one message each, so that conversations exist
    {"do": "report", "patience": s}      waits until all is answered, and delivered when it is known how much; then counts
    {"do": "cut"} {"do": "back"}         every connection cut at once; when all are back
    {"do": "visits", "host": …, "port": …, "accounts": …, "slow_ones": …, "count": …, "per_second": …, "seed": …}
    {"do": "close"}

Each is answered with one JSON line: {"done": …} or {"failed": text}. Ends when its input does, so it never outlives its parent.
"""

import asyncio
import gc
import json
import math
import random
import sys
import time
from typing import Any

import uvloop

from bench.client import Account, Client, Tally
from bench.unruly import visit_all

_OPEN_SECONDS = 120.0
_LOOK_SECONDS = 0.02
_GREET_SECONDS = 10.0
_TICK_NS = 1_000_000


class Generator:
    """The clients of one process."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._clients: list[Client] = []
        self._newest = 0

    async def open(self, host: str, port: int, accounts: list[list[str]], at_once: int, first: int) -> dict[str, Any]:
        """Add clients, so many at once; returns when every one of them is up. Messages are numbered from `first` on, which
        must be far from the numbers of the other processes."""
        begun = time.monotonic()
        self._newest = max(self._newest, first)
        waiting: list[Client] = []

        def next_one(_: Client | None = None) -> None:
            if waiting:
                waiting.pop().open()

        added = [Client(host, port, Account(*account), self._tally, next_one) for account in accounts]
        waiting += reversed(added)
        self._clients += added
        for _ in range(at_once):
            next_one()
        await self._until(lambda: all(client.is_up for client in added), f"{len(added)} streams are up")
        return {"up": len(added), "seconds": time.monotonic() - begun}

    async def load(
        self, start_ns: int, warm_up: float, seconds: float, rate: float, seed: int, senders: Any, size: int
    ) -> dict[str, Any]:
        """Send on a fixed schedule: a Poisson process of `rate` a second from `start_ns` on, senders drawn evenly, both from
        `seed`. What is intended in the `seconds` after the warm-up is timed. Returns when the last is written."""
        chance = random.Random(seed)
        begin_ns = start_ns + int(warm_up * 1e9)
        end_ns = begin_ns + int(seconds * 1e9)
        self._tally = tally = Tally(window=(begin_ns, end_ns))
        for client in self._clients:
            client.begin(tally)
        schedule: list[tuple[int, int]] = []
        at = float(start_ns)
        while (at := at - math.log(1.0 - chance.random()) * 1e9 / rate) < end_ns:
            schedule.append((int(at), chance.randrange(len(senders))))
        who = [(self._clients[index], to) for index, to in senders]
        padding = "x" * max(0, size - 40)
        gc.collect()
        gc.freeze()
        next_one, tick_ns = 0, start_ns
        while next_one < len(schedule):
            now = time.monotonic_ns()
            while next_one < len(schedule) and (intended := schedule[next_one])[0] <= now:
                client, to = who[intended[1]]
                self._newest += 1
                client.send(to, self._newest, intended[0], padding)
                next_one += 1
            await asyncio.sleep(0)  # written
            tick_ns = max(tick_ns + _TICK_NS, time.monotonic_ns() - _TICK_NS)
            # The whole process sleeps, on purpose: to be woken costs more than all the work on a message, so what arrives
            # within a tick is read together. Whatever that adds to a latency counts against the server.
            time.sleep(max(0, tick_ns - time.monotonic_ns()) / 1e9)  # noqa: ASYNC251
            await asyncio.sleep(0)  # read
        return {"sent": tally.sent}

    async def greet(self, senders: Any) -> dict[str, Any]:
        """Each sender sends one message: the first of a conversation is announced and pulled, not pushed, and is no measure."""
        for index, to in senders:
            self._newest += 1
            self._clients[index].send(to, self._newest, 0, "hello")
        return await self.report(_GREET_SECONDS)

    async def report(self, patience: float, expected: int | None = None) -> dict[str, Any]:
        """Wait for the answers of all that was sent (and for `expected` deliveries), at most `patience` s; then say what was
        counted."""
        deadline = time.monotonic() + patience
        tally = self._tally
        while time.monotonic() < deadline and (  # noqa: ASYNC110 - three counts, by many clients
            any(client.unanswered for client in self._clients)
            or not all(client.is_up for client in self._clients)
            or (expected is not None and tally.delivered < expected)
        ):
            await asyncio.sleep(_LOOK_SECONDS)
        return vars(tally) | {
            "unanswered": sum(client.unanswered for client in self._clients),
            "holes": [(client.account.user_id, *hole) for client in self._clients for hole in client.holes],
            "known": {client.account.user_id: client.known for client in self._clients},
        }

    async def cut(self) -> dict[str, Any]:
        """Cut every connection at once."""
        at_ns = time.monotonic_ns()
        for client in self._clients:
            client.cut()
        return {"at_ns": at_ns}

    async def back(self, since_ns: int) -> dict[str, Any]:
        """Wait until every client was answered Hello after `since_ns`; returns when each was, in µs after it."""
        await self._until(
            lambda: all(client.is_up and client.up_at_ns > since_ns for client in self._clients), "all are back"
        )
        return {
            "back_us": [(client.up_at_ns - since_ns) // 1000 for client in self._clients],
            "endings": dict(self._tally.endings),
        }

    async def visits(self, accounts: list[list[str]], slow_ones: list[list[str]], **how: Any) -> dict[str, Any]:
        """Visits of clients that do not behave; how often each kind ended how."""
        passers, slow = [Account(*account) for account in accounts], [Account(*account) for account in slow_ones]
        return await visit_all(accounts=passers, slow_ones=slow, **how)

    async def close(self) -> dict[str, Any]:
        """Every client leaves."""
        for client in self._clients:
            client.close()
        left, self._clients = len(self._clients), []
        return {"closed": left}

    async def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + _OPEN_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                endings = ", ".join(f"{count} x {ending}" for ending, count in self._tally.endings.most_common(3))
                raise TimeoutError(
                    f"in {_OPEN_SECONDS:.0f} s it did not come true that {what}; streams ended: {endings}"
                )
            await asyncio.sleep(_LOOK_SECONDS)


async def _obey() -> None:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=64 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    generator = Generator()
    while line := await commands.readline():
        command = json.loads(line)
        try:
            answer = {"done": await getattr(generator, command.pop("do"))(**command)}
        except TimeoutError as error:
            answer = {"failed": str(error)}
        print(json.dumps(answer), flush=True)
    await generator.close()


def main() -> None:
    """Run until standard input ends."""
    # Nothing here makes cycles on the path of a message, and a collection among its many small objects would be a pause of
    # milliseconds that the server did not cause. `load` collects before it begins.
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_obey())


if __name__ == "__main__":
    main()
