"""`stonechat conformance` as people and programs call it: what it prints, what it answers, and that it always ends."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from stonechat_conformance.suite import suite
from stonechat_conformance.surfaces.table import SURFACES
from tests.conformance.proxy import listening
from tests.mesh.product import Product, product

FEW = ("--case", "a message arrives", "--case", "a repeat of a cursor*")
HTML = b"<html>no healthy upstream</html>"


async def command(*arguments: str, patience: float = 20) -> tuple[int, str, str]:
    """Exit code, output and errors of `stonechat conformance`. Nothing of what it prints is ever a traceback."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svc", "conformance", *arguments, "--patience", str(patience)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (said.decode() for said in await process.communicate())
    assert "Traceback" not in out + err, out + err
    assert process.returncode is not None
    return process.returncode, out, err


async def test_a_server_that_keeps_its_promises_is_green(kept: Product, tmp_path: Path):
    results = tmp_path / "results.json"
    code, out, err = await command(kept.url, *FEW, "--json", str(results))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{kept.url}: 2 cases on 6 surfaces, 9 checks"
    assert "throw-away users named t" in lines[1]
    row = re.compile(r"a message arrives +ok +ok +ok +ok +ok +ok")
    assert len([line for line in lines if row.fullmatch(line)]) == 2  # as it ran, and in the table
    assert "- a repeat of a cursor gives the same again: resumes by what is known, not by a cursor" in lines
    assert re.fullmatch(r"2 cases, 9 checks, 9 ok, 0 failed in \d+ s: all green", lines[-1])
    assert "\033" not in out  # piped
    found = json.loads(results.read_text())
    assert found["url"] == kept.url
    assert [each["outcome"] for each in found["outcomes"]] == ["ok"] * 9


async def test_it_can_be_told_what_to_run(kept: Product):
    code, out, _ = await command(kept.url, "--case", "GETGROUP.*", "--surface", "rest+poll", "--surface", "connect")
    assert code == 0
    assert out.splitlines()[0] == f"{kept.url}: 1 case on 2 surfaces, 2 checks"


async def test_markdown_is_all_of_the_output(kept: Product):
    code, out, err = await command(kept.url, "--case", "a message arrives", "--markdown")
    assert code == 0
    assert out.splitlines()[:3] == [
        "| case | connect | grpc-web | grpc-web-text | rest+sse | rest+poll | grpc+poll |",
        "|---|---|---|---|---|---|---|",
        "| a message arrives | ok | ok | ok | ok | ok | ok |",
    ]
    assert "all green" in err


async def test_patience_is_above_nothing():
    code, _, err = await command(patience=0)
    assert (code, err) == (2, "stonechat conformance: --patience is a time in seconds, above 0\n")


async def test_the_list_needs_no_server():
    code, out, _ = await command("--list")
    assert code == 0
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [case.name for case in suite()]
    assert all(f"    {case.promise}" in out for case in suite())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--case", "nothing of the kind"], "no case has 'nothing of the kind' in its name: see --list"),
        (["--surface", "websocket"], "there is no surface 'websocket'; there are connect, grpc-web"),
        (["--surface", "connect", "--case", "a repeat of a cursor"], "none of these cases runs on these surfaces"),
        (["nonsense://x"], "nonsense://x is no URL of a server: write http://host:port"),
        (["http://127.0.0.1:80a"], "is no URL of a server"),
        (["http://127.0.0.1:8080/path"], "is no URL of a server"),
        (["--ca", "nowhere.pem", "http://127.0.0.1:1"], "nobody listens at http://127.0.0.1:1"),
    ],
)
async def test_what_cannot_be_run_is_said(arguments: list[str], told: str):
    code, out, err = await command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("stonechat conformance: ")
    assert told in err


async def test_a_file_that_cannot_be_written_is_told_before_anything_runs(kept: Product, tmp_path: Path):
    code, out, err = await command(kept.url, *FEW, "--json", str(tmp_path / "nowhere" / "results.json"))
    assert (code, out) == (2, "")
    assert "results.json: No such file or directory" in err


async def test_who_reads_no_further_sees_no_traceback():
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svc", "conformance", "--list"), stdout=write, stderr=asyncio.subprocess.PIPE
    )
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (2, b"")


async def test_who_interrupts_it_is_obeyed(kept: Product):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "svc", "conformance", kept.url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    while not (await process.stdout.readline()).startswith(b"a message arrives"):
        pass
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


# Servers that are down, or half up


async def test_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code, out, err = await command(f"http://127.0.0.1:{port}")
    assert (code, out) == (2, "")
    assert f"nobody listens at http://127.0.0.1:{port}: is `make run` running?" in err


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything, say nothing."""
    while await reader.read(65536):
        pass


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hang up at once."""


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer 503 to everything, over HTTP/1.1 and with a page for people, as a proxy does whose services are down."""
    while await reader.read(65536):
        head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\ncontent-length: {len(HTML)}\r\n\r\n"
        writer.write(head.encode() + HTML)
        await writer.drain()


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what is no HTTP at all."""
    while await reader.read(65536):
        writer.write(b"\x00\xff" * 40_000)
        await writer.drain()


async def mute(url: str) -> None:
    """Every check has failed, each with a reason, and none has been waited for."""
    code, out, _ = await command(url, patience=1)
    checks = sum(len(case.surfaces()) for case in suite())
    assert code == 1
    assert f"{len(suite())} cases, {checks} checks, 0 ok, {checks} failed" in out.splitlines()[-1]
    assert "not run: nobody can sign in here: " in out
    assert not re.search(r"\bok\b(?!, )", out.partition("\n\n")[2].rpartition("\n")[0])
    for surface in SURFACES:
        assert re.search(rf"FAILED  \d+ checks  \[.*{re.escape(surface)}.*\]", out), surface


@pytest.mark.parametrize("serve", [hangs, closes, refuses, babbles], ids=lambda serve: serve.__name__)
async def test_a_server_that_is_none(serve):
    async with listening(serve) as url:
        await mute(url)


@pytest_asyncio.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[Product]:
    """Envoy answers, nobody behind it does."""
    with product(tmp_path) as running:
        os.kill(running.process.pid, signal.SIGSTOP)
        try:
            yield running
        finally:
            running.process.kill()


async def test_a_server_whose_services_are_stuck(stopped: Product):
    await mute(stopped.url)
