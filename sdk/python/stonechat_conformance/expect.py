"""What a case demands. Not `assert`: a failure says what was expected and what came, with or without `python -O`."""

from collections.abc import Awaitable
from dataclasses import dataclass

from stonechat_conformance.refusal import Broken, Refused


@dataclass
class _Shown:
    """Stands where a value should be that is no value: an answer where a refusal must come."""

    text: str

    def __repr__(self) -> str:
        return self.text


def must(condition: object, what: str, came: object = None) -> None:
    """Raises Broken unless the condition is true; `what` says what must be so."""
    if not condition:
        raise Broken(what, came=came)


def must_equal(came: object, expected: object, what: str = "") -> None:
    """Raises Broken unless both are equal."""
    if came != expected:
        raise Broken(what or "both must be equal", expected=expected, came=came)


async def must_refuse(attempt: Awaitable[object], expected: Refused, what: str = "") -> Refused:
    """Raises Broken unless the attempt is refused like this: same status, reason and fields. Returns the refusal."""
    try:
        answer = await attempt
    except Refused as refused:
        must_equal(refused, expected, what or "how it must be refused")
        return refused
    raise Broken(what or "it must be refused", expected=expected, came=_Shown(f"an answer: {answer}"))
