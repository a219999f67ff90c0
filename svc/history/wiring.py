"""Puts history together. The file it reads is opened, and closed, by the process: others read it too."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.history.v1 import history_service_pb2 as api
from svc.backends.sqlite import Database
from svc.history.adapters.sqlite import SqliteMessageStore
from svc.history.history import History
from svc.history.servicer import HistoryServicer


@dataclass(frozen=True, slots=True)
class HistoryService:
    """The service while it is open. `services` are what `svc.kernel.calls.handlers` mounts."""

    services: Sequence[tuple[ServiceDescriptor, object]]


@asynccontextmanager
async def open_history(database: Database) -> AsyncIterator[HistoryService]:
    """History over the message store in an opened file that has its tables, for as long as the block lasts."""
    servicer = HistoryServicer(History(SqliteMessageStore(database)))
    yield HistoryService([(api.DESCRIPTOR.services_by_name["HistoryService"], servicer)])
