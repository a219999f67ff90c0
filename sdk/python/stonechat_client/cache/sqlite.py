"""A cache in a file, for as long as the file is there."""

import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client.cache.change import change
from stonechat_client.cache.port import Device, Queued, Span, WrongUser
from stonechat_client.cache.sqlite_file import failure, open_file, why_unusable
from stonechat_client.errors import CacheUnusable

KEPT = 10_000
"""Events kept of each conversation, unless the cache is told otherwise."""
_TRIMMED_AT_A_TIME = 100
# A conversation that does not end where its events end.
_TORN = """
SELECT count(*) FROM conversations
WHERE last != coalesce((SELECT max(seq) FROM events WHERE conversation = id), first)
"""
_CHECKSUM = struct.Struct("<I")
_LARGEST = 2**63 - 1  # that SQLite can hold


@dataclass(slots=True)
class _Conversation:
    """A row of `conversations`."""

    id: int
    first: int
    last: int


class SqliteCache:
    """Keeps the newest events of each conversation, at least `kept`, in a SQLite file that one program at a time has open.

    Each call is a transaction of its own: whenever the process is killed, what returned is kept. What a power cut may take
    are the newest events, which are pulled again; messages that were queued and the sign-in are on the disk when the call
    returns. Calls raise OSError when the file can no longer be read or written, and change nothing then.
    """

    def __init__(self, path: str | os.PathLike[str], kept: int = KEPT) -> None:
        """Opens the file; makes it, and its folder, when there is none. Raises CacheUnusable."""
        self._path = Path(path)
        self._kept = kept
        self._file = open_file(self._path)
        try:
            ((self._user_id,),) = self._file.execute("SELECT user_id FROM owner")
            rows = self._file.execute("SELECT name, id, first, last FROM conversations ORDER BY moved")
            self._conversations = {name: _Conversation(*row) for name, *row in rows}
            ((self._moved,),) = self._file.execute("SELECT coalesce(max(moved), 0) FROM conversations")
            self._queue = {name for (name,) in self._file.execute("SELECT client_message_id FROM queue")}
            if self._file.execute(_TORN).fetchone() != (0,):
                raise ValueError("what is kept of a conversation does not fit together")
        except (sqlite3.Error, ValueError) as error:
            self._file.close()
            raise CacheUnusable(why_unusable(error, self._path)) from error

    def belong_to(self, user_id: str) -> None:
        if self._user_id not in ("", user_id):
            raise WrongUser(f"{self._path} is the cache of {self._user_id}, not of {user_id}")
        if not self._user_id:
            with self._transaction(durable=True):
                self._file.execute("UPDATE owner SET user_id = ?", (user_id,))
            self._user_id = user_id

    def device(self) -> Device | None:
        ((user_id, device_id, token),) = self._read("SELECT device_user_id, device_id, refresh_token FROM owner")
        return Device(user_id, device_id, token) if device_id else None

    def keep_device(self, device: Device | None) -> None:
        row = (device.user_id, device.device_id, device.refresh_token) if device else ("", "", "")
        with self._transaction(durable=True):
            self._file.execute("UPDATE owner SET device_user_id = ?, device_id = ?, refresh_token = ?", row)

    def spans(self) -> Mapping[str, Span]:
        return {name: Span(one.first, one.last) for name, one in self._conversations.items()}

    def begin(self, conversation_id: str, first: int) -> None:
        first = min(first, _LARGEST)  # no server that is true gets there
        with self._transaction():
            self._drop(conversation_id)
            row = (conversation_id, first, first, self._moved + 1)
            number = self._file.execute(
                "INSERT INTO conversations (name, first, last, moved) VALUES (?, ?, ?, ?) RETURNING id", row
            ).fetchone()[0]
        self._moved += 1
        self._conversations.pop(conversation_id, None)
        self._conversations[conversation_id] = _Conversation(number, first, first)

    def add(self, event: ConversationEvent) -> None:
        name, seq, own_id = event.conversation_id, event.seq, event.client_message_id
        held = self._conversations.get(name)
        if held is None or seq != held.last + 1:
            raise ValueError(f"{name} {seq} is not the next event")
        leaves = own_id in self._queue and event.sender_id == self._user_id and event.HasField("message")
        with self._transaction():
            self._file.execute("INSERT INTO events VALUES (?, ?, ?)", (held.id, seq, _encoded(event)))
            self._file.execute(
                "UPDATE conversations SET last = ?, moved = ? WHERE id = ?", (seq, self._moved + 1, held.id)
            )
            if leaves:
                self._file.execute("DELETE FROM queue WHERE client_message_id = ?", (own_id,))
            changed = change(event, lambda target: self.event(name, target))
            if changed is not None:
                row = (_encoded(changed), held.id, changed.seq)
                self._file.execute("UPDATE events SET event = ? WHERE conversation = ? AND seq = ?", row)
            if seq % _TRIMMED_AT_A_TIME == 0:
                self._file.execute(
                    "DELETE FROM events WHERE conversation = ? AND seq <= ?", (held.id, seq - self._kept)
                )
        held.last = seq
        self._moved += 1
        if leaves:
            self._queue.remove(own_id)
        del self._conversations[name]  # moves to the end of the order
        self._conversations[name] = held

    def forget(self, conversation_id: str) -> None:
        with self._transaction():
            self._drop(conversation_id)
        self._conversations.pop(conversation_id, None)

    def event(self, conversation_id: str, seq: int) -> ConversationEvent | None:
        held = self._conversations.get(conversation_id)
        if held is None or seq > _LARGEST:
            return None
        rows = self._read("SELECT event FROM events WHERE conversation = ? AND seq = ?", (held.id, seq))
        return self._decoded(rows[0][0]) if rows else None

    def events(self, conversation_id: str, before: int, limit: int) -> Sequence[ConversationEvent]:
        held = self._conversations.get(conversation_id)
        if held is None:
            return []
        rows = self._read(
            "SELECT event FROM events WHERE conversation = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (held.id, min(before, _LARGEST), limit),
        )
        return [self._decoded(event) for (event,) in rows]

    def enqueue(self, message: Queued) -> None:
        if message.client_message_id in self._queue:
            return
        row = (message.client_message_id, message.to, message.content, message.queued_at, message.tried_at)
        with self._transaction(durable=True):
            self._file.execute(
                "INSERT INTO queue (client_message_id, destination, content, queued_at, tried_at) VALUES (?, ?, ?, ?, ?)",
                row,
            )
        self._queue.add(message.client_message_id)

    def queued(self) -> Sequence[Queued]:
        rows = self._read(
            "SELECT client_message_id, destination, content, queued_at, tried_at FROM queue ORDER BY number"
        )
        return [Queued(*row) for row in rows]

    def tried(self, client_message_id: str, at: float) -> None:
        with self._transaction():
            self._file.execute(
                "UPDATE queue SET tried_at = ? WHERE client_message_id = ? AND tried_at = 0", (at, client_message_id)
            )

    def dequeue(self, client_message_id: str) -> None:
        if client_message_id in self._queue:
            with self._transaction():
                self._file.execute("DELETE FROM queue WHERE client_message_id = ?", (client_message_id,))
            self._queue.remove(client_message_id)

    def close(self) -> None:
        with suppress(sqlite3.Error):  # what was kept is kept; the next to open it finds it in the log beside the file
            self._file.close()

    def _drop(self, conversation_id: str) -> None:
        held = self._conversations.get(conversation_id)
        if held is not None:
            self._file.execute("DELETE FROM events WHERE conversation = ?", (held.id,))
            self._file.execute("DELETE FROM conversations WHERE id = ?", (held.id,))

    def _read(self, query: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        try:
            return self._file.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise failure(error, self._path) from error

    def _decoded(self, row: bytes) -> ConversationEvent:
        try:
            encoded, checksum = row[: -_CHECKSUM.size], row[-_CHECKSUM.size :]
            if checksum != _CHECKSUM.pack(zlib.crc32(encoded)):
                raise ValueError("an event has changed on the disk")
            return ConversationEvent.FromString(encoded)
        except (TypeError, ValueError, DecodeError) as error:
            raise failure(error, self._path) from error

    @contextmanager
    def _transaction(self, durable: bool = False) -> Iterator[None]:
        """All or nothing. `durable`: on the disk at the end, with all that was written before."""
        try:
            if durable:
                self._file.execute("PRAGMA synchronous = FULL")
            self._file.execute("BEGIN")
            try:
                yield
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise
            finally:
                if durable:
                    self._file.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as error:
            raise failure(error, self._path) from error


def _encoded(event: ConversationEvent) -> bytes:
    """As it stands in its row: with a checksum, which SQLite does not have."""
    encoded = event.SerializeToString()
    return encoded + _CHECKSUM.pack(zlib.crc32(encoded))
