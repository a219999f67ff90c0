"""The message store in Cassandra (`svc.backends.messages_cql`). One conversation after the other is copied into a database on
the disk, with its content opened, and looked at there as if it had been stored in a file.

Cassandra gives no moment: while a conversation is copied it goes on. What is judged is true of one all the same:

- Events are judged up to the one that was the newest before, read from a quorum; `SETTLED_SECONDS` later all that was written
  with it is stored, too, or its owner tries in vain. Ledgers were read earlier still: whatever a client saw is among them.
- Events and keys never change. A message that a later event has changed is taken to be changed rightly: that event is judged
  the next time. So is what a list says since a later event.

What the last write of an owner that died left behind is no loss, but looks like one until another owner has finished it.

Which conversations there are is read once, from the keys of all partitions, before the first. When single ones are asked for,
it is not: entries in the lists of people that their events do not know, and key rows of such people, are not looked for then.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from svc.backends.cassandra import Cassandra
from svc.backends.cassandra_blocking import BlockingCassandra
from svc.backends.messages_cql import BUCKET_EVENTS, bucket_of
from svc.backends.messages_heads import Heads
from svc.backends.messages_schema import CHANGE_LANE, SCHEMA, WITHDRAWN
from svc.backends.sealing import UnreadableContentError
from svc.kernel.clock import Clock
from svc.kernel.record import Kind
from svc.verify.model import Member, NamedKey, StoredEvent, Twin
from svc.verify.ports import Snapshot

SETTLED_SECONDS = 5.0
_LOOKED_AHEAD = 1000  # conversations whose ends are read together: one wait for all of them
_SPAN_EVENTS = 256
_KEYS_READ = 1000
_PARTITIONS_READ = 500
_TOGETHER = 50
_STATEMENTS = 4

Ask = tuple[str, Sequence[object]]
Inside = Callable[[sqlite3.Connection, str, int], Snapshot]
"""Looks at a conversation in a database of `svc.backends.messages_schema`, up to a seq."""

_EVENTS = (
    "SELECT lane, seq, kind, sender_id, record_id, client_message_id, time_us, ordinal, version, era, offset, target_seq, body,"
    " body_version FROM events WHERE conversation_id = ? AND bucket = ? AND lane IN (0, 1) AND seq >= ? AND seq <= ?"
)
_KEYS = (
    "SELECT client_message_id, era, offset, seq, record_id, time_us, digest FROM idempotency_keys"
    " WHERE conversation_id = ? AND sender_id = ? AND client_message_id > ? LIMIT ?"
)
_LISTS = (
    "SELECT user_id, version, member, seq FROM conversations_by_user WHERE user_id IN ? AND conversation_id = ?"
)
_LISTED = "SELECT conversation_id, user_id FROM conversations_by_user WHERE user_id IN ?"

_SCRATCH = f"""
PRAGMA synchronous = OFF;
{SCHEMA}
CREATE TABLE names (conversation_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE senders (conversation_id TEXT NOT NULL, sender_id TEXT NOT NULL, PRIMARY KEY (conversation_id, sender_id))
  WITHOUT ROWID;
CREATE TABLE listed (conversation_id TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (conversation_id, user_id))
  WITHOUT ROWID;
"""
_UNREADABLE = b"\xff"  # what no body is
