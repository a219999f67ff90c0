"""A file of the data folder is gone. What can go on without it does; what cannot says so and touches nothing."""

import asyncio

import httpx

from tests.faults.clients import Account, list_events, rest, sign_up
from tests.faults.server import Server
from tests.faults.verdict import told, verify

OLD, NEW = 10, 60


async def _send(http: httpx.AsyncClient, sender: Account, to: str, key: str) -> dict:
    body = {"to": to, "content": f"this is {key}", "type": "text", "clientMessageId": key}
    answer = await http.post("/v1/messages/send", json=body, headers=sender.header)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _remove(server: Server, name: str) -> None:
    for end in ("", "-wal", "-shm"):
        (server.data / f"{name}{end}").unlink(missing_ok=True)


async def test_a_lost_log_begins_a_new_era_and_numbers_go_on(new_server):
    """Twice, so that the second new log must be told apart from the first one. In each new log many records of two
    conversations come at once in one partition: their offsets are those of old records of the other."""
    server = new_server(PARTITIONS="1")
    await server.start()
    answers: dict[str, dict] = {}
    async with rest(server.url) as http:
        ada, *others = [await sign_up(http, name) for name in ("ada", "bob", "cyd")]
        for number in range(OLD):
            for other in others:
                key = f"old-{number}-{other.user_id}"
                answers[key] = await _send(http, ada, other.user_id, key)
    for era in (2, 3):
        assert await server.stop() == 0
        _remove(server, "log.sqlite")
        await server.start()
        assert [line["era"] for line in server.log("CRITICAL")] == [era]
        async with rest(server.url) as http:
            new = {f"era-{era}-{n}": other.user_id for n in range(NEW) for other in [others[n % 2]]}
            old = {key: answer["conversationId"] for key, answer in answers.items()}
            sent = await asyncio.gather(*(_send(http, ada, to, key) for key, to in (new | old).items()))
            assert sent[NEW:] == list(answers.values())
            answers |= dict(zip(new, sent[:NEW], strict=True))
    async with rest(server.url) as http:
        for name in {answer["conversationId"] for answer in answers.values()}:
            events = (await list_events(http, ada, name, 0)).events
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert {event.client_message_id: event.message_id for event in events} == {
                key: answer["messageId"] for key, answer in answers.items() if answer["conversationId"] == name
            }
    verdict = await verify(server)
    assert verdict["clean"], told(verdict)


async def test_lost_messages_stop_the_start(server):
    """The log would never be read again from its beginning, and numbers would be given twice."""
    await server.start()
    async with rest(server.url) as http:
        ada, bob = await sign_up(http, "ada"), await sign_up(http, "bob")
        sent = await _send(http, ada, bob.user_id, "first")
    assert await server.stop() == 0
    kept = (server.data / "messages.sqlite").rename(server.folder / "kept.sqlite")

    line = await server.refused()
    assert str(server.data / "messages.sqlite") in line
    assert "is missing" in line
    assert "restore it from a backup" in line
    assert not (server.data / "messages.sqlite").exists()

    kept.rename(server.data / "messages.sqlite")
    await server.start()
    async with rest(server.url) as http:
        assert await _send(http, ada, bob.user_id, "first") == sent
