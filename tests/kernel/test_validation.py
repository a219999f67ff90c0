"""Bytes become messages that keep the rules of the contract, or a refusal that names the field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest, Hello, KnownConversation, SendMessageRequest
from svc.kernel.errors import InvalidField, MalformedRequest
from svc.kernel.validation import check, parse

GOOD = SendMessageRequest(to="u2", content="hello", type="text", client_message_id="a-1")


def test_a_good_request_arrives_as_it_was_sent():
    """Nothing is added or lost."""
    assert parse(SendMessageRequest, GOOD.SerializeToString()) == GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", ""),
        ("to", "u" * 65),
        ("content", ""),
        ("content", "é" * 8193),
        ("type", "html"),
        ("client_message_id", "no spaces"),
        ("client_message_id", "a" * 65),
        ("client_message_id", "~1"),
        ("client_message_id", "line\n"),
    ],
)
def test_a_broken_rule_names_its_field(field: str, value: str):
    """And what it must be."""
    request = SendMessageRequest()
    request.CopyFrom(GOOD)
    setattr(request, field, value)
    with pytest.raises(InvalidField) as caught:
        parse(SendMessageRequest, request.SerializeToString())
    assert caught.value.field == field
    assert caught.value.must
    assert caught.value.message == f"{field}: {caught.value.must}"


def test_the_longest_content_counts_bytes():
    """16,384 of them, whatever the script."""
    check(SendMessageRequest(to="u2", content="é" * 8192, type="text"))


def test_a_rule_inside_of_another_message_names_the_way_to_it():
    """From the request down to the field."""
    request = ConnectRequest(hello=Hello(known=[KnownConversation(conversation_id="g1"), KnownConversation()]))
    with pytest.raises(InvalidField) as caught:
        check(request)
    assert caught.value.field == "hello.known.conversation_id"


def test_a_frame_that_says_nothing_is_refused():
    """A rule about a whole message names what is missing."""
    with pytest.raises(InvalidField) as caught:
        check(ConnectRequest(request_id=1))
    assert caught.value.field == "frame"


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["tag", "cut", "not UTF-8"])
def test_bytes_that_are_no_message_are_malformed(raw: bytes):
    """The text names the type that was expected."""
    with pytest.raises(MalformedRequest, match=r"stonechat\.messaging\.v1\.SendMessageRequest"):
        parse(SendMessageRequest, raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_or_a_refusal(raw: bytes):
    """Never another error."""
    try:
        request = parse(ConnectRequest, raw)
    except (MalformedRequest, InvalidField):
        return
    assert request.WhichOneof("frame")
