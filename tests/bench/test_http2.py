"""The lean client against a server made of h2: every promise of `bench.http2`."""

import base64

import h2.events
import pytest
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from bench.http2 import (
    ACK,
    CONTINUATION,
    CREDIT_AT,
    DATA,
    END_HEADERS,
    HEADERS,
    MAX_WAITING,
    PADDED,
    PING,
    WINDOW,
    frame,
)
from tests.bench.h2_peer import STREAM, Pair, message


def received(events: list[h2.events.Event]) -> bytes:
    """The DATA in there."""
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


def test_the_request_is_what_was_asked_for():
    pair = Pair()
    pair.stream.write(b"hello")
    events = pair.to_server()
    (request,) = (event for event in events if isinstance(event, h2.events.RequestReceived))
    assert dict(request.headers) == {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/service/Method",
        ":authority": "server",
    }
    assert received(events) == message(b"hello")


@given(
    contents=st.lists(st.binary(max_size=600), min_size=1, max_size=8),
    frames=st.lists(st.integers(1, 700), max_size=12),
    padding=st.lists(st.integers(0, 255), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 400), max_size=40),
)
def test_messages_arrive_however_they_are_framed_padded_and_cut(contents, frames, padding, cuts):
    pair = Pair()
    pair.begin()
    data = b"".join(map(message, contents))
    for at, length in enumerate([*frames, len(data)]):
        part, data = data[:length], data[length:]
        if part:
            pair.server.send_data(STREAM, part, pad_length=padding[at % len(padding)] or None)
    pair.to_client(cuts)
    assert pair.messages == contents
    assert pair.ends == []


def test_every_place_to_cut_is_a_good_one():
    pair = Pair()
    pair.begin()
    pair.server.send_data(STREAM, message(b"one") + message(b""))
    pair.server.send_data(STREAM, message(b"three"))
    pair.server.send_headers(STREAM, [("grpc-status", "0")], end_stream=True)
    pair.to_client([1] * 500)
    assert pair.messages == [b"one", b"", b"three"]
    assert [end.code for end in pair.ends] == [code_pb2.OK]


def test_a_server_may_go_on_sending_for_ever_and_is_given_credit_in_portions():
    pair = Pair()
    pair.begin()
    pair.to_client()
    pair.to_server()
    content, credits = b"x" * 10_000, 0
    for _ in range(200):
        pair.server.send_data(STREAM, message(content))  # raises FlowControlError when there is no credit
        pair.to_client()
        events = pair.to_server()
        credits += sum(isinstance(event, h2.events.WindowUpdated) for event in events)
    assert pair.messages == [content] * 200
    assert credits == 2 * (200 * 10_005 // (-(-CREDIT_AT // 10_005) * 10_005))  # the stream's and the connection's


def test_padding_counts_against_the_window_and_comes_back():
    pair = Pair()
    pair.begin()
    for _ in range(1000):
        pair.server.send_data(STREAM, message(b"x"), pad_length=255)
        pair.to_client()
        pair.to_server()
    assert len(pair.messages) == 1000


def test_what_the_server_has_no_room_for_waits_and_keeps_its_order():
    pair = Pair()
    contents = [bytes([at]) * 9_000 for at in range(20)]
    pair.to_client()
    for content in contents:
        pair.stream.write(content)
    got = bytearray()
    events = pair.to_server()  # raises FlowControlError when more was sent than there is room for
    assert len(received(events)) == WINDOW
    while events:
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                got += event.data
                pair.server.acknowledge_received_data(event.flow_controlled_length, STREAM)
        pair.to_client()
        events = pair.to_server()
    assert bytes(got) == b"".join(map(message, contents))


def test_a_window_that_is_smaller_than_expected_is_kept():
    pair = Pair({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    pair.to_client()
    pair.stream.write(b"x" * 500)
    assert len(received(pair.to_server())) == 100


def test_a_window_that_shrinks_below_what_was_sent_is_waited_for():
    pair = Pair()
    pair.to_client()
    pair.stream.write(b"x" * 1000)
    assert len(received(pair.to_server())) == 1005
    pair.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
    pair.to_client()
    pair.stream.write(b"later")
    assert received(pair.to_server()) == b""
    pair.server.increment_flow_control_window(2000, STREAM)
    pair.to_client()
    assert received(pair.to_server()) == message(b"later")


def test_a_server_that_never_reads_ends_the_stream():
    pair = Pair()
    for _ in range(MAX_WAITING // 1000 + 100):
        pair.stream.write(b"x" * 1000)
    assert [str(end) for end in pair.ends] == ["UNAVAILABLE the peer does not read"]
    assert pair.line.closed


def test_a_ping_is_answered_and_an_answer_is_not():
    pair = Pair()
    pair.begin()
    pair.server.ping(b"12345678")
    pair.to_client()
    assert any(isinstance(event, h2.events.PingAckReceived) for event in pair.to_server())
    pair.stream.data_received(frame(PING, ACK, 0, b"12345678"))
    assert pair.line.written == b""


def test_control_frames_of_one_read_are_answered_in_one_write():
    pair = Pair()
    pair.begin()
    for at in range(5):
        pair.server.ping(bytes([at]) * 8)
    writes = pair.line.writes
    pair.to_client()
    assert pair.line.writes == writes + 1


def test_trailers_say_how_it_ended():
    pair = Pair()
    pair.begin()
    pair.server.send_data(STREAM, message(b"last"))
    end = pair.end(("grpc-status", "14"), ("grpc-message", "come%20back"))
    assert pair.messages == [b"last"]
    assert (end.code, end.message) == (code_pb2.UNAVAILABLE, "come back")
    assert pair.line.closed


def test_a_refusal_is_a_status_without_anything_before_it():
    pair = Pair()
    pair.to_client()
    pair.to_server()
    status = Status(code=code_pb2.RESOURCE_EXHAUSTED, message="full")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="BUSY"))
    details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    end = pair.end((":status", "200"), ("grpc-status", "8"), ("grpc-status-details-bin", details))
    assert end.code == code_pb2.RESOURCE_EXHAUSTED
    assert end.details == status


@pytest.mark.parametrize("details", ["!", "AAAA", "/////w=="])
def test_details_that_cannot_be_read_leave_the_status(details):
    pair = Pair()
    pair.to_client()
    pair.to_server()
    end = pair.end((":status", "200"), ("grpc-status", "8"), ("grpc-status-details-bin", details))
    assert end.code == code_pb2.RESOURCE_EXHAUSTED


def test_a_header_block_over_several_frames_is_one():
    pair = Pair()
    pair.begin()
    end = pair.end(("grpc-status", "3"), ("grpc-message", "x" * 40_000))
    assert (end.code, end.message) == (code_pb2.INVALID_ARGUMENT, "x" * 40_000)


@pytest.mark.parametrize(
    ("status", "code"),
    [("503", "UNAVAILABLE"), ("401", "UNAUTHENTICATED"), ("404", "UNIMPLEMENTED"), ("418", "UNKNOWN")],
)
def test_an_answer_that_is_no_grpc_ends_the_stream(status, code):
    pair = Pair()
    pair.to_client()
    pair.to_server()
    pair.server.send_headers(STREAM, [(":status", status)])
    pair.to_client()
    assert [code_pb2.Code.Name(end.code) for end in pair.ends] == [code]


@pytest.mark.parametrize(("reset", "code"), [(7, "UNAVAILABLE"), (8, "CANCELLED"), (2, "INTERNAL")])
def test_a_reset_ends_the_stream(reset, code):
    pair = Pair()
    pair.begin()
    pair.server.reset_stream(STREAM, reset)
    pair.to_client()
    assert [str(end) for end in pair.ends] == [f"{code} RST_STREAM with error code {reset}"]


def test_goaway_leaves_a_stream_that_was_begun():
    pair = Pair()
    pair.begin()
    pair.server.close_connection(last_stream_id=2**31 - 1)
    pair.to_client()
    assert pair.ends == []


def test_goaway_ends_a_stream_that_was_not_taken():
    pair = Pair()
    pair.to_client()
    pair.to_server()
    pair.server.close_connection(error_code=11, last_stream_id=0)
    pair.to_client()
    assert [str(end) for end in pair.ends] == ["UNAVAILABLE GOAWAY with error code 11"]


def test_an_end_without_a_status_is_an_error():
    pair = Pair()
    pair.begin()
    pair.server.send_data(STREAM, message(b"x"), end_stream=True)
    pair.to_client()
    assert pair.messages == [b"x"]
    assert [end.code for end in pair.ends] == [code_pb2.INTERNAL]


def test_a_connection_that_breaks_is_told_once():
    pair = Pair()
    pair.begin()
    pair.stream.connection_lost(ConnectionResetError("reset by peer"))
    pair.stream.connection_lost(None)
    assert [str(end) for end in pair.ends] == ["UNAVAILABLE the connection was lost: reset by peer"]


def test_cancelling_resets_the_stream():
    pair = Pair()
    pair.begin()
    pair.to_client()
    pair.stream.cancel()
    assert any(isinstance(event, h2.events.StreamReset) for event in pair.to_server())
    assert [end.code for end in pair.ends] == [code_pb2.CANCELLED]
    pair.stream.write(b"too late")
    assert pair.line.written == b""


@pytest.mark.parametrize(
    "bytes_",
    [
        frame(DATA, 0, STREAM, b"x" * 20_000),
        frame(DATA, 0, STREAM, b"\1" + bytes(4)),
        frame(DATA, 0, STREAM, b"\0\xff\xff\xff\xff"),
        frame(HEADERS, 0, STREAM, b"\x88") + frame(PING, 0, 0, bytes(8)),
        frame(HEADERS, END_HEADERS, STREAM, b"\xff\xff\xff\xff\xff"),
        frame(HEADERS, 0, STREAM, b"\x88") + frame(CONTINUATION, 0, STREAM, b"\x88" * 16_000) * 5,
        frame(DATA, PADDED, STREAM, b"\x05ab"),
    ],
    ids=["too long", "compressed", "4 GiB", "interrupted", "no header block", "endless header block", "all padding"],
)
def test_what_breaks_the_protocol_ends_the_stream(bytes_):
    pair = Pair()
    pair.begin()
    pair.stream.data_received(bytes_)
    assert [end.code for end in pair.ends] == [code_pb2.INTERNAL]


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_garbage_raises_nothing_and_ends_at_most_once(pieces):
    pair = Pair()
    pair.begin()
    pair.to_client()
    for piece in pieces:
        pair.stream.data_received(piece)
    assert len(pair.ends) <= 1


@given(
    st.lists(
        st.builds(frame, st.integers(0, 12), st.integers(0, 255), st.sampled_from([0, 1, 3]), st.binary(max_size=40)),
        max_size=20,
    )
)
def test_frames_of_garbage_raise_nothing_and_end_at_most_once(frames):
    pair = Pair()
    pair.begin()
    pair.to_client()
    pair.stream.data_received(b"".join(frames))
    assert len(pair.ends) <= 1
