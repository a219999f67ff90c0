"""A group: made, joined, written to, left. Its members see every change in one order, among the messages.

python sdk/python/examples/groups.py [URL]
"""

import asyncio
import secrets
import sys

from stonechat_client import Client, Event, Session, State, StateChanged, Timeline, TimelineMessage


async def sign_up(client: Client, name: str) -> str:
    await client.register(name, "correct horse")
    return await client.sign_in(name, "correct horse", "groups.py")


async def watch(session: Session, timeline: Timeline, group_id: str, until: int) -> None:
    async for item in session:
        if isinstance(item, Event) and item.conversation_event.conversation_id == group_id:
            timeline.apply(item.conversation_event)
            if item.conversation_event.seq == until:
                return


async def main(server: str) -> None:
    run = secrets.token_hex(3)
    async with Client(server) as alice, Client(server) as bob, Client(server) as carol:
        names = {await sign_up(client, f"{name}.{run}"): name for client, name in ((alice, "alice"), (bob, "bob"))}
        names[await sign_up(carol, f"carol.{run}")] = "carol"
        async with alice.connect() as session:
            async for item in session:
                if item == StateChanged(State.LIVE):
                    break
            group = await alice.create_group("Chess on Tuesdays", [bob.user_id])
            await bob.send(group.group_id, "who brings the board?")
            await alice.add_members(group.group_id, [carol.user_id])
            await carol.leave_group(group.group_id)
            timeline = Timeline(alice.user_id)
            await watch(session, timeline, group.group_id, until=4)
            for shown in timeline.items():
                if isinstance(shown, TimelineMessage):
                    print(f"{shown.seq} {names[shown.sender_id]}: {shown.content}")
                else:
                    joined = [f"+{names[member.user_id]}" for member in shown.change.joined]
                    left = [f"-{names[user_id]}" for user_id in shown.change.left]
                    print(f"{shown.seq} {names[shown.sender_id]} changes the group: {' '.join(joined + left)}")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))
