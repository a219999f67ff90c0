"""What a case demands. Not `assert`: a failure says what was expected and what came, with or without `python -O`."""

import re
from collections.abc import Awaitable, Sequence
from itertools import zip_longest
from typing import Any, TypeGuard

from google.protobuf.message import Message

from stonechat_conformance.refusal import Broken, Refused

_NOTHING = object()
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")  # a JWT: a report is no place for it


def must(condition: object, what: str, came: object = None) -> None:
    """Raises Broken unless the condition is true; `what` says what must be so."""
    if not condition:
        raise Broken(what, came=None if came is None else shown(came))


def must_equal(came: object, expected: object, what: str = "both must be equal") -> None:
    """Raises Broken unless both are equal; of two sequences or mappings it tells only where they differ."""
    if came == expected:
        return
    if isinstance(came, dict) and isinstance(expected, dict):
        names = [name for name in came | expected if came.get(name, _NOTHING) != expected.get(name, _NOTHING)]
        came, expected = ({name: side[name] for name in names if name in side} for side in (came, expected))
    elif _is_list(came) and _is_list(expected):
        at = next(i for i, (a, b) in enumerate(zip_longest(came, expected, fillvalue=_NOTHING)) if a != b)
        if at or max(len(came), len(expected)) > 1:
            what += f" ({len(came)} came where {len(expected)} are expected; they differ from number {at + 1} on)"
            came, expected = came[at : at + 1], expected[at : at + 1]
    raise Broken(what, expected=shown(expected), came=shown(came))


async def must_refuse(attempt: Awaitable[object], expected: Refused, what: str = "how it must be refused") -> Refused:
    """Raises Broken unless the attempt is refused like this: same status, reason and fields. Returns the refusal."""
    try:
        answer = await attempt
    except Refused as refused:
        must_equal(refused, expected, what)
        return refused
    raise Broken(what, expected=shown(expected), came=f"an answer: {shown(answer)}")


def shown(value: object, longest: int = 600) -> str:
    """A value on one line, of so many characters at most."""
    text = value if isinstance(value, str) else _plain(value)
    line = _TOKEN.sub("eyJ…", " ".join(text.split()))
    return line if len(line) <= longest else f"{line[:longest]} … ({len(line)} characters)"


def _plain(value: Any) -> str:
    if isinstance(value, Message):
        return f"{value.DESCRIPTOR.name}({str(value).strip()})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_plain(name)}: {_plain(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple) or _is_list(value):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return repr(value)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
