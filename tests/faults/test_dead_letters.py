"""Records that cannot be processed stand in the log: the partition goes on, and operators can list, look and replay."""

import sqlite3
from contextlib import closing

import pytest

from svc.kernel.record import Kind, Record, encode
from tests.faults.clients import list_events, rest, sign_up
from tests.faults.server import until
from tests.faults.verdict import told, verify

GARBAGE, MORE_GARBAGE = b"\xff\xfeno record at all", b"\x00nor this"


def _append(server, *entries: tuple[str, bytes]) -> None:
    """Straight into the log of a server that is down: (key, value)."""
    with closing(sqlite3.connect(server.data / "log.sqlite")) as connection, connection:
        for key, value in entries:
            connection.execute(
                "INSERT INTO entries SELECT topic, partition, MAX(offset) + 1, MAX(appended_us), ?, ? FROM entries"
                " WHERE topic = 'conversation.accepted' AND partition = 0",
                (key, value),
            )


@pytest.fixture
async def talk(new_server):
    """(server, ada, bob, answer): ada sent bob one message, the server is down."""
    server = new_server(PARTITIONS="1")
    await server.start()
    async with rest(server.url) as http:
        ada, bob = await sign_up(http, "ada"), await sign_up(http, "bob")
        body = {"to": bob.user_id, "content": "before", "type": "text", "clientMessageId": "before"}
        sent = (await http.post("/v1/messages/send", json=body, headers=ada.header)).raise_for_status().json()
    assert await server.stop() == 0
    return server, ada, bob, sent


async def _kinds(server, account, name, count) -> list[str]:
    """What the first events of a conversation are, once there are so many."""
    async with rest(server.url) as http:

        async def page():
            events = (await list_events(http, account, name, 0)).events
            return events if len(events) >= count else None

        events = await until(page, f"{name} has {count} events")
    assert [event.seq for event in events] == list(range(1, count + 1))
    verdict = await verify(server)
    assert verdict["clean"], told(verdict)
    return [event.WhichOneof("body") for event in events]


async def test_what_is_no_record_is_parked_and_the_partition_goes_on(talk):
    server, ada, bob, before = talk
    name = before["conversationId"]
    _append(server, (name, GARBAGE), ("nonsense", MORE_GARBAGE))
    await server.start()
    async with rest(server.url) as http:
        body = {"to": bob.user_id, "content": "after", "type": "text"}
        sent = (await http.post("/v1/messages/send", json=body, headers=ada.header)).raise_for_status().json()
    assert sent["seq"] == "3"
    assert await _kinds(server, ada, name, 3) == ["message", "unprocessable", "message"]

    async def listed():
        code, out, err = await server.command("dead-letter", "list")
        assert (code, err) == (0, "")
        return out.splitlines() if "2 dead letters" in out else None

    *letters, _ = await until(listed, "both are listed")
    first, second = sorted(letters, key=lambda line: "no conversation" in line)
    assert f"{name} #2" in first
    assert "no conversation" in second

    for line, where, value in ((first, f"{name}   seq 2", GARBAGE), (second, "-   seq -", MORE_GARBAGE)):
        number = line.split()[0]
        code, out, err = await server.command("dead-letter", "show", number)
        assert (code, err) == (0, "")
        assert f"conversation  {where}" in out
        assert f"{len(value)} bytes that are no record" in out
        assert value.hex(" ") in out

        code, out, err = await server.command("dead-letter", "replay", number)
        assert (code, out) == (1, "")
        assert err.startswith("stonechat: it is no record")
        assert len(err.splitlines()) == 1

    # They survive a restart, and are not parked again.
    assert await server.stop() == 0
    await server.start()
    assert (await server.command("dead-letter", "list"))[1].splitlines() == [*letters, "2 dead letters"]
    assert await _kinds(server, ada, name, 3) == ["message", "unprocessable", "message"]


async def test_an_edit_whose_body_is_garbage_does_not_stop_its_partition(talk):
    """No node appends such a record; a bug might. The owner has to read the body of an edit: it changes the message."""
    server, ada, bob, before = talk
    name, target = before["conversationId"], int(before["messageId"][1:].partition(".")[0])
    edit = Record(Kind.EDIT, name, ada.user_id, "bad", 12345, b"\xff\xff", target_seq=1, target_record_id=target)
    _append(server, (name, encode(edit)))
    await server.start()
    async with rest(server.url) as http:
        body = {"to": bob.user_id, "content": "after", "type": "text"}
        sent = (await http.post("/v1/messages/send", json=body, headers=ada.header)).raise_for_status().json()
    assert sent["seq"] == "3"
    assert await _kinds(server, ada, name, 3) == ["message", "unprocessable", "message"]


async def test_a_command_without_a_server_says_so(talk):
    server = talk[0]
    code, out, err = await server.command("dead-letter", "list")
    assert (code, out) == (1, "")
    assert err.startswith("stonechat: ")
    assert len(err.splitlines()) == 1
