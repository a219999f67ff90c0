"""A small population that talks for as long as a test wants: some on streams, some over REST, in pairs and in groups."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx

from tests.faults.clients import Account, Client, RestClient, StreamClient, newest, persistently, rest, sign_up
from tests.faults.ledger import Ledger
from tests.faults.server import Server, until

# Between two messages of one lane: a population that writes, not a benchmark.
_PACE_SECONDS = 0.02
_STORE_AWAY_SECONDS = 180.0
_NAMES = ("ada", "bob", "cyd", "dan", "eve", "fay")
_OVER_REST = ("eve", "fay")

C = TypeVar("C", bound=Client)
Device = Callable[[str, Account, Ledger], C]
"""A kind of client: made of the server's URL, whose it is, and its ledger."""


class Load:
    """The population at work: ada to dan on streams (ada with two devices), eve and fay over REST. Everybody writes to the
    neighbour and to a group of all; eve makes new groups all the time."""

    def __init__(
        self,
        url: str,
        accounts: list[Account],
        group_id: str,
        clients: list[Client],
        ledgers: Path,
        connected: AsyncExitStack,
    ) -> None:
        self.accounts = accounts
        self.group_id = group_id
        self.clients = clients
        self.writers = list(clients)
        """Those of them that write by themselves."""
        self.ledgers = ledgers
        """The folder of what they wrote down."""
        self.groups_made: dict[str, str] = {}
        """client_request_id → group id, as acknowledged."""
        self.url = url
        self._connected = connected
        self._lanes: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def acknowledged(self) -> int:
        """Sends that were acknowledged so far."""
        return sum(client.ledger.acknowledged for client in self.clients)

    def answers(self) -> Counter[str | int]:
        """How sends were answered."""
        return sum((client.answers for client in self.clients), Counter())

    async def more(self, count: int, seconds: float = 90.0) -> None:
        """Wait until so many more sends are acknowledged."""
        goal = self.acknowledged + count
        try:
            await until(
                lambda: self.acknowledged >= goal or self._failed(), f"{count} more sends are acknowledged", seconds
            )
        except TimeoutError as error:
            error.add_note("\n".join(each.state() for each in self.clients))
            raise
        self._raise()

    def check(self) -> None:
        """Raises what any part of it died of."""
        for client in self.clients:
            client.check()
        self._raise()

    def streams(self) -> list[int]:
        """How many streams each client on a stream has had."""
        return [client.streams for client in self.clients if isinstance(client, StreamClient)]

    async def settle(self, seconds: float = 90.0) -> None:
        """Write no more; return when every send is acknowledged and every client has seen everything."""
        self._stopping = True
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._lanes)
        async with rest(self.url) as http:
            for client in self.clients:
                heads = await persistently(partial(newest, http, client.account))

                def has_everything(client: Client = client, heads: dict[str, int] = heads) -> bool:
                    client.check()
                    return client.follower.knows(heads)

                try:
                    await until(has_everything, f"{client.account.user_id} has everything: {heads}", seconds)
                except TimeoutError as error:
                    error.add_note("\n".join(each.state() for each in self.clients))
                    raise

    async def newcomer(self, name: str, device: Device[C]) -> C:
        """One more user, who belongs to nothing, with one device; connected when this returns. Nobody writes to it, and it
        writes to nobody, unless a test makes them. After `start`."""
        async with rest(self.url) as http:
            account = await sign_up(http, name)
        self.accounts.append(account)
        return await self.connect(name, account, device)

    async def connect(self, name: str, account: Account, device: Device[C]) -> C:
        """One more device of a user, whose ledger has this name; connected when this returns. It writes nothing by itself."""
        made = _client(self._connected, self.url, self.ledgers / f"{name}.ledger", account, device)
        await self._connected.enter_async_context(made)
        self.clients.append(made)
        await until(lambda: made.follower.complete, f"{name} is connected")
        return made

    def start(self, dense: bool = False) -> None:
        """Begin to write. `dense`: as fast as it can, each to everybody."""
        users = [account.user_id for account in self.accounts]
        for number, client in enumerate(self.clients):
            own = users.index(client.account.user_id)
            others = users[own + 1 :] + users[:own]
            for to in (*(others if dense else others[:1]), self.group_id):
                lane = self._write(client, to, f"c{number}-{to}", 0.0 if dense else _PACE_SECONDS)
                self._lanes.append(asyncio.create_task(lane))
        self._lanes.append(asyncio.create_task(self._found(self.clients[-2])))

    async def leave(self) -> None:
        """End all writers, whatever they are at, and then disconnect everybody."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        await self._connected.aclose()

    async def _write(self, client: Client, to: str, prefix: str, pause: float) -> None:
        for number in itertools.count():
            if self._stopping:
                return
            await client.send(to, f"{prefix} says {number} " + "x" * (number % 200), f"{prefix}-{number}")
            await asyncio.sleep(pause)

    async def _found(self, founder: Client) -> None:
        """Make groups, with everybody in them, and say something in each."""
        others = [account.user_id for account in self.accounts if account.user_id != founder.account.user_id]
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=15) as http:
            for number in itertools.count():
                if self._stopping:
                    return
                request = f"group-{number}"
                body = {"name": request, "memberIds": others, "clientRequestId": request}
                try:
                    answer = await http.post("/v1/groups", json=body, headers=founder.account.header)
                except httpx.TransportError:
                    answer = httpx.Response(503)
                if answer.status_code == 200:
                    self.groups_made[request] = answer.json()["groupId"]
                    await self._greet(founder, self.groups_made[request], request)
                elif answer.status_code not in (503, 504):
                    founder.ledger.problem("answer", f"{request} was answered {answer.status_code} {answer.text}")
                await asyncio.sleep(_PACE_SECONDS)

    async def _greet(self, founder: Client, group_id: str, request: str) -> None:
        # The group's members may write as soon as its first event is stored, shortly after the call returned.
        # Unless the store is away: then after it is back.
        await until(
            lambda: founder.follower.knows({group_id: 1}) or self._stopping,
            f"{group_id} has its first event",
            _STORE_AWAY_SECONDS,
        )
        if founder.follower.knows({group_id: 1}):
            await founder.send(group_id, f"welcome to {request}", request)

    def _failed(self) -> bool:
        return any(lane.done() and lane.exception() is not None for lane in self._lanes)

    def _raise(self) -> None:
        for lane in self._lanes:
            if lane.done():
                lane.result()
        for client in self.clients:
            client.check()


def _client(connected: AsyncExitStack, url: str, path: Path, account: Account, device: Device[C]) -> C:
    """Not connected yet; its ledger is closed with the others."""
    return device(url, account, connected.enter_context(closing(Ledger(path, account.user_id))))


@asynccontextmanager
async def load(server: Server) -> AsyncIterator[Load]:
    """The population, signed in, in its group, connected and quiet; `start` makes it write. Each client has a ledger, in a
    folder beside the server's data."""
    url, ledgers = server.url, server.folder / "ledgers"
    ledgers.mkdir()
    async with AsyncExitStack() as connected, rest(url) as http:
        accounts = [await sign_up(http, name) for name in _NAMES]
        # Begun before there is any conversation: each client must come to know all of its user's.
        ada, *others = zip(_NAMES, accounts, strict=True)
        clients: list[Client] = []
        for name, account in (ada, ("ada2", ada[1]), *others):
            device: Device[Client] = RestClient if name in _OVER_REST else StreamClient
            clients.append(_client(connected, url, ledgers / f"{name}.ledger", account, device))
        everybody = {"name": "everybody", "memberIds": [account.user_id for account in accounts[1:]]}
        made = await http.post("/v1/groups", json=everybody, headers=accounts[0].header)
        group_id = made.raise_for_status().json()["groupId"]

        async def listed() -> bool:
            heads = [await newest(http, account) for account in accounts]
            return all(group_id in each for each in heads)

        await until(listed, "the group is in everybody's list")
        talk = Load(url, accounts, group_id, clients, ledgers, connected)
        try:
            for client in clients:
                await connected.enter_async_context(client)
            await until(lambda: all(client.follower.complete for client in clients), "all clients are connected")
            yield talk
        finally:
            await talk.leave()
