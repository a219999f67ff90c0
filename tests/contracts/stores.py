"""One message store, as each of the three services sees it, by the name of who serves it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from svc.backends.cassandra import open_cassandra
from svc.backends.messages_schema import SCHEMA
from svc.backends.sqlite import open_database
from svc.delivery.adapters.cassandra import CassandraMessageStore
from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.ports import MessageStore
from svc.history.adapters import cassandra as history_cassandra
from svc.history.adapters import sqlite as history_sqlite
from svc.history.model import StoredEvent
from svc.history.ports import MessageStore as History
from svc.messaging.adapters.cassandra import CassandraConversations, CassandraReadMarks
from svc.messaging.adapters.sqlite import SqliteConversations, SqliteReadMarks
from svc.messaging.model import Head
from svc.messaging.ports import Conversations, ReadMarks
from tests.backends.cassandra import SEAL, tables
from tests.contracts.stored import DIRECT


@dataclass(frozen=True)
class Stores:
    """One store, as each of the three services sees it."""

    store: MessageStore
    history: History
    conversations: Conversations
    marks: ReadMarks

    async def messages(self, conversation_id: str = DIRECT) -> list[StoredEvent]:
        """All messages, oldest first, as history reads them."""
        return list(await self.history.messages_after(conversation_id, 0, 100))

    async def rows(self, conversation_id: str = DIRECT) -> list[tuple[StoredEvent, ...]]:
        """Everything that can be read of a conversation."""
        run = await self.history.run_after(conversation_id, 0, 1000, 1 << 20)
        return [run.events, tuple(await self.messages(conversation_id))]

    async def head(self, user_id: str, conversation_id: str = DIRECT) -> Head:
        (head,) = await self.conversations.heads(user_id, [conversation_id])
        return head


Open = Callable[[], AbstractAsyncContextManager[Stores]]
"""Opens the same store, as often as a test wants, one after the other."""
New = Callable[[Path], AbstractAsyncContextManager[Open]]
"""A store that has nothing yet; the folder is empty, and its own."""


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Open]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Stores]:
        async with open_database(folder / "messages.sqlite", SCHEMA) as database:
            yield Stores(
                SqliteMessageStore(database),
                history_sqlite.SqliteMessageStore(database),
                SqliteConversations(database),
                SqliteReadMarks(database),
            )

    yield opened


@asynccontextmanager
async def cassandra(folder: Path) -> AsyncIterator[Open]:
    async with tables() as place:

        @asynccontextmanager
        async def opened() -> AsyncIterator[Stores]:
            async with open_cassandra(place, SEAL) as session:
                yield Stores(
                    CassandraMessageStore(session),
                    history_cassandra.CassandraMessageStore(session),
                    CassandraConversations(session),
                    CassandraReadMarks(session),
                )

        yield opened


STORES = [
    pytest.param(sqlite, id="sqlite"),
    pytest.param(cassandra, id="cassandra", marks=pytest.mark.real),
]
