"""Fault test 6 of the core protocol: what was withdrawn cannot be read any more, whatever fails, comes late, is done again."""

import asyncio
import re
import signal

import httpx
import pytest

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from svc.backends.messages_schema import WITHDRAWN
from svc.delivery.model import BUCKET_EVENTS
from svc.kernel.ids import direct_conversation
from svc.kernel.record import Kind
from tests.faults.clients import Account, StreamClient, list_events, rest
from tests.faults.installation import Installation
from tests.faults.load import load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.surfaces import Surfaces, cells, redis_holds
from tests.faults.verdict import verified
from tests.faults.visitor import Visitor

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

TEXT, LATE_TEXT = "what-nobody-may-read", "nor-may-this-be-read"
_AT_A_TIME = 32


async def fill(client: StreamClient, to: str, count: int) -> None:
    """Many messages, as fast as they go; nobody's ledger has that they were acknowledged."""

    async def lane(number: int) -> None:
        for at in range(number, count, _AT_A_TIME):
            sent = None
            while sent is None:
                _, sent = await client._try(to, f"filler {at}", f"filler-{at}")

    await asyncio.gather(*map(lane, range(_AT_A_TIME)))


async def edit(client: StreamClient, conversation_id: str, message_id: str, content: str) -> int:
    """Asked for once, on the stream; returns its place."""
    body = messaging.EditMessageRequest(
        conversation_id=conversation_id, message_id=message_id, content=content, client_message_id="late"
    )
    result = await client.ask(edit=body)
    assert result is not None, "the stream broke before the edit was answered"
    assert not result.HasField("error"), result.error
    return int(result.sent.seq)


async def withdraw(http: httpx.AsyncClient, account: Account, conversation_id: str, message_id: str) -> int:
    """Asked for until it is done; returns its place."""
    body = {"conversationId": conversation_id, "messageId": message_id, "clientMessageId": "withdrawal"}
    while True:
        answer = await http.post("/v1/messages/withdraw", json=body, headers=account.header)
        if answer.status_code == 200:
            return int(answer.json()["seq"])
        assert answer.status_code in (503, 504), answer.text
        await asyncio.sleep(0.05)


async def test_6_a_withdrawal_a_late_edit_and_a_replay(installation: Installation):
    """The owner dies between the event of the withdrawal and the message, which lies in an older bucket; an edit that was
    accepted before comes after it; then the whole log is replayed."""
    for server in installation.processes.values():
        server.settings["SEND_TIMEOUT_MS"] = "60000"
    for name in ("messaging-1", "messaging-2"):
        installation[name].rig = "hold edits"
    for name in ("delivery-1", "delivery-2"):
        installation[name].rig = "armed die withdrawal stored without its message 1"
    await installation.start()
    async with load(installation) as talk, rest(installation.url) as http:
        ada, bob = talk.accounts[:2]
        author = talk.clients[0]
        assert isinstance(author, StreamClient)
        name = direct_conversation(ada.user_id, bob.user_id)
        await author.send(bob.user_id, TEXT, "secret")
        await fill(author, bob.user_id, BUCKET_EVENTS + 100)
        talk.start()
        eyes = await talk.connect("eyes", bob, Visitor)
        events = (await list_events(http, bob, name, 0)).events
        message_id, after = events[0].message_id, events[1].message_id
        seq = events[0].seq
        assert events[0].message.content == TEXT
        surfaces = Surfaces(installation.url, bob, name)

        async def readable(text: str, since: int) -> list[str]:
            pages = [await surfaces.read(place, after) for place in (0, since)]
            return [surface for page in pages for surface, answer in page.items() if text.encode() in answer]

        assert len(await readable(TEXT, 0)) == 2 * 6, "each page that shows messages shows it, as long as it stands"

        editing = asyncio.create_task(edit(author, name, message_id, LATE_TEXT))
        await until(lambda: installation.said("an edit is held"), "the edit was accepted")
        dying = await installation.owner_of(name)
        dying.signal(signal.SIGUSR1)
        withdrawing = asyncio.create_task(withdraw(http, ada, name, message_id))
        assert await dying.ended() == -signal.SIGKILL
        recovered = asyncio.create_task(RECOVERIES.measure(talk, "6: owner killed amid a withdrawal"))
        assert (await cells(installation, name, Kind.WITHDRAWAL)).keys(), "its event is stored"
        assert (await cells(installation, name, Kind.MESSAGE))[seq][1] == seq, "and the message is as it was"
        withdrawn = await withdrawing
        await recovered
        assert await readable(TEXT, withdrawn - 1) == []
        for node in ("messaging-1", "messaging-2"):
            installation[node].signal(signal.SIGUSR1)
        edited = await editing
        assert edited > withdrawn > BUCKET_EVENTS
        await until(lambda: eyes.follower.knows({name: edited}), "the late edit was told")

        async def nowhere() -> None:
            for text in (TEXT, LATE_TEXT):
                assert await readable(text, withdrawn - 1) == []
                keys, holding = await redis_holds(installation, text.encode())
                assert (keys > 0, holding) == (True, [])
            stored = await cells(installation, name, Kind.MESSAGE)
            assert stored[seq] == (b"", WITHDRAWN + withdrawn)
            assert not any(TEXT.encode() in body or LATE_TEXT.encode() in body for body, _ in stored.values())

        await nowhere()
        dying.rig = ""
        await dying.start()
        await installation.serves()
        code, out, err = await installation.command("replay", "--from", "beginning")
        assert code == 0, err
        replayed = sum(int(count) for count in re.findall(r"(\d+) events written again", out))
        assert replayed > BUCKET_EVENTS, out
        await nowhere()
        pushed = [event for _, event in eyes.pushed(name) if event.seq > withdrawn]
        assert not any(text in str(event) for event in pushed for text in (TEXT, LATE_TEXT))
        await talk.more(100)
        print(f"\n{out}")
        await verified(installation, talk, "a message was withdrawn, edited late, and the log replayed")
