"""What a session hands to the program, one after the other."""

from dataclasses import dataclass

from stonechat.messaging.v1.event_pb2 import Event, Sent
from stonechat_client.errors import ClientError
from stonechat_client.problems import Problem
from stonechat_client.state import State


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The session is in another state. While OFFLINE, the next attempt comes `retry_in` seconds after this was said."""

    state: State
    why: str = ""
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A queued message is stored: it has its place."""

    client_message_id: str
    sent: Sent


@dataclass(frozen=True, slots=True)
class Refused:
    """A queued message was refused for good and is no longer in the queue."""

    client_message_id: str
    error: ClientError


Item = Event | StateChanged | Delivered | Refused | Problem
