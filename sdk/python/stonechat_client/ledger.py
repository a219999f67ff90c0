"""The ledger: what a client saw and was promised, so that `stonechat verify` can hold it against what is stored."""

from typing import Protocol

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.problems import Problem


class Ledger(Protocol):
    """Written to by a session, in the order in which things happened. Calls are local and quick."""

    def begin(self, user_id: str, device_id: str) -> None:
        """A session of this device begins."""

    def follows(self, conversation_id: str, seq: int) -> None:
        """The session follows the conversation from above seq."""

    def saw(self, event: ConversationEvent) -> None:
        """The event was handed over."""

    def sent(self, client_message_id: str, sent: Sent) -> None:
        """A send was acknowledged."""

    def left(self, conversation_id: str, seq: int) -> None:
        """The session no longer follows the conversation; seq was the newest it had."""

    def problem(self, problem: Problem) -> None:
        """The server did what it may not."""

    def close(self) -> None:
        """No call follows."""


class NoLedger:
    """Writes nothing down."""

    def begin(self, user_id: str, device_id: str) -> None:
        pass

    def follows(self, conversation_id: str, seq: int) -> None:
        pass

    def saw(self, event: ConversationEvent) -> None:
        pass

    def sent(self, client_message_id: str, sent: Sent) -> None:
        pass

    def left(self, conversation_id: str, seq: int) -> None:
        pass

    def problem(self, problem: Problem) -> None:
        pass

    def close(self) -> None:
        pass
