"""Bytes → message, checked by the rules that stand in the contract (protovalidate).

The one place where a request is parsed: the call chain uses it for unary requests, the client stream for each frame.
"""

from typing import TypeVar

import protovalidate
from google.protobuf.message import DecodeError, Message

from svc.kernel.errors import InvalidField, MalformedRequest

M = TypeVar("M", bound=Message)


def parse(message_type: type[M], raw: bytes) -> M:
    """The valid message that `raw` encodes.

    Raises MalformedRequest when it encodes none (text that is not UTF-8 included), InvalidField for the first broken rule.
    """
    try:
        message = message_type.FromString(raw)
    except DecodeError:
        raise MalformedRequest(f"the bytes are no {message_type.DESCRIPTOR.full_name}") from None
    check(message)
    return message


def check(message: Message) -> None:
    """Raises InvalidField naming the field and what it must be, for the first rule that the message breaks."""
    violations = protovalidate.collect_violations(message, fail_fast=True)
    if violations:
        violation = violations[0].proto
        path = ".".join(element.field_name for element in violation.field.elements) if violation.field else ""
        raise InvalidField(path or message.DESCRIPTOR.name, violation.message)
