"""What people do."""

import asyncio

from svc.kernel.record import Kind
from tests.simulation.intents import Intent
from tests.simulation.reference import POISON
from tests.simulation.world import CONVERSATIONS, GROUP, USERS, World


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
    """A message that is void as soon as it is made, or soon after; perhaps it is sent once more, and then it counts."""
    name = world.random.choice(CONVERSATIONS)
    intent = world.people.message(name, some_sender(world, name), seconds=world.between(1e-6, 0.02))
    world.people.send(intent)
    if world.chance(0.5):
        again = world.people.repeat(intent)
        again.seconds = 0.0
        world.loop.call_later(world.between(0.05, 0.5), world.people.send, again)


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
