"""`stonechat verify` as people and programs meet it: what it prints, what it leaves with, and that it changes nothing."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from svc.verify.progress import ProgressLine
from tests.verify.test_store import D
from tests.verify.town import DIRECT, GROUP, U2

SECONDS = 60


def verify(*arguments, **environment):
    """(exit code, stdout, stderr)."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")}
    command = [sys.executable, "-m", "svc", "verify", *map(str, arguments)]
    done = subprocess.run(command, env=ours | environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_is_clean_says_so_in_two_lines(town):
    events = sum(map(len, town.pushed.values()))
    code, out, err = verify("--data-dir", town.data, "--ledgers", town.ledgers, "--settled")
    first, second = out.splitlines()
    assert (code, err) == (0, "")
    assert first.startswith(f"conversations {len(town.pushed)}   events {events}   ledgers 4   acknowledged ")
    assert second == "lost 0   doubled 0   reordered 0   wrong 0   problems 0"


def test_the_first_offender_of_each_kind_is_named(town):
    town.sql(f"DELETE FROM events WHERE {D} AND seq IN (2, 11)")
    line = town.line(U2, f'{{"saw":["{GROUP}",5,')
    town.edit(U2, (line, line * 2))
    told = '{"problem":"hole","conversation":"d.u1.u2","seq":4,"text":"4 was passed over"}\n'
    town.ledger(U2).write_text(town.ledger(U2).read_text() + told)
    code, out, _ = verify("--ledgers", town.ledgers, STONECHAT_DATA_DIR=str(town.data))
    assert code == 1
    _, counts, *lines = out.splitlines()
    assert counts == "lost 9   doubled 1   reordered 0   wrong 0   problems 1"
    assert lines[0] == "problems by kind: hole 1"
    assert lines[1] == f"lost: {DIRECT} 2: it is not stored"
    assert lines[2].startswith(f"doubled: {GROUP} 5: it was handed over twice")
    assert lines[3].startswith(f"problems: {DIRECT} 4: hole: 4 was passed over ({town.ledger(U2)}:")
    assert lines[4:] == ["the first of each kind; `--all` for more"]
    code, out, _ = verify("--data-dir", town.data, "--ledgers", town.ledgers, "--all", "3")
    assert sum(one.startswith("lost: ") for one in out.splitlines()) == 3
    _, out, _ = verify("--data-dir", town.data, "--ledgers", town.ledgers, "--all")
    assert sum(one.startswith("lost: ") for one in out.splitlines()) == 9


def test_for_programs_it_is_json(town):
    town.sql(f"UPDATE events SET ordinal = 9 WHERE {D} AND seq = 11")
    code, out, _ = verify("--data-dir", town.data, "--ledgers", *town.ledgers.iterdir(), "--settled", "--json")
    verdict = json.loads(out)
    assert code == 1
    assert (verdict["clean"], verdict["settled"], verdict["ledgers"]) == (False, True, 4)
    assert [verdict[what] for what in ("lost", "doubled", "reordered", "wrong", "problems")] == [0, 0, 2, 1, 0]
    assert verdict["findings"][0] == {
        "fault": "wrong",
        "conversation": DIRECT,
        "seq": 11,
        "text": "its ordinal is 9, messages up to it are 5",
        "ledger": "",
    }


def test_one_conversation_alone(town):
    town.sql(f"UPDATE events SET ordinal = 9 WHERE {D} AND seq = 11")
    arguments = ("--data-dir", town.data, "--ledgers", town.ledgers, "--json")
    code, out, _ = verify(*arguments, "--conversation", GROUP)
    assert code == 0
    assert json.loads(out)["conversations"] == 1
    assert json.loads(out)["events"] == 7
    assert verify(*arguments, "--conversation", GROUP, "--conversation", DIRECT)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--data-dir", "{town}/nowhere"], "there is no messages.sqlite in {town}/nowhere: name the data folder with"),
        (["--data-dir", "{data}", "--ledgers", "{town}/nowhere"], "{town}/nowhere cannot be read: No such file"),
        (["--data-dir", "{data}", "--ledgers", "{data}"], "{data} holds no ledger: no file in it is named *.ledger"),
        (["--data-dir", "{data}", "--conversation", "d.u2.u1"], "'d.u2.u1' is no conversation"),
        (["--data-dir", "{data}", "--conversation", "g5"], "nothing is stored of g5, and no ledger speaks of it"),
        (["--data-dir", "{data}", "--all", "0"], "must be at least 1"),
    ],
)
def test_what_cannot_be_looked_at_is_said(town, arguments, what):
    places = {"town": town.folder, "data": town.data}
    code, out, err = verify(*(argument.format(**places) for argument in arguments))
    assert (code, out) == (2, "")
    assert what.format(**places) in err
    assert "Traceback" not in err


def test_a_malformed_ledger_is_named_with_its_line(town):
    town.ledger(U2).write_text(town.ledger(U2).read_text() + '{"heard": []}\n')
    code, out, err = verify("--data-dir", town.data, "--ledgers", town.ledgers)
    number = len(town.ledger(U2).read_text().splitlines())
    assert (code, out) == (2, "")
    assert err == f"stonechat: {town.ledger(U2)}:{number}: 'heard' is unknown in ledgers of version 1\n"


@pytest.mark.parametrize("what", ["noise", "another schema", "no schema"])
def test_a_file_that_is_no_store_is_refused(town, what):
    path = town.data / "messages.sqlite"
    if what == "noise":
        path.write_bytes(b"noise " * 2000)
    else:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "UPDATE schema_version SET version = 9" if what == "another schema" else "DROP TABLE schema_version"
            )
    code, out, err = verify("--data-dir", town.data)
    assert (code, out) == (2, "")
    assert str(path) in err
    assert "Traceback" not in err


def test_a_wrong_setting_is_refused(town):
    code, _, err = verify(STONECHAT_DATA_DIR=str(town.data), STONECHAT_DATA="x")
    assert code == 2
    assert "STONECHAT_DATA is no setting" in err


def test_it_changes_nothing(town):
    before = {path: path.read_bytes() for path in sorted(town.folder.rglob("*")) if path.is_file()}
    assert verify("--data-dir", town.data, "--ledgers", town.ledgers)[0] == 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_store_whose_server_was_killed_is_read_with_what_it_had_not_moved_yet(town, tmp_path):
    """What is in the -wal file alone counts."""
    with closing(sqlite3.connect(town.data / "messages.sqlite")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"UPDATE events SET ordinal = 9 WHERE {D} AND seq = 11")
        connection.commit()
        shutil.copytree(town.data, tmp_path / "killed", ignore=shutil.ignore_patterns("*-shm"))
    assert verify("--data-dir", tmp_path / "killed")[0] == 1


@pytest.mark.skipif(
    os.geteuid() != 0 and not os.access("/usr/bin/unshare", os.X_OK), reason="needs a disk that is read-only"
)
def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(town):
    for end in ("-wal", "-shm"):
        (town.data / f"messages.sqlite{end}").unlink(missing_ok=True)
    mount = f"mount --bind {town.data} {town.data} && mount -o remount,ro,bind {town.data}"
    command = f"{mount} && exec {sys.executable} -m svc verify --data-dir {town.data}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no right to mount: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_told_on_a_terminal_and_only_when_it_takes_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("svc.verify.progress.time.monotonic", lambda: now[0])
    out = _Terminal()
    line = ProgressLine(out)
    line.told("3 conversations")
    assert out.getvalue() == ""
    now[0] = 1.5
    line.told("3 conversations")
    line.told("3 conversations")
    assert out.getvalue().count("3 conversations …") == 1
    line.close()
    assert out.getvalue().endswith("\r\x1b[K")
    nowhere = io.StringIO()
    line = ProgressLine(nowhere)
    now[0] = 99.0
    line.told("3 conversations")
    line.close()
    assert nowhere.getvalue() == ""
