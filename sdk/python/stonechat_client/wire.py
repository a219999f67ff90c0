"""The frames of the stream `Connect` as bytes, apart from any transport: what the session and a load generator share."""

from google.protobuf.message import DecodeError

from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest, ConnectResponse
from stonechat_client.errors import NotReachable

CONNECT = "/stonechat.messaging.v1.MessagingService/Connect"


class Garbage(NotReachable):
    """What came is no frame. The stream is of no use any more."""


def encode(frame: ConnectRequest) -> bytes:
    """One frame of the client."""
    return frame.SerializeToString()


def decode(data: bytes) -> ConnectResponse:
    """One frame of the server: some events. Raises Garbage."""
    try:
        return ConnectResponse.FromString(data)
    except DecodeError as error:
        raise Garbage(f"the server sent {len(data)} bytes that are no frame") from error
