"""Fault test 14 of the core protocol: members who come and go in a loop, while they connect, read and send."""

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from tests.faults.clients import Account, list_events, newest, rest
from tests.faults.comings import Comings
from tests.faults.installation import LAYOUT, Installation
from tests.faults.load import load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified
from tests.faults.visitor import RestlessVisitor, Visitor

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

PAUSE_SECONDS = 6.0
"""Longer than a session with ZooKeeper, and than a relay stream may be silent."""
_CYCLES = 2


async def members(installation: Installation, owner: Account, group_id: str) -> set[str]:
    """Who is in a group by the tables of the groups."""
    async with rest(installation.url) as http:
        answer = await http.get(f"/v1/groups/{group_id}/members", params={"pageSize": 100}, headers=owner.header)
        return {member["userId"] for member in answer.raise_for_status().json()["members"]}


async def told(installation: Installation, owner: Account, group_id: str) -> set[str]:
    """Who is in a group by its events."""
    found, after, last = set[str](), 0, 1
    async with rest(installation.url) as http:
        while after < last:
            page = await list_events(http, owner, group_id, after)
            for event in page.events:
                found |= {member.user_id for member in event.membership.joined}
                found -= set(event.membership.left)
            after, last = page.events[-1].seq, page.last_seq
    return found


async def test_14_members_who_come_and_go(installation: Installation):
    """Nothing is pushed beyond a removal, no page goes to who is no member, and in the end events, lists and tables agree."""
    installation["front"].roles = [role for role in LAYOUT["front"] if role != "groups"]
    for name in ("groups-1", "groups-2"):
        installation.add(name, ("groups",)).rig = "armed die membership committed 1"
    for name in ("delivery-1", "delivery-2"):
        installation[name].rig = "armed die removal stored 1"
    await installation.start()
    async with load(installation) as talk, rest(installation.url) as http, AsyncExitStack() as stack:
        talk.start()
        owner, group_id = talk.accounts[0], talk.group_id
        visitors = [await talk.newcomer("steady", Visitor), await talk.newcomer("restless", RestlessVisitor)]
        comings = [Comings(http, owner, group_id, one) for one in visitors if isinstance(one, Visitor)]
        loops = [asyncio.create_task(each.run()) for each in comings]
        stack.callback(lambda: [loop.cancel() for loop in loops])

        async def more(cycles: int = _CYCLES) -> None:
            goals = [len(each.goings) + cycles for each in comings]

            def enough() -> bool:
                for loop in loops:
                    if loop.done():
                        loop.result()
                talk.check()
                return all(len(each.goings) >= goal for each, goal in zip(comings, goals, strict=True))

            await until(enough, f"everybody came and went {cycles} times more", 90)

        await more()
        for name in ("groups-1", "groups-2"):
            dying = installation[name]
            dying.signal(signal.SIGUSR1)
            assert await dying.ended() == -signal.SIGKILL
            dying.rig = ""
            recovered = asyncio.create_task(
                RECOVERIES.measure(talk, f"14: {name} killed between a change and its record")
            )
            await dying.start()
            await recovered
            await more()
        dying = await installation.owner_of(group_id)
        dying.signal(signal.SIGUSR1)
        assert await dying.ended() == -signal.SIGKILL
        await RECOVERIES.measure(talk, "14: the owner killed right after it stored a removal")
        await more()
        dying.rig = ""
        await dying.start()
        await installation.serves()
        for paused in (*installation.serving("messaging"), await installation.owner_of(group_id)):
            paused.signal(signal.SIGSTOP)
            await asyncio.sleep(PAUSE_SECONDS)  # the fault itself
            paused.signal(signal.SIGCONT)
            await RECOVERIES.measure(talk, f"14: {paused.folder.name} stood still")
            await more()
        for each in comings:
            each.stopping = True
        await asyncio.gather(*loops)
        for each in comings:
            each.check()
        print(
            f"\ncame and went {[len(each.goings) for each in comings]} times; pages refused"
            f" {[each.pages_refused for each in comings]}; sends accepted after the removal was to be seen"
            f" {[each.late_sends for each in comings]}"
        )
        everybody = {account.user_id for account in talk.accounts}
        await until(lambda: _agree(installation, owner, group_id, everybody), "tables and events say the same")
        for account in talk.accounts:
            assert group_id in await newest(http, account)
        await verified(installation, talk, "members came and went")


async def _agree(installation: Installation, owner: Account, group_id: str, expected: set[str]) -> bool:
    return await members(installation, owner, group_id) == await told(installation, owner, group_id) == expected
