"""What happens to them: weather, and blows to processes and machines."""

import asyncio

from svc.kernel.eventlog import ACCEPTED
from tests.simulation.owners import OwnerProcess
from tests.simulation.replicas import Replica
from tests.simulation.world import World


def storm(world: World) -> None:
    """Draw what goes wrong by itself."""
    weather, dice = world.weather, world.random
    weather.latency = dice.choice((0.002, 0.004, 0.02, 0.1))
    weather.log_unknown = dice.choice((0.0, 0.0, 0.05, 0.2))
    weather.log_twice = dice.choice((0.0, 0.0, 0.1))
    weather.store_unknown = dice.choice((0.0, 0.0, 0.1, 0.4))
    weather.read_fails = dice.choice((0.0, 0.0, 0.05, 0.2))
    weather.cache_fails = dice.choice((0.0, 0.0, 0.1, 0.5))
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
        world.log.jump(dice.choice((-0.2, -0.005, 0.005, 3.0)))


def strike_cache(world: World) -> None:
    """One of the things that happen to a cache."""
    heads, done = world.heads, world.random.random()
    if done < 0.3:
        world.saved_heads = heads.saved()
        world.trace("cache", "saved")
    elif done < 0.8:
        heads.restore(world.saved_heads)
        world.trace("cache", "comes back old")
    else:
        heads.wipe()
        world.trace("cache", "wiped")


def replace_replica(world: World, replica: Replica | None = None) -> None:
    """A replica loses everything; it serves again when it is repaired."""
    store = world.store
    if len(store.serving()) < 3:
        return
    replica = replica or world.random.choice(store.replicas)
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


def take_over_when_killed(world: World, owner: OwnerProcess) -> None:
    """When an owner dies, another one starts a little later."""

    def died() -> None:
        world.loop.call_later(world.between(0.0, 1.0), world.start_owner)

    owner.when_killed.append(died)


async def lose_tail(world: World) -> None:
    """The log takes nothing from nodes; what was under way ends; then it loses its newest entries.

    Nothing else goes wrong at the same time: an incident of the log is a disaster by itself. Producers are let in after
    every owner has looked, since a place that was filled again before cannot be told from the old one (T4). A commit that a
    former owner sent before may still arrive afterwards.
    """
    log = world.log
    world.incidents = True
    world.trace("log", "LOCKED")
    for owner in world.living_owners():
        owner.resume()
        owner.store_cut = False
    world.weather.store_unknown = world.weather.read_fails = 0.0
    world.weather.log_unknown = 0.0
    log.locked = True
    await asyncio.sleep(8.0)
    commits = dict(log.commits)
    world.loop.call_later(world.between(0.0, 5.0), log.commits.update, commits)
    ends = log.ends(ACCEPTED)
    cut = {partition: max(0, end - world.below(12)) for partition, end in ends.items()}
    if len(world.living_owners()) > 1:
        # Two at once must both see it when they claim: one that did not would go on in the former era (a known limit).
        cut = {partition: min(end, max(0, log.committed_offset(partition) - 1)) for partition, end in cut.items()}
    world.trace("log", "CUT", f"{ends} to {cut}")
    log.cut(cut)
    world.forget_cut(cut)
