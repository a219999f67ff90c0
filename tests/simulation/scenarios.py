"""What schedules are drawn from. A scenario acts on a world; afterwards the world heals and everything is checked.

The numbers are those of the fault tests in ARCHITECTURE.md; S9, S11, S12 and L7 are rules of the protocol.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from svc.kernel.record import Kind
from tests.simulation.acts import begin, change, change_early, change_members, move, repeat_old, say, talk, too_late
from tests.simulation.faults import lose_tail, replace_replica, storm, strike, strike_cache, take_over_when_killed
from tests.simulation.owners import OwnerProcess
from tests.simulation.replays import ReplayProcess, repair_by_replay
from tests.simulation.world import CONVERSATIONS, DIRECT, GROUP, OTHER_DIRECT, World

POINTS = (
    ("store.load", "end"),  # woken
    ("store.keys", "end"),
    ("store.write", "begin"),  # seq given
    ("store.write", "half"),  # half of the batches sent
    ("store.write", "end"),  # stored
    ("log.append conversation.events", "begin"),  # relayed
    ("log.append conversation.events", "end"),  # announced
    ("log.append conversation.accepted", "begin"),
    ("log.commit", "begin"),  # before commit
    ("log.commit", "end"),
)


@dataclass(slots=True)
class Settings:
    """Constants of the real code that a schedule changes, so that their edges lie within it."""

    bucket_events: int = 4096
    keys_kept: int = 2048
    linger_seconds: float = 60.0
    state_bytes: int = 64 << 20

    @classmethod
    def draw(cls, dice: random.Random) -> "Settings":
        return cls(
            dice.choice((3, 5, 8, 16, 4096)),
            dice.choice((2, 5, 2048)),
            dice.choice((0.3, 2.0, 60.0)),
            dice.choice((500, 2_000, 5_000, 64 << 20)),
        )


Scenario = Callable[[World], Awaitable[None]]


async def calm(world: World) -> None:
    """Nothing goes wrong."""
    await begin(world, 2, 1)
    for _ in range(world.below(30) + 5):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.05))


async def partial_write(world: World) -> None:
    """1: one mutation reaches one replica only; the owner dies before its retry; another takes over; the replica is lost.
    Meanwhile people look at their lists."""
    await begin(world, 2, 1)
    owner, replica = world.owners[0], world.random.choice(world.store.replicas)
    take_over_when_killed(world, owner)
    owner.stop_at("store.write", "half", 1 + world.below(5))
    world.store.only = replica
    for _ in range(10 + world.below(10)):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.05))
        for name in CONVERSATIONS:
            world.store.look_at_head(name)
    await asyncio.sleep(world.between(0.0, 3.0))
    replace_replica(world, replica)
    for _ in range(5):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.5))


async def killed_anywhere(world: World) -> None:
    """2: an owner dies at each point of a round, and whoever takes over may die as well."""
    world.weather.latency = world.random.choice((0.002, 0.02))
    world.weather.fetch_entries = world.random.choice((1, 5, 20))
    await begin(world, 2, 1)
    for _ in range(1 + world.below(3)):
        owner = next((owner for owner in world.living_owners()), None) or world.start_owner()
        call, phase = world.random.choice(POINTS)
        owner.stop_at(call, phase, 1 + world.below(4))
        for _ in range(5 + world.below(10)):
            talk(world)
            await asyncio.sleep(world.between(0.0, 0.03))
        await asyncio.sleep(world.between(0.0, 0.5))
        if not world.living_owners():
            world.start_owner()


async def stopped_in_a_round(world: World) -> None:
    """3: an owner is stopped in the middle of a round, another takes over and moves on, then the first wakes up."""
    await begin(world, 2, 1)
    first = world.owners[0]
    for _ in range(4):
        say(world)
    call, phase = world.random.choice(POINTS)
    first.stop_at(call, phase, 1 + world.below(5), first.pause)
    for _ in range(5 + world.below(8)):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.05))
    world.start_owner()
    for _ in range(10 + world.below(10)):
        world.random.choice((say, say, change, change, repeat_old, too_late, change_early))(world)
        await asyncio.sleep(world.between(0.0, 0.3))
    await asyncio.sleep(world.between(0.0, 60.0))
    world.weather.stale_owner = 0.4
    first.resume()
    for _ in range(8):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.1))


async def one_cannot_store(world: World) -> None:
    """4: one owner cannot reach the store, another can."""
    await begin(world, 2, 2)
    cut = world.random.choice(world.owners)
    world.weather.stale_owner = 0.3
    for _ in range(20 + world.below(10)):
        talk(world)
        if world.chance(0.2):
            cut.store_cut = not cut.store_cut
        await asyncio.sleep(world.between(0.0, 1.0))


async def bucket_edge(world: World) -> None:
    """5: a round crosses from one bucket into the next, only the write to the older one fails, and the owner dies."""
    size = world.settings.bucket_events
    world.preload(GROUP, size - 1 - world.below(min(size - 1, 7)))
    await begin(world, 2, 1)
    first = world.owners[0]
    for _ in range(1 + world.below(3)):
        say(world, GROUP)
    await asyncio.sleep(0.1)
    first.pause()
    for _ in range(10):
        say(world, GROUP)
    change(world)
    await asyncio.sleep(0.1)
    world.store.failing_bucket = 0
    first.resume()
    await asyncio.sleep(world.between(0.0, 3.0))
    first.kill()
    world.start_owner()
    await asyncio.sleep(world.between(0.0, 2.0))
    world.store.failing_bucket = None
    for _ in range(5):
        talk(world)


async def log_cut(world: World) -> None:
    """9: the log loses its newest records, and their offsets are used again."""
    world.weather.fetch_entries = world.random.choice((1, 5, 20))
    world.weather.log_unknown = world.random.choice((0.0, 0.2))
    await begin(world, 2, 1 + world.below(2))
    for _ in range(10 + world.below(15)):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.1))
    if world.chance(0.3):
        _hesitate(world, world.random.choice(world.living_owners()))
    await lose_tail(world)
    for _ in range(10 + world.below(10)):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.3))


def _hesitate(world: World, owner: OwnerProcess) -> None:
    """The next time it claims, it pauses between reading in which era it is and what was committed there."""

    def pause() -> None:
        owner.pause()
        world.loop.call_later(world.between(0.05, 0.5), owner.resume)

    owner.stop_at("log.committed", "begin", 1, pause)


async def cache_comes_back_old(world: World) -> None:
    """10: the cache of heads is saved, much is written, it is put back as it was, owners and nodes start anew; who was away
    must be told everything without a further message."""
    dice = world.random
    world.weather.cache_fails = dice.choice((0.0, 0.0, 0.3))
    await begin(world, 2, 1)
    for _ in range(3 + world.below(6)):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.1))
    await asyncio.sleep(world.between(0.0, 0.5))
    saved = world.heads.saved()
    for client in dice.sample(world.clients, 2):
        client.disconnect()
    for _ in range(5 + world.below(10)):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.1))
    await asyncio.sleep(world.between(0.0, 1.0))
    old = world.owners[0]
    dice.choice((old.kill, old.pause, lambda: None))()
    world.heads.restore(saved)
    if not old.alive or old.paused or world.chance(0.5):
        world.start_owner()
    for node in world.living_nodes():
        node.kill()
        world.start_node()
    for client in world.clients:
        if client.session is not None:
            client.connect(dice.choice(world.living_nodes()))
    await asyncio.sleep(world.between(0.0, 5.0))


async def subscription_storm(world: World) -> None:
    """11: everybody subscribes and leaves while streams break, owners change and queues overflow."""
    weather, dice = world.weather, world.random
    weather.queue_bytes = dice.choice((300, 1000, 3000))
    weather.stream_slow = dice.choice((0.2, 0.6))
    weather.cut_stream = dice.choice((0.0, 0.05, 0.2))
    weather.stale_owner = dice.choice((0.0, 0.3))
    weather.replica_late = 0.5
    weather.fetch_entries = dice.choice((1, 4))
    await begin(world, 3, 2)
    for _ in range(30 + world.below(30)):
        if world.chance(0.5):
            say(world, DIRECT if world.chance(0.7) else None)
        else:
            move(world)
        if world.chance(0.04):
            world.random.choice(world.living_owners()).kill()
            world.start_owner()
        await asyncio.sleep(world.between(0.0, 0.06))


async def answers_lost(world: World) -> None:
    """S9: streams break again and again while requests wait for their answers."""
    world.weather.cut_stream = world.random.choice((0.3, 0.7))
    world.weather.store_unknown = world.random.choice((0.0, 0.3))
    world.weather.fetch_entries = 3
    await begin(world, 2, 1)
    for _ in range(20):
        talk(world)
        if world.chance(0.1) and world.wires:
            world.random.choice(world.wires).silent = True
        await asyncio.sleep(world.between(0.0, 0.2))


async def first_message(world: World) -> None:
    """12, S11: two who never talked, on different nodes; the owner dies right after event 1 is stored."""
    world.start_owner()
    for _ in range(3):
        world.start_node()
    for client, node in zip(world.clients, world.random.choices(world.nodes, k=len(world.clients)), strict=True):
        client.follow(f"inbox.{client.user}")
        client.connect(node)
    owner = world.owners[0]
    call, phase = world.random.choice(POINTS)
    owner.stop_at(call, phase, 1 + world.below(2))
    take_over_when_killed(world, owner)
    for name in world.random.sample((DIRECT, OTHER_DIRECT), 2):
        say(world, name)
        await asyncio.sleep(world.between(0.0, 0.5))
    for _ in range(4):
        say(world, world.random.choice((DIRECT, OTHER_DIRECT)))
        await asyncio.sleep(world.between(0.0, 1.0))


async def members_change(world: World) -> None:
    """S12: members come and go in a loop; the outbox repeats itself, out of order, through whichever node."""
    world.weather.log_unknown = 0.2
    world.weather.store_unknown = world.random.choice((0.0, 0.3))
    await begin(world, 2, 1)
    for _ in range(15):
        change_members(world)
        if world.chance(0.4):
            say(world, GROUP)
        if world.chance(0.05):
            world.random.choice(world.living_owners()).kill()
            world.start_owner()
        await asyncio.sleep(world.between(0.0, 0.1))


async def clocks_jump(world: World) -> None:
    """13, L7: the log's clock and the nodes' clocks jump; repeats come within a day and after more than a day.

    The log's clock jumps when all is judged: a key has one row, and a repeat that is judged after its key was used anew, a day
    later, would find that one alone (a known limit: it takes an owner that lags from before the day's end until after it).
    """
    world.repeats_grow_old = True
    await begin(world, 2, 1 + world.below(2))
    for node, hours in zip(world.nodes, (-25, 25), strict=True):
        node.skew_us = hours * 3600 * 1_000_000
    for _ in range(25):
        world.random.choice((say, repeat_old, repeat_old, change, too_late))(world)
        if world.chance(0.1):
            await world.all_judged()
            world.log.jump(world.random.choice((25, 23, 1, -1)) * 3600.0)
        if world.chance(0.05):
            world.random.choice(world.living_owners()).kill()
            world.start_owner()
        await asyncio.sleep(world.between(0.0, 0.3))


async def everything(world: World) -> None:
    """Everything at random: the bulk of all schedules."""
    storm(world)
    await begin(world, 2 + world.below(2), 1 + world.below(2))
    pace = world.random.choice((0.005, 0.03, 0.2))
    faults = world.random.choice((0.05, 0.15, 0.3))
    for _ in range(10 + world.below(30)):
        talk(world)
        if world.chance(faults):
            strike(world)
        if world.chance(faults):
            strike_cache(world)
        if world.chance(0.7):
            await asyncio.sleep(world.between(0.0, pace) * (20 if world.chance(0.05) else 1))


async def late_edit(world: World) -> None:
    """6: a message in an older bucket is withdrawn, the owner dies in between; then an edit comes late."""
    await begin(world, 2, 1)
    messages = [say(world, GROUP) for _ in range(6)]
    await asyncio.sleep(3.0)
    known = [it for it in world.people.messages.get(GROUP, []) if it[0] in messages]
    if not known:
        return
    intent, answer = world.random.choice(known)
    owner = world.owners[0]
    take_over_when_killed(world, owner)
    owner.stop_at("store.write", world.random.choice(("begin", "half", "end")), 1 + world.below(3))
    for kind in world.random.choices((Kind.EDIT, Kind.WITHDRAWAL, Kind.EDIT, Kind.WITHDRAWAL), k=5):
        world.people.send(world.people.change(kind, intent, answer.seq, answer.record_id))
        say(world, GROUP)
        await asyncio.sleep(world.between(0.0, 0.5))


async def replayed(world: World) -> None:
    """W3: the log is replayed again and again, while owners work and die and messages are edited and withdrawn; and what a
    replica lost is there again."""
    world.weather.store_unknown = world.random.choice((0.0, 0.3))
    world.weather.replica_late = world.random.choice((0.0, 0.5))
    await begin(world, 2, 1)
    replays: list[ReplayProcess] = []
    for number in range(20 + world.below(20)):
        world.random.choice((talk, talk, change))(world)
        if world.chance(0.15):
            replays.append(ReplayProcess(world, f"replay{number}"))
        if replays and world.chance(0.05):
            world.random.choice(replays).kill()
        if world.chance(0.05):
            world.random.choice(world.living_owners()).kill()
            world.start_owner()
        await asyncio.sleep(world.between(0.0, 0.1))
    world.weather.calm()
    await world.all_judged()
    await repair_by_replay(world)


SCENARIOS: dict[str, Scenario] = {
    function.__name__: function
    for function in (
        everything,
        partial_write,
        killed_anywhere,
        stopped_in_a_round,
        one_cannot_store,
        bucket_edge,
        late_edit,
        replayed,
        log_cut,
        cache_comes_back_old,
        subscription_storm,
        answers_lost,
        first_message,
        members_change,
        clocks_jump,
        calm,
    )
}
WEIGHTED = (*SCENARIOS, *["everything"] * 6, "killed_anywhere", "stopped_in_a_round", "subscription_storm")
