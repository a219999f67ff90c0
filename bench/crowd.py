"""Users who are signed up, each with a stream of its own, spread over generator processes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.accounts import Registrar
from bench.client import Account
from bench.fleet import Generators, generators
from bench.progress import say
from bench.server import Server


@dataclass(frozen=True, slots=True)
class Terms:
    """What all modes of a run share. `size` is the bytes of a message's content; the rest of a load's schedule follows from
    `seed`."""

    processes: int = 1
    clients: int = 100
    seconds: float = 15.0
    warm_up: float = 3.0
    size: int = 100
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Crowd:
    """`shares` are the accounts of each process, in the order of its clients."""

    server: Server
    registrar: Registrar
    fleet: Generators
    shares: Sequence[Sequence[Account]]

    @property
    def accounts(self) -> list[Account]:
        """All of them."""
        return [account for share in self.shares for account in share]

    async def connect(self) -> None:
        """Open everybody's stream; returns when every Hello is answered. Raises GeneratorFailed."""
        await self.fleet.open(self.server.host, self.server.port, self.shares)

    def to_partners(self) -> list[list[tuple[int, str]]]:
        """Senders for a load in which two and two write to each other."""
        return [[(index, share[index ^ 1].user_id) for index in range(len(share))] for share in self.shares]

    def to_group(self, group_id: str) -> list[list[tuple[int, str]]]:
        """Senders for a load in which everybody writes to one group."""
        return [[(index, group_id) for index in range(len(share))] for share in self.shares]


@asynccontextmanager
async def crowd(server: Server, terms: Terms) -> AsyncIterator[Crowd]:
    """As many users as there are to be clients (an even number in each process). Raises grpc.aio.AioRpcError."""
    each = max(2, terms.clients // terms.processes // 2 * 2)
    async with Registrar(f"{server.host}:{server.port}") as registrar, generators(terms.processes) as fleet:
        say(f"signing up {each * terms.processes} users")
        accounts = await registrar.sign_up(each * terms.processes)
        shares = [accounts[at : at + each] for at in range(0, len(accounts), each)]
        yield Crowd(server, registrar, fleet, shares)
