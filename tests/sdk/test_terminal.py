"""`stonechat chat` as people and scripts use it: a process, in front of the whole product, Envoy included.

The tests share one product; each has people of its own.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from svc.app import product
from svc.kernel.settings import for_tests

DEADLINE_SECONDS = 30
# The command without the rest of `stonechat`, which would take seconds to import.
PROGRAM = """
import argparse, asyncio, os, sys
os.environ["GRPC_VERBOSITY"] = "NONE"
from stonechat_client import terminal
parser = argparse.ArgumentParser()
terminal.add_arguments(parser)
sys.exit(asyncio.run(terminal.run(parser.parse_args())))
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def serving(folder: Path, listen: str = "http://127.0.0.1:0") -> AsyncIterator[str]:
    """The product; yields its address."""
    died: list[BaseException] = []
    async with product(for_tests(folder, listen=listen), died.append) as running:
        yield running.url
    assert died == []


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def url(tmp_path_factory):
    async with serving(tmp_path_factory.mktemp("data")) as address:
        yield address


class Person:
    """Somebody who chats: what they type, and all that they were shown."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.shown: list[str] = []

    def say(self, line: str) -> None:
        """Type a line."""
        self._process.stdin.write(f"{line}\n".encode())

    async def sees(self, pattern: str) -> re.Match[str]:
        """Wait for a line that a pattern fits."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while line := await self._process.stdout.readline():
                self.shown.append(line.decode().rstrip("\n"))
                if found := re.search(pattern, self.shown[-1]):
                    return found
        raise AssertionError(f"nothing like {pattern!r} in:\n" + "\n".join(self.shown))

    async def leaves(self) -> int:
        """No more input; returns the exit code."""
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE_SECONDS):
            self.shown += (await self._process.stdout.read()).decode().splitlines()
            return await self._process.wait()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)


@asynccontextmanager
async def chatting(name: str, server: str, *arguments: str, password: str = "password") -> AsyncIterator[Person]:
    """A person at a program in a pipe. What goes to stderr is shown too."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "--user", name, "--server", server, *arguments),
        env=others | ({"STONECHAT_PASSWORD": password} if password else {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Person(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_two_people_talk(url):
    async with chatting("bob", url, "--register") as bob:
        await bob.sees("no conversations yet")
        async with chatting("alice", url, "--register", "--to", "bob") as alice:
            await alice.sees("── bob ─")
            alice.say("hello bob")
            await alice.sees(r"#1 you: hello bob ✓$")
            await bob.sees(r"\(alice\) .*#1 alice: hello bob$")
            bob.say("/to alice")
            await bob.sees("#1 alice: hello bob$")
            bob.say("hi alice")
            await alice.sees(r"#2 bob: hi alice$")
            alice.say("/edit hello, bob!")
            await bob.sees(r"alice edited #1: hello, bob!$")
            bob.say("/react 👍")
            await alice.sees(r"bob reacted with 👍 on #2$")
            alice.say("/withdraw #1")
            await bob.sees(r"alice took #1 back$")
            assert await alice.leaves() == 0
        assert await bob.leaves() == 0


async def test_a_group_begins_with_one_command(url):
    async with chatting("dave", url, "--register") as dave, chatting("carol", url, "--register") as carol:
        await dave.sees("no conversations yet")
        await carol.sees("no conversations yet")
        carol.say('/group "Bird watchers" dave')
        carol.say("hello birds")
        await carol.sees(r"#2 you: hello birds ✓$")
        await dave.sees("you are in the group Bird watchers now")
        dave.say("/to bird watchers")
        await dave.sees(r"#2 carol: hello birds$")
        dave.say("/members")
        await dave.sees(r"2 members: ")
        assert {"carol", "you"} == set(dave.shown[-1].partition(": ")[2].split(", "))


async def test_what_was_said_is_there_the_next_time(url):
    async with chatting("frank", url, "--register") as frank:
        await frank.sees("no conversations yet")
        assert await frank.leaves() == 0
    async with chatting("erin", url, "--register", "--to", "frank") as erin:
        for number in range(25):
            erin.say(f"message {number}")
        assert await erin.leaves() == 0
        assert [line.split(": ")[1] for line in erin.shown[1:]] == [f"message {number} ✓" for number in range(25)]
    async with chatting("frank", url) as frank:
        await frank.sees(r"erin +25 unread")
        frank.say("/to erin")
        await frank.sees(r"#6 erin: message 5$")
        await frank.sees(r"#25 erin: message 24$")
        frank.say("/history")
        await frank.sees(r"#1 erin: message 0$")
        await frank.sees(r"#5 erin: message 4$")
        frank.say("/history")
        await frank.sees("there is nothing before this")
        assert await frank.leaves() == 0
    async with chatting("frank", url) as frank:
        await frank.sees(r"erin +\d\d:\d\d$")


async def test_what_is_said_while_the_server_restarts_arrives_once(tmp_path):
    async with AsyncExitStack() as chats:
        async with serving(tmp_path) as url:
            async with chatting("bob", url, "--register") as bob:
                await bob.sees("no conversations yet")
            alice = await chats.enter_async_context(chatting("alice", url, "--register", "--to", "bob"))
            await alice.sees("── bob ─")
        await alice.sees("no connection")
        alice.say("are you there?")
        async with serving(tmp_path, url):
            await alice.sees("connected again")
            await alice.sees(r"#1 you: are you there\? ✓$")
            assert await alice.leaves() == 0


async def test_a_script_learns_that_something_was_not_said(url):
    async with chatting("gina", url, "--register") as gina:
        gina.say("to nobody")
        await gina.sees("no conversation is open")
        gina.say("/to nobody.at.all")
        await gina.sees("there is no user, and no group of yours, called nobody.at.all")
        gina.say("/nonsense")
        await gina.sees("there is no /nonsense")
        assert await gina.leaves() == 1


async def test_ctrl_c_leaves_cleanly(url):
    async with chatting("henry", url, "--register") as henry:
        await henry.sees("no conversations yet")
        henry.interrupt()
        assert await henry.leaves() == 0
        assert henry.shown == ["no conversations yet: /to NAME begins one"]


@pytest.mark.parametrize(
    ("name", "password", "arguments", "problem"),
    [
        ("ivy", "password", [], "no such user, or a wrong password: --register creates ivy"),
        ("ivy", "", [], "no password: set STONECHAT_PASSWORD"),
        ("iv", "password", ["--register"], "a username is 3 to 32 characters"),
        ("ivy", "short", ["--register"], "a password is 8 to 256 bytes"),
    ],
)
async def test_who_cannot_be_signed_in_is_told_what_to_do(url, name, password, arguments, problem):
    async with chatting(name, url, *arguments, password=password) as person:
        await person.sees(re.escape(problem))
        assert await person.leaves() == 1


async def test_a_server_that_is_not_there_is_told():
    async with chatting("alice", "http://127.0.0.1:1") as alice:
        await alice.sees("http://127.0.0.1:1: the server does not answer; is `make run` running?")
        assert await alice.leaves() == 1
