"""Puts history together. The file it reads is opened, and closed, by the process: others read it too."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.history.v1 import history_service_pb2 as api
from svc.backends.opening import Messages
from svc.backends.sqlite import Database
from svc.history.adapters.sqlite import SqliteMessageStore
from svc.history.history import History
from svc.history.ports import MessageStore
from svc.history.servicer import HistoryServicer


@dataclass(frozen=True, slots=True)
class HistoryService:
    """The service while it is open. `services` are what `svc.kernel.calls.handlers` mounts."""

    services: Sequence[tuple[ServiceDescriptor, object]]


def _store(messages: Messages) -> MessageStore:
    if isinstance(messages, Database):
        return SqliteMessageStore(messages)
    from svc.history.adapters.cassandra import CassandraMessageStore

    return CassandraMessageStore(messages)


@asynccontextmanager
async def open_history(messages: Messages) -> AsyncIterator[HistoryService]:
    """History over the message store that is open, for as long as the block lasts."""
    servicer = HistoryServicer(History(_store(messages)))
    yield HistoryService([(api.DESCRIPTOR.services_by_name["HistoryService"], servicer)])
