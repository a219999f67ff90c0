"""What schedules are drawn from. A scenario acts on a world; afterwards the world heals and everything is checked."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from svc.kernel.record import Kind
from tests.simulation.intents import Intent
from tests.simulation.reference import POISON
from tests.simulation.world import CONVERSATIONS, DIRECT, GROUP, OTHER_DIRECT, USERS, World


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


Scenario = Callable[[World, Settings], Awaitable[None]]


async def begin(world: World, nodes: int, owners: int) -> None:
    """Owners, nodes, and clients that follow what they are part of."""
    for _ in range(owners):
        world.start_owner()
    for _ in range(nodes):
        world.start_node()
    for client in world.clients:
        client.follow(f"inbox.{client.user}")
        for name in members_of(client.user):
            if world.chance(0.8):
                client.follow(name)
        client.connect(world.random.choice(world.nodes))
    await asyncio.sleep(world.between(0.0, 0.3))


def members_of(user: str) -> list[str]:
    """Conversations that a user is part of."""
    return [name for name in CONVERSATIONS if name == GROUP or user in name.split(".")]


def some_sender(world: World, name: str) -> str:
    return world.random.choice([user for user in USERS if name in members_of(user)])


def say(world: World, name: str | None = None) -> Intent:
    """Somebody writes, now and then twice at once."""
    name = name or world.random.choice(CONVERSATIONS)
    intent = world.people.message(name, some_sender(world, name), seconds=world.random.choice((0.0, 0.0, 5.0, 20.0)))
    world.people.send(intent)
    if world.chance(0.15):
        world.people.send(world.people.repeat(intent))
    if world.chance(0.07):
        world.people.send(world.people.other_content(intent))
    return intent


def repeat_old(world: World) -> None:
    """A device that did not hear of its answer."""
    known = [intent for found in world.people.messages.values() for intent, _ in found]
    if known:
        intent = world.random.choice(known)
        again = world.people.other_content(intent) if world.chance(0.3) else world.people.repeat(intent)
        world.people.send(again)


def change(world: World, kind: Kind | None = None) -> None:
    """Edit, withdraw or react to a message; sometimes somebody else's, sometimes one that does not exist."""
    known = [it for found in world.people.messages.values() for it in found]
    if not known:
        return
    intent, answer = world.random.choice(known)
    kind = kind or world.random.choice((Kind.EDIT, Kind.EDIT, Kind.WITHDRAWAL, Kind.REACTION))
    seq, record_id, sender = answer.seq, answer.record_id, intent.sender_id
    if world.chance(0.1):
        sender = some_sender(world, intent.conversation_id)
    if world.chance(0.05):
        seq += 1
    wanted = world.people.change(kind, intent, seq, record_id, sender)
    world.people.send(wanted)
    if world.chance(0.15):
        world.people.send(world.people.repeat(wanted))


def change_early(world: World) -> None:
    """Name a message whose record is under way: whether it stands before the change, the log says."""
    name = world.random.choice(CONVERSATIONS)
    intent = say(world, name)

    async def follow() -> None:
        await asyncio.sleep(0)
        if intent.records:
            seq = len(world.reference.events(name)) + 1 + world.below(3)
            world.people.send(world.people.change(Kind.EDIT, intent, seq, intent.records[0]))

    world.spawn(follow())


def change_members(world: World) -> None:
    """The outbox sends a change, or one that it has sent before."""
    users = world.random.sample(USERS, 2)
    intent = world.people.membership(GROUP, (users[0],), (users[1],))
    world.people.send(intent)
    if world.chance(0.3):
        world.people.send(world.people.repeat(intent))


def too_late(world: World) -> None:
    """A message that is void as soon as it is made, or soon after."""
    name = world.random.choice(CONVERSATIONS)
    world.people.send(world.people.message(name, some_sender(world, name), seconds=world.between(1e-6, 0.02)))


def poison(world: World) -> None:
    """A record that a bug stumbles over, or that is none."""
    name = world.random.choice(CONVERSATIONS)
    if world.chance(0.6):
        world.people.send(world.people.message(name, some_sender(world, name), text=POISON.decode()))
    else:
        world.garbage(name)


def talk(world: World) -> None:
    """One of the things that people do."""
    done = world.random.random()
    if done < 0.6:
        say(world)
    elif done < 0.75:
        change(world)
    elif done < 0.83:
        repeat_old(world)
    elif done < 0.88:
        change_members(world)
    elif done < 0.92:
        too_late(world)
    elif done < 0.95:
        change_early(world)
    elif done < 0.97:
        poison(world)
    else:
        move(world)


def move(world: World) -> None:
    """A client goes to another node, or looks at something else."""
    client = world.random.choice(world.clients)
    done = world.random.random()
    nodes = world.living_nodes()
    if done < 0.4 and nodes:
        client.connect(world.random.choice(nodes))
    elif done < 0.5:
        client.disconnect()
    elif client.ledgers:
        name = world.random.choice(list(client.ledgers))
        (client.stop if done < 0.75 else client.follow)(name)


async def calm(world: World, settings: Settings) -> None:
    """Nothing goes wrong."""
    await begin(world, 2, 1)
    for _ in range(world.below(30) + 5):
        talk(world)
        await asyncio.sleep(world.between(0.0, 0.05))


def storm(world: World) -> None:
    """Draw what goes wrong by itself."""
    weather, dice = world.weather, world.random
    weather.latency = dice.choice((0.002, 0.004, 0.02, 0.1))
    weather.log_unknown = dice.choice((0.0, 0.0, 0.05, 0.2))
    weather.log_twice = dice.choice((0.0, 0.0, 0.1))
    weather.store_unknown = dice.choice((0.0, 0.0, 0.1, 0.4))
    weather.read_fails = dice.choice((0.0, 0.0, 0.05, 0.2))
    weather.replica_late = dice.choice((0.0, 0.3, 0.9))
    weather.stream_slow = dice.choice((0.0, 0.0, 0.1, 0.5))
    weather.stale_owner = dice.choice((0.0, 0.0, 0.3))
    weather.cut_stream = dice.choice((0.0, 0.0, 0.02, 0.1))
    weather.queue_bytes = dice.choice((300, 1_000, 3_000, 8 << 20))
    weather.fetch_entries = dice.choice((1, 3, 20))
    world.wrong_map = dice.choice((0.0, 0.0, 0.05))


def strike(world: World) -> None:
    """One of the things that happen to processes and machines."""
    dice, store = world.random, world.store
    owners, nodes = world.living_owners(), world.living_nodes()
    done = dice.random()
    if done < 0.12 and owners:
        dice.choice(owners).kill()
    elif done < 0.25 and len(owners) < 3:
        world.start_owner()
    elif done < 0.40 and owners:
        owner = dice.choice(owners)
        (owner.resume if owner.paused else owner.pause)()
    elif done < 0.48 and owners:
        owner = dice.choice(owners)
        owner.store_cut = not owner.store_cut
    elif done < 0.52 and owners:
        owner = dice.choice(owners)
        owner.log_cut = not owner.log_cut
    elif done < 0.60 and nodes:
        node = dice.choice(nodes)
        (node.resume if node.paused else node.pause)()
    elif done < 0.64 and nodes:
        dice.choice(nodes).kill()
        world.start_node()
        for client in world.clients:
            if client.session is not None and not client.session.node.alive:
                client.connect(dice.choice(world.living_nodes()))
    elif done < 0.76 and world.wires:
        wire = dice.choice(world.wires)
        if world.chance(0.5):
            wire.silent = True
        else:
            wire.break_()
    elif done < 0.82:
        for replica in store.replicas:
            replica.slow = False
        dice.choice(store.replicas).slow = True
    elif done < 0.88:
        replace_replica(world)
    elif done < 0.94:
        storm(world)
    else:
        world.log.clock_us += dice.choice((-200_000, -5_000, 5_000, 3_000_000))


def replace_replica(world: World) -> None:
    """A replica loses everything; it serves again when it is repaired."""
    store = world.store
    if len(store.serving()) < 3:
        return
    replica = world.random.choice(store.replicas)
    world.trace(f"replica{replica.number}", "wiped")
    replica.serving = False
    replica.wipe()

    def repaired() -> None:
        for other in store.replicas:
            if other is not replica:
                replica.copy_from(other)
        replica.serving = True
        world.trace(f"replica{replica.number}", "repaired")

    world.loop.call_later(world.between(0.05, 3.0), repaired)


async def everything(world: World, settings: Settings) -> None:
    """Everything at random: the bulk of all schedules."""
    storm(world)
    await begin(world, 2 + world.below(2), 1 + world.below(2))
    pace = world.random.choice((0.005, 0.03, 0.2))
    faults = world.random.choice((0.05, 0.15, 0.3))
    for _ in range(10 + world.below(30)):
        talk(world)
        if world.chance(faults):
            strike(world)
        if world.chance(0.7):
            await asyncio.sleep(world.between(0.0, pace) * (20 if world.chance(0.05) else 1))


SCENARIOS: dict[str, Scenario] = {
    "calm": calm,
    "everything": everything,
}
_ = (DIRECT, OTHER_DIRECT)
