"""Whatever is said in a town is clean when the real owner stored it; and whatever single thing is changed then is found."""

import asyncio
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonechat_client.digest import digest
from svc.kernel.record import Kind
from tests.verify.judge import found, judged
from tests.verify.town import U1, U2, U3, U4, Message, Script, Town, live

DIRECTS = ("d.u1.u2", "d.u2.u3")
GROUP = "g7"
PEOPLE = (U1, U2, U3)
_OTHER = "0123456789abcdef"
_EXAMPLES = 40
_EVENT_COLUMNS = [
    "kind",
    "sender_id",
    "record_id",
    "client_message_id",
    "time_us",
    "ordinal",
    "version",
    "era",
    "offset",
]
_EVENT_COLUMNS += ["target_seq", "body", "body_version", "lane", "seq"]

_STEP = st.tuples(
    st.sampled_from(["say", "say", "say", "again", "edit", "withdraw", "react", "come and go", "garbage"]),
    st.integers(0, 2),
    st.integers(0, 30),
    st.text(max_size=5),
)


def _members(name: str) -> tuple[str, ...]:
    return PEOPLE if name == GROUP else tuple(name.split(".")[1:])


def _script(steps) -> Script:
    script, messages, is_in = Script(), list[Message](), False
    script.members(GROUP, *PEOPLE)
    for what, where, number, text in steps:
        name = (*DIRECTS, GROUP)[where]
        target = messages[number % len(messages)] if messages else None
        match what:
            case "say":
                messages.append(script.say(name, _members(name)[number % len(_members(name))], text))
            case "garbage":
                script.garbage(name)
            case "come and go":
                script.members(GROUP, left=(U4,)) if is_in else script.members(GROUP, U4)
                is_in = not is_in
            case "again" if target:
                script.again(target)
            case "edit" if target:
                script.edit(target, text)
            case "withdraw" if target:
                script.withdraw(target)
            case "react" if target:
                script.react(target)
    return script


def _ledger(draw, user, pushed) -> str:
    """A client in up to three sessions: each goes on from what the one before had, or from before that."""
    lines = []
    known = {name: 0 for name in pushed if user in _members(name) or name == f"inbox.{user}"}
    sessions = draw(st.integers(1, 3))
    for session in range(sessions):
        lines.append({"ledger": 1, "user": user, "device": "v1", "at": "2024-01-01T00:00:00Z"})
        for name, seq in known.items():
            begin = draw(st.integers(0, seq))
            end = len(pushed[name]) if session == sessions - 1 else draw(st.integers(seq, len(pushed[name])))
            lines.append({"from": [name, begin]})
            for event in pushed[name][begin:end]:
                if event.sender_id == user and event.client_message_id and draw(st.booleans()):
                    lines.append({"sent": [name, event.seq, event.client_message_id, event.message_id]})
                lines.append({"saw": [name, event.seq, digest(event)]})
            known[name] = end
    return "".join(json.dumps(line) + "\n" for line in lines)


@settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_STEP, min_size=1, max_size=25), st.data())
def test_what_was_kept_is_clean_and_one_change_is_found(steps, data):
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder), {})
        town.data.mkdir()
        town.ledgers.mkdir()
        town.pushed = asyncio.run(live(town.data, _script(steps)))
        for user in PEOPLE:
            town.ledger(user).write_text(_ledger(data.draw, user, town.pushed))
        assert found(judged(town)) == []
        spoil = data.draw(st.sampled_from(SPOILS))
        what = spoil(town, data.draw)
        if what:
            assert not judged(town).clean, what


def _rows(town: Town, query: str) -> list[tuple]:
    with closing(sqlite3.connect(town.data / "messages.sqlite")) as connection:
        return connection.execute(query).fetchall()


def _event_row(town, draw, where="1"):
    rows = _rows(town, f"SELECT conversation_id, lane, seq FROM events WHERE {where}")
    return draw(st.sampled_from(rows)) if rows else None


def _event_is_gone(town, draw):
    name, _, seq = _event_row(town, draw)
    town.sql(f"DELETE FROM events WHERE conversation_id = '{name}' AND seq = {seq}")
    return f"{name} {seq} is gone"


def _event_is_other(town, draw):
    """One column of one event, whichever. What cannot be known of what could not be processed: its key, what it was, and, if it
    is the newest, its position."""
    column = draw(st.sampled_from(_EVENT_COLUMNS))
    hidden = column in ("client_message_id", "body", "era", "offset")
    row = _event_row(town, draw, f"kind != {int(Kind.UNPROCESSABLE)}" if hidden else "1")
    name, lane, seq = row
    new = {
        "sender_id": "'u9'",
        "client_message_id": "'x'",
        "body": "body || x'0a0178'",
        "lane": "1 - lane",
        "seq": "seq + 100",
    }
    old = "CAST(body AS BLOB)" if column == "body" else column
    change = f"CAST({new['body']} AS BLOB)" if column == "body" else new.get(column, f"{old} + 1")
    town.sql(
        f"UPDATE events SET {column} = {change} WHERE conversation_id = '{name}' AND lane = {lane} AND seq = {seq}"
    )
    return f"{column} of {name} {seq} is another"


def _key_is_gone(town, draw):
    rows = _rows(town, "SELECT rowid FROM idempotency_keys")
    (row,) = draw(st.sampled_from(rows))
    town.sql(f"DELETE FROM idempotency_keys WHERE rowid = {row}")
    return f"key row {row} is gone"


def _key_is_other(town, draw):
    """One column of one key row. The digest of what was changed since cannot be known."""
    columns = ["sender_id", "client_message_id", "era", "offset", "seq", "record_id", "time_us", "digest"]
    column = draw(st.sampled_from(columns))
    rows = _rows(
        town,
        "SELECT k.rowid FROM idempotency_keys AS k JOIN events AS e USING (conversation_id, seq)"
        f" WHERE '{column}' != 'digest' OR body_version = seq",
    )
    if not rows:
        return ""
    (row,) = draw(st.sampled_from(rows))
    new = {"sender_id": "'u9'", "client_message_id": "'x'", "digest": "x'00'"}.get(column, f"{column} + 1")
    town.sql(f"UPDATE idempotency_keys SET {column} = {new} WHERE rowid = {row}")
    return f"{column} of key row {row} is another"


def _list_is_other(town, draw):
    user, name = draw(st.sampled_from(_rows(town, "SELECT user_id, conversation_id FROM conversations_by_user")))
    where = f"WHERE user_id = '{user}' AND conversation_id = '{name}'"
    change = draw(
        st.sampled_from(["version = version + 1", "member = 1 - member", "seq = seq + 1", "user_id = 'u9'", ""])
    )
    table = "conversations_by_user"
    town.sql(f"UPDATE {table} SET {change} {where}" if change else f"DELETE FROM {table} {where}")
    return f"{change or 'gone'}: {name} in the list of {user}"


def _lines(town, draw, kind, last_session=False):
    user = draw(st.sampled_from(PEOPLE))
    lines = town.ledger(user).read_text().splitlines()
    first = max(number for number, line in enumerate(lines) if line.startswith('{"ledger"')) if last_session else 0
    fitting = [number for number, line in enumerate(lines) if number >= first and line.startswith(f'{{"{kind}"')]
    return user, lines, draw(st.sampled_from(fitting)) if fitting else None


def _write(town, user, lines):
    town.ledger(user).write_text("\n".join(lines) + "\n")


def _seen_less(town, draw):
    user, lines, at = _lines(town, draw, "saw", last_session=True)
    if at is None:
        return ""
    line = lines.pop(at)
    _write(town, user, lines)
    return f"{user} never {line}"


def _seen_twice(town, draw):
    user, lines, at = _lines(town, draw, "saw")
    if at is None:
        return ""
    lines.insert(at, lines[at])
    _write(town, user, lines)
    return f"{user} twice {lines[at]}"


def _seen_out_of_order(town, draw):
    user, lines, at = _lines(town, draw, "saw")
    later = [n for n, line in enumerate(lines[at + 1 :], at + 1) if line.startswith('{"saw"')] if at is not None else []
    if not later or json.loads(lines[later[0]])["saw"][0] != json.loads(lines[at])["saw"][0]:
        return ""
    if any(line.startswith('{"ledger"') for line in lines[at : later[0]]):
        return ""
    lines[at], lines[later[0]] = lines[later[0]], lines[at]
    _write(town, user, lines)
    return f"{user} before {lines[at]}"


def _seen_other(town, draw):
    user, lines, at = _lines(town, draw, "saw")
    if at is None:
        return ""
    name, seq, what = json.loads(lines[at])["saw"]
    head, _, content = what.partition("-")
    changed = _rows(
        town, f"SELECT 1 FROM events WHERE conversation_id = '{name}' AND seq = {seq} AND body_version != seq"
    )
    new = f"{head}-{_OTHER}" if content and not changed and draw(st.booleans()) else f"{_OTHER}-{content}"
    lines[at] = json.dumps({"saw": [name, seq, new]})
    _write(town, user, lines)
    return f"{user} other {lines[at]}"


def _sent_other(town, draw):
    user, lines, at = _lines(town, draw, "sent")
    if at is None:
        return ""
    name, seq, key, message = json.loads(lines[at])["sent"]
    new = draw(st.sampled_from([[name, seq + 1, key, message], [name, seq, "x", message], [name, seq, key, "m1.1"]]))
    lines[at] = json.dumps({"sent": new})
    _write(town, user, lines)
    return f"{user} other {lines[at]}"


SPOILS = [
    _event_is_gone,
    _event_is_other,
    _event_is_other,
    _key_is_gone,
    _key_is_other,
    _list_is_other,
    _seen_less,
    _seen_twice,
    _seen_out_of_order,
    _seen_other,
    _sent_other,
]
