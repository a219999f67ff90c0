"""A start that cannot succeed ends with code 1 and one clear line: what is wrong, and what to do. It touches nothing."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.faults.clients import rest, sign_up
from tests.faults.disk import small_disk

PAGE = 4096


def _header(whole: bytes) -> bytes:
    return os.urandom(100) + whole[100:]


def _truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _empty(whole: bytes) -> bytes:
    return b""


def _page(whole: bytes) -> bytes:
    # The second page is the root of a table in every one of the files.
    return whole[:PAGE] + bytes(byte ^ 0xFF for byte in whole[PAGE : 2 * PAGE]) + whole[2 * PAGE :]


@pytest.fixture
async def lived_in(new_server, tmp_path_factory):
    """A server that has ended, on a folder that has something in every file. Made once, then copied."""
    made = tmp_path_factory.getbasetemp() / "lived-in"
    server = new_server()
    if not made.exists():
        await server.start()
        async with rest(server.url) as http:
            ada, bob = await sign_up(http, "ada"), await sign_up(http, "bob")
            for number in range(20):
                body = {"to": bob.user_id, "content": f"message {number} " + "x" * 500, "type": "text"}
                (await http.post("/v1/messages/send", json=body, headers=ada.header)).raise_for_status()
            body = {"name": "both", "memberIds": [bob.user_id]}
            (await http.post("/v1/groups", json=body, headers=ada.header)).raise_for_status()
        assert await server.stop() == 0
        shutil.copytree(server.data, made, ignore=shutil.ignore_patterns("run"))
    else:
        shutil.copytree(made, server.data)
    return server


# Each file and each damage; every pair would say nothing more, the four files are checked by the same lines.
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("log.sqlite", _header),
        ("log.sqlite", _page),
        ("messages.sqlite", _truncated),
        ("messages.sqlite", _empty),
        ("users.sqlite", _page),
        ("groups.sqlite", _header),
    ],
)
async def test_a_damaged_file(lived_in, name, how):
    path = lived_in.data / name
    damaged = how(path.read_bytes())
    path.write_bytes(damaged)
    line = await lived_in.refused()
    assert line == (f"stonechat: {path} is damaged: restore it from a backup or move it away; nothing was changed")
    assert path.read_bytes() == damaged


async def test_a_sound_folder_is_not_refused(lived_in):
    """The other tests of this folder refuse for the damage alone."""
    await lived_in.start()


async def test_a_folder_that_cannot_be_made(new_server, tmp_path):
    (tmp_path / "file").touch()
    line = await new_server(DATA_DIR=str(tmp_path / "file" / "data")).refused()
    assert f"the data folder {tmp_path / 'file' / 'data'} cannot be used" in line
    assert "make it writable or set STONECHAT_DATA_DIR" in line


async def test_a_disk_that_became_read_only(lived_in, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        data = disk.path / "data"
        shutil.copytree(lived_in.data, data)
        before = _contents(data)
        disk.read_only()
        lived_in.settings["DATA_DIR"] = str(data)
        line = await lived_in.refused()
        assert f"the data folder {data} cannot be used (Read-only file system)" in line
        assert _contents(data) == before


@pytest.mark.parametrize("variable", ["LISTEN", "METRICS_LISTEN"])
async def test_a_taken_address(new_server, variable):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        given = f"http://{address}" if variable == "LISTEN" else address
        line = await new_server(**{variable: given}).refused()
    assert f"cannot listen on {address} (Address already in use): stop what listens there, or set " in line
    assert f"STONECHAT_{variable} " in line


async def test_a_folder_that_another_server_uses(new_server):
    """The first one is not disturbed, nor is what it wrote for operators."""
    first = new_server()
    await first.start()
    inner = (first.data / "run" / "inner.json").read_bytes()
    second = new_server(DATA_DIR=str(first.data))
    line = await second.refused()
    assert f"the data folder {first.data} is in use by another Stonechat" in line
    assert "set STONECHAT_DATA_DIR" in line
    assert (first.data / "run" / "inner.json").read_bytes() == inner
    async with rest(first.url) as http:
        await sign_up(http, "ada")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("LISTEN", "8080", "http://host:port"),
        ("PARTITIONS", "five", "a whole number"),
        ("TRACE_RATIO", "2", "a number from 0 to 1"),
    ],
)
async def test_a_wrong_setting(new_server, variable, value, expected):
    line = await new_server(**{variable: value}).refused()
    assert line == f"stonechat: STONECHAT_{variable}={value!r}: expected {expected}"


async def test_a_setting_that_there_is_none_of(new_server):
    assert await new_server(LISTEM="x").refused() == (
        "stonechat: STONECHAT_LISTEM is no setting; `stonechat settings` lists them all"
    )


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.sqlite*")}
