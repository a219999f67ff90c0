"""Fault test 13 of the core protocol: clocks that are wrong, of nodes and owners. What counts is the log's time alone."""

import signal
import time
from dataclasses import dataclass

import grpc
import pytest

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from svc.kernel.ids import direct_conversation
from tests.faults.clients import Account, Client, RestClient, StreamClient, list_events, rest
from tests.faults.installation import Installation
from tests.faults.load import load
from tests.faults.server import Server, until
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

WRONG_HOURS = {
    "messaging-1": -25,
    "messaging-2": 1,
    "messaging-3": 25,
    "messaging-4": 0,
    "delivery-1": 25,
    "delivery-2": -25,
    "front": 0,
}
NODES = [name for name in WRONG_HOURS if name.startswith("messaging")]
_SEND = "/stonechat.messaging.v1.MessagingService/SendMessage"
_CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message stands."""

    message_id: str
    seq: int


async def sent(node: Server, account: Account, to: str, content: str, client_message_id: str) -> Place | str:
    """One attempt through this node, whatever Envoy thinks of it: its place, or the status that it was refused with."""
    request = messaging.SendMessageRequest(to=to, content=content, type="text", client_message_id=client_message_id)
    async with grpc.aio.insecure_channel(node.url, options=[("grpc.enable_http_proxy", 0)]) as channel:
        send = channel.unary_unary(
            _SEND,
            request_serializer=messaging.SendMessageRequest.SerializeToString,
            response_deserializer=messaging.SendMessageResponse.FromString,
        )
        try:
            answer = await send(request, metadata=tuple(account.header.items()), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
    return Place(answer.message_id, answer.seq)


async def sent_through_all(
    installation: Installation, nodes: list[str], sender: Account, to: str, content: str, key: str
) -> Place:
    """One message through the first node, repeated through the others; under its id nobody accepts anything else."""
    first, *others = (installation[name] for name in nodes)
    place = await sent(first, sender, to, content, key)
    assert isinstance(place, Place), (nodes[0], place)
    for node in (*others, first):
        assert await sent(node, sender, to, content, key) == place
        assert await sent(node, sender, to, f"not {content}", key) == "ALREADY_EXISTS"
    return place


async def replayed(owner: Server, conversation_id: str) -> None:
    """Its only dead letter goes into the log again."""

    async def listed() -> list[str]:
        code, out, err = await owner.command("dead-letter", "list")
        assert code == 0, err
        return [line.split()[0] for line in out.splitlines() if conversation_id in line]

    (number,) = await until(listed, "the dead letter is listed")
    code, _, err = await owner.command("dead-letter", "replay", number)
    assert code == 0, err


async def test_13_clocks_that_are_wrong(installation: Installation):
    """One message for each key, through whichever node; times grow within the broker's clock; a dead letter is replayed under
    its key. Whose clock is wrong says so."""
    for name in NODES[2:]:
        installation.add(name, ("messaging",))
    for name, hours in WRONG_HOURS.items():
        rigs = [f"clock {hours * 3600}"] if hours else []
        installation[name].rig = "; ".join([*rigs, *(["stumble"] if name.startswith("delivery") else [])])
    await installation.start()
    for name, hours in WRONG_HOURS.items():
        assert installation[name].said("this node's clock differs from the log's") == bool(hours), name
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        one: Client = await talk.newcomer("one", StreamClient)
        other: Client = await talk.newcomer("other", RestClient)
        me, you = one.account, other.account

        began = time.time()
        places = [
            await sent_through_all(
                installation, NODES[turn:] + NODES[:turn], me, you.user_id, f"from {name}", f"c{turn}"
            )
            for turn, name in enumerate(NODES)
        ]
        assert [place.seq for place in places] == [1, 2, 3, 4]

        assert await sent(installation[NODES[0]], me, you.user_id, "stumble", "dead") == "FAILED_PRECONDITION"
        for name in ("delivery-1", "delivery-2"):
            installation[name].signal(signal.SIGUSR1)
        conversation = direct_conversation(me.user_id, you.user_id)
        await replayed(installation["delivery-1"], conversation)
        await until(lambda: other.follower.knows({conversation: 6}), "the dead letter is a message")
        place = await sent_through_all(installation, NODES, me, you.user_id, "stumble", "dead")
        assert place.seq == 6
        ended = time.time()

        async with rest(installation.url) as http:
            events = (await list_events(http, me, conversation, 0)).events
        assert [event.WhichOneof("body") for event in events] == [*["message"] * 4, "unprocessable", "message"]
        assert [event.client_message_id for event in events if event.HasField("message")] == [
            "c0",
            "c1",
            "c2",
            "c3",
            "dead",
        ]
        times = [event.timestamp.ToMicroseconds() for event in events]
        assert times == sorted(set(times))
        assert began - 0.001 <= times[0] / 1e6  # the broker counts milliseconds
        assert times[-1] / 1e6 <= ended

        await talk.more(100)
        await verified(installation, talk, "clocks wrong by up to 25 h")
