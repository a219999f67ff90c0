"""Everything that a server has, read back twice: through the API, and from the message store's file. And the verdict on it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from svc.kernel.ids import message_id
from tests.faults.clients import Account, list_events, newest, rest
from tests.faults.follower import digest
from tests.faults.ledger import Stored, check
from tests.faults.load import Load
from tests.faults.server import Server

Everything = dict[str, list[Stored]]
_MESSAGE = 16


async def verified(server: Server, talk: Load, what: str) -> Everything:
    """Let the population come to rest, stop the server, and hold every ledger against the API and the file. Returns what is
    stored; prints the verdict with its totals."""
    await talk.settle()
    async with rest(server.url) as http:
        stored, members = await from_api(http, talk.accounts)
    await talk.leave()
    assert await server.stop() == 0
    ledgers = [client.ledger for client in talk.clients]
    verdict = check(ledgers, stored, members)
    print(
        f"\n{verdict}\n{what}; conversations {len(stored)}; events {sum(map(len, stored.values()))};"
        f" acknowledged {talk.acknowledged}; pushed {sum(len(ledger.pushed) for ledger in ledgers)};"
        f" pulled {sum(len(ledger.pulled) for ledger in ledgers)}; groups {len(talk.groups_made)};"
        f" answers {dict(talk.answers())}"
    )
    assert verdict.clean, verdict
    assert from_file(server.data) == {
        name: [replace(event, digest="") for event in run] for name, run in stored.items()
    }
    assert len(set(talk.groups_made.values()) & set(stored)) == len(talk.groups_made)
    return stored


async def from_api(http: httpx.AsyncClient, accounts: list[Account]) -> tuple[Everything, dict[str, list[str]]]:
    """All events of all conversations of these users, inboxes included, and who of them is part of each."""
    events: Everything = {}
    members: dict[str, list[str]] = {}
    for account in accounts:
        for name in await newest(http, account):
            members.setdefault(name, []).append(account.user_id)
            if name not in events:
                events[name] = await _read(http, account, name)
    return events, members


async def _read(http: httpx.AsyncClient, account: Account, name: str) -> list[Stored]:
    found: list[Stored] = []
    while True:
        page = await list_events(http, account, name, found[-1].seq if found else 0)
        found += map(_stored, page.events)
        if not page.events or found[-1].seq >= page.last_seq:
            return found


def _stored(event: ConversationEvent) -> Stored:
    return Stored(
        event.conversation_id,
        event.seq,
        event.timestamp.ToMicroseconds(),
        event.sender_id,
        event.client_message_id,
        event.message_id,
        event.message.content,
        digest(event),
    )


def from_file(data: Path) -> Everything:
    """The same from `messages.sqlite` of a server that has ended; without digests, which only the API makes."""
    events: Everything = {}
    with closing(sqlite3.connect(f"file:{data / 'messages.sqlite'}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT conversation_id, seq, time_us, sender_id, client_message_id, record_id, kind, body"
            " FROM events ORDER BY conversation_id, seq"
        )
        for name, seq, time_us, sender, key, record_id, kind, body in rows:
            content = Message.FromString(body).content if kind == _MESSAGE else ""
            # A key that the server made is no client's.
            own = "" if key.startswith("~") else key
            events.setdefault(name, []).append(
                Stored(name, seq, time_us, sender, own, message_id(record_id, seq), content, "")
            )
    return events
