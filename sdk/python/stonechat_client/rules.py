"""The rules that stand in the contract, checked before anything is sent."""

import protovalidate
from google.protobuf.message import Message

from stonechat_client.errors import InvalidRequest


def check(message: Message) -> None:
    """Raises InvalidRequest for the first rule that the message breaks, naming the innermost field."""
    violations = protovalidate.collect_violations(message, fail_fast=True)
    if violations:
        violation = violations[0].proto
        elements = violation.field.elements if violation.field else []
        raise InvalidRequest(elements[-1].field_name if elements else message.DESCRIPTOR.name, violation.message)
