"""The ledger: what a client saw and was promised, so that `stonechat verify` can hold it against what is stored."""

import errno
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.digest import digest
from stonechat_client.errors import LedgerUnusable
from stonechat_client.problems import Problem

VERSION = 1
_LONGEST_TEXT = 1000
_BLOCK = 64 * 1024
_BEGINNING = b'{"ledger"'


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


class FileLedger:
    """Appends lines of JSON to a file that only its owner can read. A file holds the sessions of one user, one after another;
    its folder must exist.

    Each line is one write to the operating system, without waiting for the disk: what was written survives the end of the
    program, however it ends, but not a power cut. Holds nothing in memory. Raises LedgerUnusable for a file that is no ledger,
    is of a newer version, or is being written to by another program; calls raise OSError when the disk is full, and leave
    no half line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            # Without a buffer: what was written is out of this process.
            self._file = open(self._path, "a+b", buffering=0, opener=_private)  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise LedgerUnusable(f"{self._path} cannot be opened as a ledger: {error.strerror}") from error
        try:
            self._lock()
            self._expect_a_ledger()
            self._cut_a_half_line()
        except BaseException:
            self._file.close()
            raise

    def begin(self, user_id: str, device_id: str) -> None:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self._write({"ledger": VERSION, "user": user_id, "device": device_id, "at": at})

    def follows(self, conversation_id: str, seq: int) -> None:
        self._write({"from": [conversation_id, seq]})

    def saw(self, event: ConversationEvent) -> None:
        self._write({"saw": [event.conversation_id, event.seq, digest(event)]})

    def sent(self, client_message_id: str, sent: Sent) -> None:
        self._write({"sent": [sent.conversation_id, sent.seq, client_message_id, sent.message_id]})

    def left(self, conversation_id: str, seq: int) -> None:
        self._write({"left": [conversation_id, seq]})

    def problem(self, problem: Problem) -> None:
        self._write(
            {
                "problem": problem.kind.value,
                "conversation": problem.conversation_id,
                "seq": problem.seq,
                "text": problem.text[:_LONGEST_TEXT],
            }
        )

    def close(self) -> None:
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        encoded = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        written = self._file.write(encoded)
        if written != len(encoded):
            self._file.truncate(self._file.seek(0, os.SEEK_END) - (written or 0))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _lock(self) -> None:
        # Lines of two programs in one file would look like one program that saw things twice. Windows has no such lock.
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LedgerUnusable(f"{self._path} is being written to by another program") from None

    def _expect_a_ledger(self) -> None:
        self._file.seek(0)
        line, whole, _ = (self._file.read(_BLOCK) or b"").partition(b"\n")
        if not whole and _BEGINNING.startswith(line[: len(_BEGINNING)]):
            return  # new, or cut off in its first line
        try:
            version = json.loads(line)["ledger"]
        except (ValueError, TypeError, KeyError):
            raise LedgerUnusable(f"{self._path} is no ledger; choose another name") from None
        if version != VERSION:
            raise LedgerUnusable(
                f"{self._path} is a ledger of version {version}, this library writes version {VERSION}"
            )

    def _cut_a_half_line(self) -> None:
        """A power cut may leave one at the end; it would swallow the line after it."""
        end = self._file.seek(0, os.SEEK_END)
        while end > 0:
            begin = self._file.seek(max(0, end - _BLOCK))
            at = (self._file.read(end - begin) or b"").rfind(b"\n")
            if at >= 0:
                end = begin + at + 1
                break
            end = begin
        self._file.truncate(end)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
