"""The client library of Stonechat: what the command, the tests and other people's programs use.

async with Client("http://127.0.0.1:8080") as client:
    await client.sign_in("alice", "correct horse")
    async with client.connect() as session:
        await session.send((await client.find_user("bob")).user_id, "hello", new_id())
        async for item in session:
            print(item)
"""

from stonechat.messaging.v1.event_pb2 import Event
from stonechat_client.cache import Cache, MemoryCache, Queued, SqliteCache, WrongUser
from stonechat_client.client import Client, new_id
from stonechat_client.errors import (
    CacheUnusable,
    CallFailed,
    ClientError,
    InvalidRequest,
    LedgerUnusable,
    NotReachable,
    QueueFull,
    SignedOut,
)
from stonechat_client.items import Delivered, Item, Refused, StateChanged
from stonechat_client.ledger import FileLedger, Ledger
from stonechat_client.problems import Problem, ProblemKind
from stonechat_client.session import Session
from stonechat_client.state import State
from stonechat_client.timeline import Delivery, Timeline, TimelineItem, TimelineMembership, TimelineMessage

__all__ = [
    "Cache",
    "CacheUnusable",
    "CallFailed",
    "Client",
    "ClientError",
    "Delivered",
    "Delivery",
    "Event",
    "FileLedger",
    "InvalidRequest",
    "Item",
    "Ledger",
    "LedgerUnusable",
    "MemoryCache",
    "NotReachable",
    "Problem",
    "ProblemKind",
    "QueueFull",
    "Queued",
    "Refused",
    "Session",
    "SignedOut",
    "SqliteCache",
    "State",
    "StateChanged",
    "Timeline",
    "TimelineItem",
    "TimelineMembership",
    "TimelineMessage",
    "WrongUser",
    "new_id",
]
