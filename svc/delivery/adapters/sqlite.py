"""The message store in SQLite: one transaction a write. Schema and cell versions: `svc.backends.messages_schema`."""

import sqlite3
from collections.abc import Iterable, Sequence

from svc.backends.messages_schema import CHANGE_LANE, MESSAGE_LANE, WITHDRAWN
from svc.backends.sqlite import Database
from svc.delivery.model import NO_EVENTS, Event, Head, Key, KeyRow, Position, Row, Slice, Target
from svc.delivery.wire import edited_body
from svc.kernel.ids import direct_members
from svc.kernel.record import Kind

_ROW = "era, offset, seq, record_id, time_us, ordinal, version, kind"
_LANES = (MESSAGE_LANE, CHANGE_LANE)
_TRIMMED_TOGETHER = 1000


class SqliteMessageStore:
    """`svc.delivery.ports.MessageStore` on one file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, starts: dict[str, Position]) -> dict[str, Slice]:
        def work(connection: sqlite3.Connection) -> dict[str, Slice]:
            return {name: _slice(connection, name, start) for name, start in starts.items()}

        return await self._database.read(work)

    async def keys(self, keys: Sequence[Key]) -> dict[Key, KeyRow]:
        def work(connection: sqlite3.Connection) -> dict[Key, KeyRow]:
            found = {}
            for key in keys:
                row = connection.execute(
                    "SELECT era, offset, seq, record_id, time_us, digest FROM idempotency_keys"
                    " WHERE conversation_id = ? AND sender_id = ? AND client_message_id = ?",
                    key,
                ).fetchone()
                if row is not None:
                    found[key] = KeyRow(Position(row[0], row[1]), *row[2:])
            return found

        return await self._database.read(work)

    async def targets(self, targets: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Target]:
        def work(connection: sqlite3.Connection) -> dict[tuple[str, int], Target]:
            found = {}
            for target in targets:
                for lane in _LANES:
                    row = connection.execute(
                        "SELECT seq, record_id, sender_id, kind FROM events"
                        " WHERE conversation_id = ? AND lane = ? AND seq = ?",
                        (target[0], lane, target[1]),
                    ).fetchone()
                    if row is not None:
                        found[target] = Target(row[0], row[1], row[2], Kind(row[3]))
            return found

        return await self._database.read(work)

    async def write(self, events: Sequence[Event]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (conversation_id, lane, seq) DO UPDATE"
                " SET body = excluded.body, body_version = excluded.body_version"
                " WHERE excluded.body_version > events.body_version",
                [_event_row(event) for event in events],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_key_row(event) for event in events if event.kind is not Kind.UNPROCESSABLE],
            )
            connection.executemany(
                "UPDATE events SET body = ?, body_version = ?"
                " WHERE conversation_id = ? AND lane = 0 AND seq = ? AND body_version < ?",
                _target_changes(events),
            )
            connection.executemany(
                "INSERT INTO conversations_by_user VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (user_id, conversation_id) DO UPDATE"
                " SET version = excluded.version, member = excluded.member, seq = excluded.seq"
                " WHERE excluded.version > conversations_by_user.version",
                _list_rows(events),
            )

        await self._database.write(work)

    async def withdrawn(self, targets: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        def work(connection: sqlite3.Connection) -> set[tuple[str, int]]:
            sql = "SELECT 1 FROM events WHERE conversation_id = ? AND lane = 0 AND seq = ? AND body_version >= ?"
            return {target for target in targets if connection.execute(sql, (*target, WITHDRAWN)).fetchone()}

        return await self._database.read(work)

    async def ping(self) -> None:
        await self._database.write(lambda connection: connection.execute("SELECT 1"))

    async def is_empty(self) -> bool:
        return await self._database.read(lambda c: c.execute("SELECT 1 FROM events LIMIT 1").fetchone() is None)

    async def trim_keys(self, before_us: int) -> int:
        """Remove key rows of events older than that, in portions; returns how many."""
        removed = 0
        while True:
            portion = await self._database.write(
                lambda c: (
                    c.execute(
                        "DELETE FROM idempotency_keys WHERE time_us < ? AND rowid IN"
                        " (SELECT rowid FROM idempotency_keys ORDER BY rowid LIMIT ?)",
                        (before_us, _TRIMMED_TOGETHER),
                    ).rowcount
                )
            )
            removed += portion
            if portion < _TRIMMED_TOGETHER:
                return removed


def _slice(connection: sqlite3.Connection, name: str, start: Position) -> Slice:
    newest: list[Row] = []
    rows: list[Row] = []
    for lane in _LANES:
        found = connection.execute(
            f"SELECT {_ROW} FROM events WHERE conversation_id = ? AND lane = ? ORDER BY seq DESC",  # noqa: S608
            (name, lane),
        )
        for at, values in enumerate(found):
            era, offset, seq, record_id, time_us, ordinal, version, kind = values
            row = Row(Position(era, offset), seq, record_id, time_us, ordinal, version, Kind(kind))
            if at == 0:
                newest.append(row)
            if row.position < start:
                break
            rows.append(row)
    if not newest:
        return Slice(NO_EVENTS, ())
    top = max(newest, key=lambda row: row.seq)
    return Slice(Head(top.seq, top.time_us, top.ordinal, top.version, top.position), tuple(rows))


def _event_row(event: Event) -> tuple[object, ...]:
    record = event.record
    return (
        event.conversation_id,
        MESSAGE_LANE if event.kind is Kind.MESSAGE else CHANGE_LANE,
        event.seq,
        int(event.kind),
        record.sender_id,
        record.record_id,
        record.client_message_id,
        event.time_us,
        event.ordinal,
        event.version,
        *event.position,
        record.target_seq,
        record.body,
        event.seq,
    )


def _key_row(event: Event) -> tuple[object, ...]:
    record, row = event.record, event.key_row()
    return (
        record.conversation_id,
        record.sender_id,
        record.client_message_id,
        *row.position,
        row.seq,
        row.record_id,
        row.time_us,
        row.digest,
    )


def _target_changes(events: Iterable[Event]) -> Iterable[tuple[object, ...]]:
    for event in events:
        if event.kind is Kind.EDIT:
            body, version = edited_body(event.record.body), event.seq
        elif event.kind is Kind.WITHDRAWAL:
            body, version = b"", WITHDRAWN + event.seq
        else:
            continue
        yield (body, version, event.conversation_id, event.record.target_seq, version)


def _list_rows(events: Iterable[Event]) -> Iterable[tuple[object, ...]]:
    for event in events:
        name = event.conversation_id
        if event.seq == 1 and (users := direct_members(name)) is not None:
            yield from ((user, name, 0, 1, 1) for user in users)
        if event.kind is Kind.MEMBERSHIP:
            for member, changed in ((1, event.record.joined), (0, event.record.left)):
                yield from ((user, name, event.record.version, member, event.seq) for user in changed)
