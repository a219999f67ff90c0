"""The lines of a ledger, version 1: JSON, one fact a line, in UTF-8. A file holds the sessions of one user, one after another.

    {"ledger": 1, "user": "u…", "device": "v…", "at": "<RFC 3339, UTC>"}           a session begins
    {"from": ["<conversation>", seq]}                                              it follows this one from above seq
    {"saw": ["<conversation>", seq, "<digest>"]}                                   it was handed this event, once
    {"sent": ["<conversation>", seq, "<client message id>", "<message id>"]}       a send was acknowledged
    {"left": ["<conversation>", seq]}                                              it follows no more; the newest it had
    {"problem": "<kind>", "conversation": "…", "seq": n, "text": "…"}              the server broke a promise

The digest is `stonechat_client.digest`. What stands at `from` or below is history that the session does not claim.

A client may be killed while it writes, so the last line before a session begins or the file ends may be torn. Anything else
that is not as agreed is refused: a verdict over half a ledger would say less than it seems to.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from svc.kernel.errors import StartError
from svc.kernel.ids import MAX_SNOWFLAKE, is_conversation_id, is_user_id, parse_message_id
from svc.verify.testimony import Began, From, Left, Line, Problem, Saw, Sent

VERSION = 1
PROBLEMS = frozenset(
    {"duplicate", "hole", "reordered", "different", "clock", "shrunk", "garbage", "redirects", "answer"}
)
_DIGEST = re.compile(r"[0-9a-f]{16}-(?:[0-9a-f]{16})?")
_SESSION = b'{"ledger"'


class LedgerError(StartError):
    """A ledger is not what it must be: `file:line: what`."""


def parse(place: str, lines: Iterable[bytes]) -> Iterator[tuple[int, Line]]:
    """The facts in a ledger, each with its line number (from 1). Raises LedgerError, naming `place` and the line."""
    torn: tuple[int, str] | None = None
    turns = _Turns()
    for number, raw in enumerate(lines, start=1):
        text = raw.strip()
        if not text:
            continue
        if torn is not None and not text.startswith(_SESSION):
            raise LedgerError(f"{place}:{torn[0]}: {torn[1]}")
        torn = None
        try:
            fields = json.loads(text)
        except ValueError as error:
            torn = number, f"it is no JSON, and not the last line of a client that was killed: {error}"
            continue
        try:
            line = _line(fields)
            turns.take(line)
        except _WrongLine as error:
            raise LedgerError(f"{place}:{number}: {error}") from None
        yield number, line


class _WrongLine(Exception):
    """What is wrong with a line."""


class _Turns:
    """What may come when."""

    def __init__(self) -> None:
        self._user_id = ""
        self._follows: set[str] = set()

    def take(self, line: Line) -> None:
        """The next line. Raises _WrongLine when it cannot come now."""
        if isinstance(line, Began):
            if self._user_id not in ("", line.user_id):
                raise _WrongLine(f"a session of {line.user_id} in a ledger of {self._user_id}: one file is of one user")
            self._user_id, self._follows = line.user_id, set()
            return
        if not self._user_id:
            raise _WrongLine('it must begin with {"ledger": 1, "user": …}')
        match line:
            case From(name):
                self._follows.add(name)
            case Saw(name) | Left(name) if name not in self._follows:
                raise _WrongLine(f"it speaks of {name} without a `from` in this session")
            case Left(name):
                self._follows.remove(name)


def _line(fields: Any) -> Line:
    if not isinstance(fields, dict) or not fields:
        raise _WrongLine("it must be a JSON object")
    if "ledger" in fields:
        return _began(fields)
    if "problem" in fields:
        return _problem(fields)
    if len(fields) != 1:
        raise _WrongLine(f"unknown keys: {', '.join(sorted(fields))}")
    ((kind, values),) = fields.items()
    reader = _READERS.get(kind)
    if reader is None:
        raise _WrongLine(f"{kind!r} is unknown in ledgers of version {VERSION}")
    if not isinstance(values, list):
        raise _WrongLine(f"{kind} must be an array")
    return reader(kind, values)


def _began(fields: Mapping[str, Any]) -> Began:
    version = fields["ledger"]
    if isinstance(version, bool) or version != VERSION:
        raise _WrongLine(f"the ledger has version {version!r}, this Stonechat reads version {VERSION}")
    _keys(fields, {"ledger", "user", "device", "at"})
    if not (isinstance(fields["user"], str) and is_user_id(fields["user"])):
        raise _WrongLine(f"user {fields['user']!r} is no user id")
    try:
        at = datetime.fromisoformat(fields["at"])
    except (TypeError, ValueError):
        at = None
    if at is None or at.utcoffset() != timedelta(0):
        raise _WrongLine(f"at {fields['at']!r} is no time in UTC as of RFC 3339")
    return Began(fields["user"], _text("device", fields["device"]), round(at.timestamp() * 1_000_000))


def _problem(fields: Mapping[str, Any]) -> Problem:
    _keys(fields, {"problem", "conversation", "seq", "text"})
    kind = fields["problem"]
    if kind not in PROBLEMS:
        raise _WrongLine(f"problem {kind!r} is unknown in ledgers of version {VERSION}")
    # As the server said it: that it is no conversation may be the problem.
    name = _text("conversation", fields["conversation"])
    return Problem(kind, name, _number(fields["seq"], 0), _text("text", fields["text"]))


def _keys(fields: Mapping[str, Any], expected: set[str]) -> None:
    if fields.keys() != expected:
        raise _WrongLine(f"it must have the keys {', '.join(sorted(expected))}; it has {', '.join(sorted(fields))}")


def _from(kind: str, values: list[Any]) -> From:
    name, seq = _values(kind, values, 2)
    return From(_conversation(name), _number(seq, 0))


def _left(kind: str, values: list[Any]) -> Left:
    name, seq = _values(kind, values, 2)
    return Left(_conversation(name), _number(seq, 0))


def _saw(kind: str, values: list[Any]) -> Saw:
    name, seq, digest = _values(kind, values, 3)
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise _WrongLine(f"{digest!r} is no digest")
    return Saw(_conversation(name), _number(seq, 1), digest)


def _sent(kind: str, values: list[Any]) -> Sent:
    name, seq, key, message = _values(kind, values, 4)
    if not (isinstance(message, str) and parse_message_id(message)):
        raise _WrongLine(f"{message!r} is no message id")
    return Sent(_conversation(name), _number(seq, 1), _text("the client message id", key), message)


_READERS: Mapping[str, Callable[[str, list[Any]], Line]] = {
    "from": _from, "saw": _saw, "sent": _sent, "left": _left
}  # fmt: skip


def _values(kind: str, values: list[Any], count: int) -> list[Any]:
    if len(values) != count:
        raise _WrongLine(f"{kind} must have {count} values, it has {len(values)}")
    return values


def _conversation(name: Any) -> str:
    if not (isinstance(name, str) and is_conversation_id(name)):
        raise _WrongLine(f"{name!r} is no conversation id")
    return name


def _number(value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MAX_SNOWFLAKE:
        raise _WrongLine(f"seq {value!r} is no whole number from {low} on")
    return value


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongLine(f"{what} {value!r} is no text")
    return value
