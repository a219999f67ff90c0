"""What a client knows first-hand, written down in the form that `stonechat verify` reads. A witness of its own: it shares no
code with the client library's ledger, only the digest."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client.digest import digest


class Ledger:
    """One session of one client. `problems` are sentences about what a server may never do; they are in the file as well."""

    def __init__(self, path: Path, user_id: str) -> None:
        self.user_id = user_id
        self.acknowledged_at: list[float] = []
        """When sends were acknowledged, in seconds of the monotonic clock."""
        self.problems: list[str] = []
        self._file: TextIO = path.open("x", buffering=1)
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._write({"ledger": 1, "user": user_id, "device": "v1", "at": at})

    @property
    def acknowledged(self) -> int:
        """How many sends were acknowledged."""
        return len(self.acknowledged_at)

    def follows(self, conversation_id: str, seq: int) -> None:
        """Everything of the conversation above seq is going to be seen."""
        self._write({"from": [conversation_id, seq]})

    def saw(self, event: ConversationEvent) -> None:
        """The next event of a conversation."""
        self._write({"saw": [event.conversation_id, event.seq, digest(event)]})

    def sent(self, conversation_id: str, seq: int, client_message_id: str, message_id: str) -> None:
        """A send was acknowledged with this place."""
        self.acknowledged_at.append(time.monotonic())
        self._write({"sent": [conversation_id, seq, client_message_id, message_id]})

    def problem(self, kind: str, text: str, conversation_id: str = "", seq: int = 0) -> None:
        """The server broke a promise."""
        self.problems.append(text)
        self._write({"problem": kind, "conversation": conversation_id, "seq": seq, "text": text})

    def close(self) -> None:
        """Nothing follows."""
        self._file.close()

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
