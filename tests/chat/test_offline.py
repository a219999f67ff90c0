"""The app without its server: it shows what it has, keeps what is written, and says so. Each test has a server of its own."""

import os
import signal
from contextlib import AsyncExitStack

from stonechat_client.state import State
from tests.chat.people import at_the_app
from tests.chat.scripts import chatting
from tests.mesh.product import product


async def test_what_is_written_while_the_server_is_dead_arrives_when_it_is_back(tmp_path, alice, bob):
    async with AsyncExitStack() as stack:
        with product(tmp_path) as server:
            b = await stack.enter_async_context(at_the_app(bob, server.url))
            a = await stack.enter_async_context(at_the_app(alice, server.url, to=bob))
            await a.sees(bob)
            await a.writes("hello")
            await b.opens(alice)
            await a.has_said(("read", "hello"))
            os.killpg(server.process.pid, signal.SIGKILL)
            await a.sees("● offline")
            await a.writes("are you there?")
            await a.writes("hello?")
            await a.has_said(("read", "hello"), ("waiting", "are you there?"), ("waiting", "hello?"))
            await a.sees("2 waiting")
            await a.sees("○")
        with product(tmp_path, LISTEN=server.url):
            await a.sees("● live")
            await a.has_said(("read", "hello"), ("read", "are you there?"), ("read", "hello?"))
            await b.has_said(("", "hello"), ("", "are you there?"), ("", "hello?"))
            await a.until(lambda: not any("waiting" in row for row in a.screen), "nothing waits")


async def test_a_start_without_a_server_shows_what_is_kept(tmp_path, alice, bob):
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.mkdir()
    with product(data) as server:
        async with chatting(bob, server.url, "--register") as b:
            assert await b.leaves() == 0
        async with at_the_app(alice, server.url, folder=kept, to=bob) as a:
            await a.sees(bob)
            await a.writes("one")
            await a.has_said(("stored", "one"))
            await a.pilot.press("ctrl+q")
            await a.until(lambda: not a.app.is_running, "the app has ended")
            assert (a.app.last_words, a.app.return_code) == ([], 0)
        assert server.stop() == 0
    async with at_the_app(alice, server.url, folder=kept, password="", state=State.OFFLINE) as a:
        await a.opens(bob)
        await a.has_said(("stored", "one"))
        await a.writes("two")
        await a.has_said(("stored", "one"), ("waiting", "two"))
        await a.pilot.press("ctrl+q")
        await a.until(lambda: not a.app.is_running, "the app has ended")
        assert a.app.last_words == ["1 not sent yet: they wait here, and are sent when you start again"]
    with product(data, LISTEN=server.url):
        async with at_the_app(alice, server.url, folder=kept, password="", to=bob) as a:
            await a.has_said(("stored", "one"), ("stored", "two"))
    for file in tmp_path.glob("kept/**/*"):
        assert not file.is_file() or file.stat().st_mode & 0o077 == 0, f"others can read {file}"


async def test_what_is_refused_is_told(tmp_path, alice, bob):
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.mkdir()
    with product(data) as server:
        async with chatting(bob, server.url, "--register") as b, at_the_app(alice, server.url, folder=kept) as a:
            b.say(f"/group Birds {alice}")
            await b.sees("opened")
            await a.opens("Birds")
            await a.until(lambda: a.notes, "the group is there")
        server.stop()
    async with at_the_app(alice, server.url, folder=kept, password="", to="Birds", state=State.OFFLINE) as a:
        await a.until(lambda: a.app.chat.room, "the group is open")
        await a.writes("too late")
        await a.has_said(("waiting", "too late"))
    with product(data, LISTEN=server.url):
        async with chatting(bob, server.url, "--to", "Birds") as b:
            b.say(f"/remove {alice}")
            await b.sees("membership", left=[alice])
            assert await b.leaves() == 0
        async with at_the_app(alice, server.url, folder=kept, password="") as a:
            await a.sees("not sent")
            await a.until(lambda: not a.app.chat.waiting(), "nothing waits")
            assert a.listed == []
