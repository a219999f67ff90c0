"""A ledger holds, line by line, what a client saw and was promised, however the client ends."""

import json
import resource
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.digest import digest
from stonechat_client.errors import LedgerUnusable
from stonechat_client.ledger import FileLedger
from stonechat_client.problems import Problem, ProblemKind

SENT = Sent(conversation_id="d.u1.u2", seq=3, message_id="m7.3")
SESSION = b'{"ledger":1,"user":"u1","device":"v1","at":"2026-01-01T00:00:00Z"}\n'


def event(seq: int) -> ConversationEvent:
    return ConversationEvent(conversation_id="d.u1.u2", seq=seq, message=Message(type="text", content=f"text {seq}"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_kind_of_line(tmp_path: Path) -> None:
    path = tmp_path / "alice.ledger"
    began = datetime.now(UTC)
    ledger = FileLedger(path)
    ledger.begin("u1", "v1")
    ledger.follows("d.u1.u2", 2)
    ledger.saw(event(3))
    ledger.sent("c1", SENT)
    ledger.left("d.u1.u2", 3)
    ledger.problem(Problem(ProblemKind.HOLE, 'says "no\nthing" of 4 é', "d.u1.u2", 4))
    ledger.close()
    first, *others = lines(path)
    at = first.pop("at")
    assert at.endswith("Z")
    assert began <= datetime.fromisoformat(at) <= datetime.now(UTC)
    assert first == {"ledger": 1, "user": "u1", "device": "v1"}
    assert others == [
        {"from": ["d.u1.u2", 2]},
        {"saw": ["d.u1.u2", 3, digest(event(3))]},
        {"sent": ["d.u1.u2", 3, "c1", "m7.3"]},
        {"left": ["d.u1.u2", 3]},
        {"problem": "hole", "conversation": "d.u1.u2", "seq": 4, "text": 'says "no\nthing" of 4 é'},
    ]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "alice.ledger"
    FileLedger(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_sessions_stand_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "alice.ledger"
    for device in ("v1", "v2"):
        ledger = FileLedger(path)
        ledger.begin("u1", device)
        ledger.saw(event(1))
        ledger.close()
    assert [line.get("device", "saw") for line in lines(path)] == ["v1", "saw", "v2", "saw"]


@pytest.mark.parametrize("half", [b"", b'{"saw":["d.u1', b"x" * 200_000])
def test_half_a_line_at_the_end_is_cut_off(tmp_path: Path, half: bytes) -> None:
    path = tmp_path / "alice.ledger"
    path.write_bytes(SESSION + half)
    ledger = FileLedger(path)
    ledger.begin("u1", "v2")
    ledger.close()
    assert [line["device"] for line in lines(path)] == ["v1", "v2"]


@pytest.mark.parametrize("half", [b"{", b'{"ledger":1,"us'])
def test_a_ledger_that_was_cut_off_in_its_first_line_begins_anew(tmp_path: Path, half: bytes) -> None:
    path = tmp_path / "alice.ledger"
    path.write_bytes(half)
    ledger = FileLedger(path)
    ledger.begin("u1", "v2")
    ledger.close()
    assert [line["device"] for line in lines(path)] == ["v2"]


@pytest.mark.parametrize("content", [b"dear diary", b"dear\ndiary\n", b"[1]\n", b'{"name": 1}\n', b"\n"])
def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "diary"
    path.write_bytes(content)
    with pytest.raises(LedgerUnusable, match="diary is no ledger"):
        FileLedger(path)
    assert path.read_bytes() == content


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alice.ledger"
    path.write_bytes(SESSION.replace(b":1,", b":2,"))
    with pytest.raises(LedgerUnusable, match="version 2, this library writes version 1"):
        FileLedger(path)


def test_two_programs_do_not_write_to_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "alice.ledger"
    ledger = FileLedger(path)
    with pytest.raises(LedgerUnusable, match="another program"):
        FileLedger(path)
    ledger.close()
    FileLedger(path).close()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="cannot be opened as a ledger: No such file"):
        FileLedger(tmp_path / "nowhere" / "alice.ledger")


def test_nothing_that_was_written_is_lost_when_the_program_is_killed(tmp_path: Path) -> None:
    """Each line is on its way before the call returns: the program is killed by the call after the last one."""
    path = tmp_path / "alice.ledger"
    program = f"""
import os, signal
from tests.sdk.test_ledger_file import FileLedger, event
ledger = FileLedger({str(path)!r})
ledger.begin("u1", "v1")
for seq in range(1, 1001):
    ledger.saw(event(seq))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [line["saw"][1] for line in lines(path)[1:]] == list(range(1, 1001))


def test_a_full_disk_is_said_and_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "alice.ledger"
    ledger = FileLedger(path)
    ledger.begin("u1", "v1")
    ledger.saw(event(1))
    whole = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the write itself fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, before[1]))
    try:
        with pytest.raises(OSError, match="No space left") as failure:
            ledger.saw(event(2))
        assert failure.value.filename == str(path)
        assert path.read_bytes() == whole
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    ledger.saw(event(2))
    assert [line["saw"][1] for line in lines(path)[1:]] == [1, 2]
    ledger.close()
    with pytest.raises(ValueError, match="closed"):
        ledger.saw(event(3))
