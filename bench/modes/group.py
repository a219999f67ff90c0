"""A group, all of it online: how fast does everybody get every message, and what does a delivery cost?"""

from collections.abc import AsyncIterator
from typing import Any

from bench.crowd import Terms, crowd
from bench.progress import say
from bench.server import Server
from bench.window import Load, measure


async def run(server: Server, terms: Terms, rate: float) -> AsyncIterator[dict[str, Any]]:
    """One result: `rate` messages a second by members drawn evenly, each delivered to all the others."""
    async with crowd(server, terms) as people:
        owner, *others = people.accounts
        say(f"group: making one of {len(people.accounts)}")
        group_id = await people.registrar.create_group(owner, others)
        await people.connect()
        say(f"group: {rate:g} messages/s to {len(others)} others for {terms.warm_up:g} + {terms.seconds:g} s")
        members = [len(share) for share in people.shares]
        result = await measure(people, terms, Load(rate, terms.seed, people.to_group(group_id), members))
        deliveries = result["delivered_in_window"]
        per_delivery = result["sent_in_window"] / max(1, deliveries)
        for used in result["cpu"].values():
            used["us_per_delivery"] = used["us_per_message"] * per_delivery
        yield {
            "mode": "group",
            "members": len(people.accounts),
            "deliveries_per_second": deliveries / terms.seconds,
        } | result
