"""Fault test 12 of the core protocol: the first message of two who never talked, when the owner dies right after storing it."""

import asyncio
import signal
import time
from itertools import permutations

import pytest

from svc.kernel.ids import direct_conversation
from tests.faults.clients import Account, Client, RestClient, StreamClient, list_events, newest, rest
from tests.faults.installation import Installation
from tests.faults.load import Load, load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

STRANGERS = 10
"""So many that two of them stand as the test wants it: a pair in twelve does."""
_ASK = "/stonechat.messaging.v1.MessagingService/SendTyping"


async def serving(installation: Installation, account: Account) -> str:
    """The node that new calls of a user go to, asked by one that changes nothing."""

    def asked() -> dict[str, int]:
        return {
            server.folder.name: sum(
                line.get("user") == account.user_id and _ASK.endswith(line.get("method", "?")) for line in server.log()
            )
            for server in installation.serving("messaging")
        }

    before = asked()
    async with rest(installation.url) as http:
        nobody = f"d.{account.user_id}.u1"
        await http.post(f"/v1/conversations/{nobody}/typing", json={"typing": True}, headers=account.header)
    grown = await until(
        lambda: [name for name, count in asked().items() if count > before.get(name, 0)], "it is served"
    )
    return str(grown[0])


async def owned_by(installation: Installation, process: str) -> set[int]:
    """The partitions that a process owns."""
    address = installation[process].url
    return {partition for partition, owner in (await installation.owners()).items() if owner == address}


async def strangers(installation: Installation, talk: Load, owner: str) -> tuple[Client, Client]:
    """Two who never talked, on different nodes; new calls of the first go to a third node. Their conversation is `owner`'s."""
    people = [await talk.newcomer(f"stranger{number}", StreamClient) for number in range(STRANGERS)]
    streams = {one: await serving(installation, one.account) for one in people}
    await installation.add("messaging-3", ("messaging",)).start()

    async def moved() -> list[Client]:
        return [one for one in people if await serving(installation, one.account) == "messaging-3"]

    on_the_third = await until(moved, "the new node serves some of them")
    shards, own = await installation.shards(), await owned_by(installation, owner)
    for sender, receiver in permutations(people, 2):
        name = direct_conversation(sender.account.user_id, receiver.account.user_id)
        if sender in on_the_third and streams[sender] != streams[receiver] and shards.partition_of(name) in own:
            return sender, receiver
    raise AssertionError(f"no two of {STRANGERS} stand as they should")


async def test_12_the_first_message_of_two_who_never_talked(installation: Installation):
    """The receiver gets it without connecting again, the sender the first answer through whichever node, both lists have it."""
    owner = installation["delivery-1"]
    owner.rig = "armed die first message stored 1"
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        sender, receiver = await strangers(installation, talk, "delivery-1")
        over_rest = await talk.connect("sender-rest", sender.account, RestClient)
        streams = sender.streams, receiver.streams
        me, you = sender.account, receiver.account
        name = direct_conversation(me.user_id, you.user_id)

        owner.signal(signal.SIGUSR1)
        sending = asyncio.create_task(over_rest.send(you.user_id, "hello", "first"))
        assert await owner.ended() == -signal.SIGKILL
        began = time.monotonic()
        await until(lambda: receiver.follower.knows({name: 1}), "the receiver has it")
        RECOVERIES.rows.append(("12: owner killed: the receiver has the first message", time.monotonic() - began))
        await sending
        await until(lambda: sender.follower.knows({name: 1}), "the sender's other device has it")
        assert (sender.streams, receiver.streams) == streams

        async with rest(installation.url) as http:
            (event,) = (await list_events(http, you, name, 0)).events
            assert (event.seq, event.message.content, event.client_message_id) == (1, "hello", "first")
            body = {"to": you.user_id, "content": "hello", "type": "text", "clientMessageId": "first"}
            for _ in range(2):
                repeated = (
                    (await http.post("/v1/messages/send", json=body, headers=me.header)).raise_for_status().json()
                )
                assert (repeated["seq"], repeated["messageId"]) == ("1", event.message_id)
                if installation["messaging-3"].runs():
                    assert await installation["messaging-3"].stop() == 0  # the second time through another node
            for account in (me, you):
                assert (await newest(http, account))[name] == 1
        owner.rig = ""
        await owner.start()
        await talk.more(100)
        await verified(installation, talk, "the owner died with the first message of two")
