"""A node and the owners of its conversations, over the real relay: who is asked for what, and what happens when that
changes (protocol S1, S7, S9, G2)."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import combinations
from pathlib import Path

import pytest

from svc.delivery.growing import Growing
from svc.delivery.hub import Hub
from svc.kernel.clock import SystemClock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import ACCEPTED
from svc.kernel.ids import direct_conversation, inbox_of
from svc.kernel.relay import Outcome, Signal
from svc.kernel.shards import ShardMap
from svc.messaging import hello
from tests.contracts.owner import PARTITIONS, until
from tests.messaging.hosts import Installation, connected, installation, knows, send
from tests.messaging.world import StepClock, hear, identity


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


async def test_each_conversation_is_asked_of_its_owner(there: Installation):
    """Three instances, one session: everything is pushed, wherever it lives, and each instance knows its own part only."""
    hosts = [await there.host("one", 0, 1), await there.host("two", 2, 3), await there.host("three", 4)]
    node = await there.node("node")
    pairs = [there.between(partition) for partition in range(PARTITIONS)]
    for _, other, _ in pairs:
        await send(node, "u1", other, "first")
    async with connected(node, "u1") as client:
        for number in range(2, 5):
            await asyncio.gather(*(send(node, "u1", other, f"m{number}") for _, other, _ in pairs))
        await knows(client, {name: 4 for _, _, name in pairs})
        assert client.pushed >= 3 * len(pairs)
        for host in hosts:
            subscribed = {name for queue in host.owner.hub._queues.values() for name in queue.subscribed}
            partitions = {there.stand.coordination.shards.partition_of(name) for name in subscribed}
            assert partitions <= host.owner.claims.keys()


async def test_hello_waits_for_owners(there: Installation):
    """Nobody is up, then somebody is who owns nothing, then somebody owns: the session opens by itself."""
    node = await there.node("node")
    async with asyncio.timeout(60):
        session = node.enter(identity("u1"))
        opening = asyncio.create_task(node.open(session))
        one, two = await there.host("one"), await there.host("two")
        partition = there.stand.coordination.shards.partition_of(inbox_of("u1"))
        await one.take(*(each for each in range(PARTITIONS) if each != partition))
        assert not opening.done()
        await two.take(partition)
        await opening
    node.leave(session)


async def test_hello_without_an_owner_is_unavailable_in_time(there: Installation, monkeypatch: pytest.MonkeyPatch):
    """Nobody waits for ever; the others are served."""
    monkeypatch.setattr(hello, "OPEN_SECONDS", 0.2)
    homeless = there.stand.coordination.shards.partition_of(inbox_of("u1"))
    other = next(
        f"u{n}" for n in range(2, 99) if there.stand.coordination.shards.partition_of(f"inbox.u{n}") != homeless
    )
    await there.host("one", *(each for each in range(PARTITIONS) if each != homeless))
    node = await there.node("node")
    session = node.enter(identity("u1"))
    with pytest.raises(Unavailable, match="connect again"):
        await node.open(session)
    node.leave(session)
    monkeypatch.undo()
    served = node.enter(identity(other))
    await node.open(served)
    node.leave(served)


async def test_a_claim_that_moves_takes_its_sessions_along(there: Installation):
    """Nothing is told twice, nothing is left out, and the session stays."""
    one, two = await there.host("one", *range(PARTITIONS)), await there.host("two")
    node = await there.node("node")
    _, other, name = there.between(3)
    await send(node, "u1", other, "first")
    async with connected(node, other) as client:
        for number in range(2, 8):
            giver, taker = (one, two) if number % 2 else (two, one)
            if 3 in giver.owner.claims:
                await giver.give(3)
                await taker.take(3)
            await send(node, "u1", other, f"m{number}")
            await knows(client, {name: number})


async def test_a_former_owner_that_says_nothing_is_not_waited_for(there: Installation):
    """It stands still: it does not even say that it owns nothing any more, and its stream is open. The table says who does."""
    one, two = await there.host("one", *range(PARTITIONS)), await there.host("two")
    node = await there.node("node")
    _, other, name = there.between(3)
    await send(node, "u1", other, "first")
    async with connected(node, other) as client:
        await knows(client, {name: 1})
        for says in ("relay", "answer", "gave"):
            setattr(one.owner.hub, says, lambda *_: None)
        await there.stand.coordination.release(one.owner.claims[3])
        await two.take(3)
        async with asyncio.timeout(60):
            await send(node, "u1", other, "second")
            await knows(client, {name: 2})


async def test_who_claims_lets_who_subscribes_wait(there: Installation, monkeypatch: pytest.MonkeyPatch):
    """A node sees the claim before its partition is held: it is acknowledged when it is, without being refused in between, and
    refused when that failed."""
    one, two = await there.host("one", *range(PARTITIONS)), await there.host("two")
    node = await there.node("node")
    monkeypatch.setattr(node._subscriptions, "retry", lambda: None)
    _, other, name = there.between(3)
    await send(node, "u1", other, "first")
    async with connected(node, other) as client:
        await one.give(3)
        with two.owner.loader.coming([3]):
            claim = await there.stand.coordination.claim(3, two.instance)
            assert claim is not None

            async def waits() -> bool:
                return name in two.owner.hub.waiting()

            await until(waits)
            await two.owner.take([claim])
        await send(node, "u1", other, "second")
        await knows(client, {name: 2})
        await two.give(3)
        with two.owner.loader.coming([3]):
            await there.stand.coordination.claim(3, two.instance)
            await until(waits)

        async def refused() -> bool:
            return name in node._subscriptions._refused

        await until(refused)


async def test_a_silent_stream_is_opened_again(there: Installation, monkeypatch: pytest.MonkeyPatch):
    """An instance says each second that it lives. After three without a word the node opens another stream; what was subscribed
    on the one before is asked for again, and told if it moved on."""
    monkeypatch.setattr(Hub, "tick", lambda hub: None)
    clock = StepClock()
    one = await there.host("one", *range(PARTITIONS))
    node, writer = await there.node("node", clock=clock), await there.node("writer")
    _, other, name = there.between(3)
    await send(writer, "u1", other, "first")
    async with connected(node, other) as client:
        await knows(client, {name: 1})
        monkeypatch.setattr(one.owner.hub._queues["node"], "put", lambda item: None)
        await send(writer, "u1", other, "second")
        for _ in range(3):
            clock.advance(1.0)
            await asyncio.sleep(0.01)
        assert client.told[name] == 1

        async def told() -> bool:
            clock.advance(1.0)
            return client.told[name] == 2

        await until(told)


async def test_who_claims_before_it_can_serve_is_asked_again(there: Installation):
    """It says that it does not own the conversation; a moment later it does."""
    await there.host("one", *(each for each in range(PARTITIONS) if each != 3))
    two = await there.host("two")
    node = await there.node("node")
    _, other, name = there.between(3)
    claim = await there.stand.coordination.claim(3, two.instance)
    assert claim is not None
    sending = asyncio.create_task(send(node, "u1", other, "first"))
    session = node.enter(identity(other))
    session.join(name)
    node._links.flush()

    async def refused() -> bool:
        return name in node._subscriptions._refused

    await until(refused)
    await two.owner.take([claim])
    async with asyncio.timeout(60):
        await session.settled()
        assert (await sending).seq == 1
    node.leave(session)


async def test_an_instance_that_dies_with_answers_is_followed_by_one_that_gives_them(there: Installation):
    """What it stored and did not answer is answered by who owns next, which the node asks (S9). Nobody repeats anything."""
    one = await there.host("one", *range(PARTITIONS))
    node = await there.node("node")
    pairs = [there.between(partition) for partition in range(PARTITIONS)]
    for _, other, _ in pairs:
        await send(node, "u1", other, "first")
    one.owner.hub.answer = lambda node, answer: None  # type: ignore[method-assign]
    sending = [asyncio.create_task(send(node, "u1", other, "second")) for _, other, _ in pairs]
    for _, _, name in pairs:
        await there.stand.heads(name, 2)
    await one.die()
    assert not any(task.done() for task in sending)
    await there.host("two", *range(PARTITIONS))
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*sending)
    assert [(answer.seq, answer.outcome) for answer in answers] == [(2, Outcome.STORED)] * len(pairs)


async def test_who_is_asked_before_it_can_answer_answers_when_it_can(there: Installation):
    """A node sees a claim before its partition is held, and lists what waits for an answer there. All of it is through:
    nothing is read again that would bring the answer."""
    one, two = await there.host("one", *range(PARTITIONS)), await there.host("two")
    node = await there.node("node")
    _, other, name = there.between(3)
    await send(node, "u1", other, "first")
    one.owner.hub.answer = lambda node, answer: None  # type: ignore[method-assign]
    sending = asyncio.create_task(send(node, "u1", other, "second"))
    await there.stand.heads(name, 2)
    await one.give(3)
    claim = await there.stand.coordination.claim(3, two.instance)
    assert claim is not None

    async def asked() -> bool:
        return len(two.owner.questions) == 1

    await until(asked)
    assert not sending.done()
    await two.owner.take([claim])
    async with asyncio.timeout(60):
        answer = await sending
    assert (answer.seq, answer.outcome) == (2, Outcome.STORED)


async def test_signals_go_to_the_owner(there: Installation):
    """Whoever writes is seen by the other, whatever the partition; without an owner nothing happens."""
    await there.host("one", 0, 1, 2)
    two = await there.host("two", 3)
    node = await there.node("node")
    _, other, name = there.between(3)
    await send(node, "u1", other, "first")
    session = node.enter(identity(other))
    await node.open(session)
    await node.greet(session, {})
    await node.typing("u1", name)
    await hear(session, lambda event: event.typing.conversation_id == name)
    await two.give(3)
    node._links.signal(Signal(name, "typing u1", b""))
    node.leave(session)


class Behind:
    """A coordination that has not heard of newer maps: it sees one when it asks for it."""

    def __init__(self, real: Coordination) -> None:
        self._real = real
        self.shards: ShardMap = real.shards

    async def read_shards(self) -> ShardMap:
        self.shards = await self._real.read_shards()
        return self.shards

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


async def test_what_moved_is_appended_again(there: Installation):
    """A node with an old map sends to where a shard lived: it is told, reads the map, and the message is stored, once (G2)."""
    await there.host("one", *range(PARTITIONS), PARTITIONS)
    old = Behind(there.stand.coordination)
    node = await there.node("node", coordination=old)  # type: ignore[arg-type]
    await Growing(there.stand.log, there.stand.coordination, SystemClock(), lambda text: None).grow(PARTITIONS + 1)
    newest = there.stand.coordination.shards
    names = {f"u{number}": direct_conversation("u1", f"u{number}") for number in range(2, 500)}
    others = [user for user, name in names.items() if newest.partition_of(name) != old.shards.partition_of(name)][:3]
    there.people.users |= set(others)
    before = sum((await there.stand.log.end_offsets(ACCEPTED)).values())
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(send(node, "u1", other, "hello") for other in others))
    assert [answer.seq for answer in answers] == [1, 1, 1]
    # Each was appended to where it lived and to where it lives; each inbox is told once that the conversation was opened.
    await asyncio.gather(*(there.stand.heads(inbox_of(user), 1) for user in ("u1", *others)))
    appended = sum((await there.stand.log.end_offsets(ACCEPTED)).values()) - before
    assert appended >= 2 * len(others)
    assert old.shards.version == newest.version


USERS = [f"u{number}" for number in range(1, 7)]
ACTS = 25


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_missed_while_owners_come_and_go(there: Installation, seed: int):
    """Two nodes, three instances; claims move and are lost, streams break, an instance dies and another comes, sessions come
    all the time: whoever stays is told of everything, in order, and each message has one number."""
    dice = random.Random(seed)
    for number, name in enumerate(("one", "two", "three")):
        await there.host(name, *range(number, PARTITIONS, 3))
    there.people.users |= set(USERS)
    nodes = [await there.node("node1"), await there.node("node2")]
    names = {pair: direct_conversation(*pair) for pair in combinations(USERS, 2)}
    sent = dict.fromkeys(names, 0)
    done = asyncio.Event()

    async def write(user: str) -> None:
        number = 0
        while not done.is_set():
            pair = dice.choice([pair for pair in names if user in pair])
            other = pair[0] if pair[1] == user else pair[1]
            number += 1
            await send(dice.choice(nodes), user, other, f"{user}-{number}")
            sent[pair] += 1
            await asyncio.sleep(0.002)

    async def come_and_go(user: str) -> None:
        while not done.is_set():
            async with connected(dice.choice(nodes), user):
                await asyncio.sleep(dice.uniform(0, 0.05))

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(dice.choice(nodes), user)) for user in USERS]
        tasks = [asyncio.create_task(work(user)) for user in USERS for work in (write, come_and_go)]
        for act in range(ACTS):
            await _something_happens(there, dice, act)
            await asyncio.sleep(dice.uniform(0, 0.1))
        done.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        for client in clients:
            heads = {names[pair]: count for pair, count in sent.items() if client.user in pair and count}
            await knows(client, heads)


async def _something_happens(there: Installation, dice: random.Random, act: int) -> None:
    hosts = there.hosts
    partition = dice.randrange(PARTITIONS)
    owner = there.owner_of(partition)
    assert owner is not None
    match dice.choice(("give", "give", "lose", "cut", "die")):
        case "give":
            await owner.give(partition)
            await asyncio.sleep(dice.choice((0, 0, 0.05)))
            await dice.choice(list(hosts.values())).take(partition)
        case "lose":
            await owner.lose(partition)
            await asyncio.sleep(dice.choice((0, 0, 0.05)))
            await dice.choice(list(hosts.values())).take(partition)
        case "cut":
            owner.cut()
        case "die":
            owned = list(owner.owner.claims)
            del hosts[owner.name]
            # Others learn of its end bit by bit; until then its claims name somebody who does not answer.
            claims = [claim for claim in there.stand.coordination.claims().values() if claim.instance == owner.instance]
            await owner.close()
            await asyncio.sleep(dice.choice((0, 0.1)))
            for claim in claims:
                await there.stand.coordination.release(claim)
            if dice.random() < 0.5:
                await there.stand.registry.deregister("delivery", owner.instance)
            await there.host(f"next{act}")
            for each in owned:
                await dice.choice(list(hosts.values())).take(each)
            await there.stand.registry.deregister("delivery", owner.instance)
