"""`stonechat chat --plain` as scripts use it: a process, in front of the whole product, Envoy included."""

import dataclasses
import re
import subprocess
import sys
import typing
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import stonechat_client.chat.plain as package
from stonechat_client.chat.plain import events
from tests.chat.scripts import PASSWORD, Script, chatting
from tests.mesh.product import product

DOCUMENT = Path(package.__file__).parent / "plain.md"
_ROW = re.compile(r"^\| `(\w+)` \| (`[^|]*`) \| ", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    """The keys of every event, as plain.md lists them."""
    return {name: re.findall(r"`(\w+)`", keys) for name, keys in _ROW.findall(DOCUMENT.read_text())}


def test_every_event_and_key_is_documented():
    written = {
        events.name(kind): [field.name for field in dataclasses.fields(kind)]
        for kind in typing.get_args(events.PlainEvent)
    }
    assert documented() == written


def as_documented(*scripts: Script) -> set[str]:
    """The kinds of events that scripts were told, once each is seen to have the documented keys."""
    came = [dict(event) for script in scripts for event in script.told]
    assert [list(event) for event in came] == [["event", *documented()[event["event"]]] for event in came]
    return {event["event"] for event in came}


async def test_two_scripts_talk(server, alice, bob):
    async with AsyncExitStack() as chats:
        b = await chats.enter_async_context(chatting(bob, server.url, "--register"))
        a = await chats.enter_async_context(chatting(alice, server.url, "--register", "--to", bob))
        opened = await a.sees("opened", title=bob)
        a.say("hello [bold]bob[/bold] \x1b[2J")
        sent = await a.sees("sent", seq=1, conversation=opened["conversation"])
        came = await b.sees("message", seq=1, title=alice, sender=alice, own=False, id=sent["id"])
        assert (came["content"], came["message_id"]) == ("hello [bold]bob[/bold] \x1b[2J", sent["message_id"])
        assert came["time"] == sent["time"]
        assert [told["own"] for told in a.seen("message", seq=1)] in ([], [True])

        b.say({"to": alice, "content": "two\nrows", "id": "k1"})
        assert (await b.sees("sent", id="k1"))["seq"] == 2
        assert (await a.sees("message", seq=2, sender=bob))["content"] == "two\nrows"
        b.say({"to": alice, "content": "two\nrows", "id": "k1"})
        assert (await b.sees("sent", id="k1"))["seq"] == 2

        b.say({"to": alice, "content": "something else", "id": "k1"})
        assert (await b.sees("refused", id="k1"))["text"]

        await b.sees("read", sender=alice, own=False)
        a.say("/edit #1 hello, bob!")
        assert (await b.sees("edit", message_id=sent["message_id"]))["content"] == "hello, bob!"
        b.say(f"/to {alice}")
        await b.sees("opened", title=alice)
        b.say("/react 👍")
        assert (await a.sees("reaction", removed=False))["emoji"] == "👍"
        b.say("/react 👍")
        await a.sees("reaction", emoji="👍", removed=True)
        a.say("/withdraw #1")
        await b.sees("withdrawal", message_id=sent["message_id"], sender=alice)
        a.say("/list")
        assert (await a.sees("listed", title=bob))["unread"] == 0
        assert [await a.leaves(), await b.leaves()] == [0, 1]
        assert a.complaints == b.complaints == ""
        came = as_documented(a, b)
    assert came >= {"message", "edit", "withdrawal", "reaction", "sent", "refused"}


async def test_a_group_from_its_first_member_to_its_last(server, alice, bob, carol):
    async with AsyncExitStack() as chats:
        b = await chats.enter_async_context(chatting(bob, server.url, "--register"))
        c = await chats.enter_async_context(chatting(carol, server.url, "--register"))
        a = await chats.enter_async_context(chatting(alice, server.url, "--register"))
        a.say(f'/group "Bird watchers" {bob}')
        group = (await a.sees("opened", title="Bird watchers"))["conversation"]
        await b.sees("joined", conversation=group)
        made = await b.sees("membership", conversation=group, name="Bird watchers")
        assert {alice, bob} == set(made["joined"])
        a.say(f"/add {carol}")
        await c.sees("joined", title="Bird watchers")
        b.say("/to bird watchers")
        await b.sees("opened", conversation=group)
        for number in range(130):
            b.say(f"message {number}")
        b.say("/members")
        assert set((await b.sees("members"))["members"]) == {alice, bob, carol}
        await a.sees("message", content="message 129")
        c.say("/to bird watchers")
        await c.sees("opened", conversation=group)
        c.say("/history")
        old = await c.sees("history")
        assert (old["sender"], old["edited"], old["withdrawn"], old["reactions"]) == (bob, False, False, {})
        c.say("/history")
        c.say("/history")
        await c.sees("history", content="message 29")  # the last of the oldest page
        texts = [event["content"] for event in c.seen("history")]
        assert sorted(texts) == sorted(f"message {number}" for number in range(130))
        assert (texts[0], texts[50], texts[100]) == ("message 80", "message 30", "message 0")
        c.say("/list")
        await c.sees("listed", conversation=group, unread=0)
        a.say(f"/remove {carol}")
        await c.sees("left", conversation=group)
        b.say("/leave")
        assert (await a.sees("membership", left=[bob]))["sender"] == bob
        a.say({"to": bob, "content": "x" * 20_000})
        await a.sees("error", line=4)
        assert [await a.leaves(), await b.leaves(), await c.leaves()] == [1, 0, 0]
        came = as_documented(a, b, c)
    assert came >= {"joined", "left", "membership", "members", "history", "listed", "opened", "error", "read", "state"}


async def test_what_was_said_is_there_the_next_time(server, tmp_path, alice, bob):
    """A device is kept: it needs no password again, and is told once of what came while it was away."""
    async with chatting(bob, server.url, "--register", cache=str(tmp_path)) as b:
        assert await b.leaves() == 0
    async with chatting(alice, server.url, "--register", "--to", bob) as a:
        for number in range(25):
            a.say(f"message {number}")
        assert await a.leaves() == 0
        assert [event["seq"] for event in a.seen("sent")] == list(range(1, 26))
    async with chatting(bob, server.url, cache=str(tmp_path), password="", first="") as b:
        await b.sees("message", seq=25)
        assert [event["content"] for event in b.seen("message")] == [f"message {number}" for number in range(25)]
        assert await b.leaves() == 0
    async with chatting(bob, server.url, cache=str(tmp_path), password="") as b:
        b.say("/list")
        assert (await b.sees("listed", title=alice))["unread"] == 25
        assert await b.leaves() == 0
        assert b.seen("message") == []
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or file.stat().st_mode & 0o077 == 0, f"others can read {file}"
    async with chatting(bob, server.url, "--sign-out", cache=str(tmp_path), password="", first="") as b:
        assert await b.leaves() == 0
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


async def test_what_is_said_while_the_server_is_away_arrives_once(tmp_path, alice, bob):
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.mkdir()
    with product(data) as running:
        async with chatting(bob, running.url, "--register") as b:
            assert await b.leaves() == 0
        async with chatting(alice, running.url, "--register", "--to", bob, cache=str(kept)) as a:
            await a.sees("opened")
            assert running.stop() == 0
            await a.sees("state", state="offline")
            a.say({"content": "are you there?", "id": "k1"})
            assert await a.leaves() == 1
            assert "1 not acknowledged" in a.complaints
        with product(data, LISTEN=running.url) as again:
            async with chatting(alice, again.url, "--to", bob, cache=str(kept), first="") as a:
                assert (await a.sees("sent", id="k1"))["seq"] == 1
                assert await a.leaves() == 0
            async with chatting(bob, again.url, "--to", alice) as b:
                b.say("/list")
                assert (await b.sees("listed"))["last_seq"] == 1


async def test_a_script_learns_that_something_was_not_said(server, alice):
    async with chatting(alice, server.url, "--register") as a:
        for line, text in (
            ("to nobody", "no conversation is open"),
            ("/to nobody.at.all", "there is no user, and no group of yours, called nobody.at.all"),
            ("/nonsense", "there is no /nonsense"),
            ('{"to": "bob"}', "expected {"),
            ({"to": alice, "content": "hm"}, "that is you"),
        ):
            a.say(line)
            assert text in (await a.sees("error"))["text"]
        assert [event["line"] for event in a.seen("error")] == [1, 2, 3, 4, 5]
        assert await a.leaves() == 1


async def test_ctrl_c_leaves_cleanly(server, alice):
    async with chatting(alice, server.url, "--register") as a:
        a.interrupt()
        assert (await a.leaves(), a.complaints) == (0, "")


async def test_a_second_program_on_one_device_is_told_so(server, tmp_path, alice):
    kept = str(tmp_path)
    async with (
        chatting(alice, server.url, "--register", cache=kept),
        chatting(alice, server.url, cache=kept, first="") as second,
    ):
        assert await second.leaves() == 1
        assert "--no-cache" in second.complaints


@pytest.mark.parametrize(
    ("password", "arguments", "problem"),
    [
        (PASSWORD, [], "no such user, or a wrong password: --register creates"),
        ("", [], "no password: set STONECHAT_PASSWORD"),
        ("short", ["--register"], "a password is 8 to 256 bytes"),
    ],
)
async def test_who_cannot_be_signed_in_is_told_what_to_do(server, alice, password, arguments, problem):
    async with chatting(alice, server.url, *arguments, password=password, first="") as a:
        assert await a.leaves() == 1
        assert problem in a.complaints


async def test_a_server_that_is_not_there_is_told(alice):
    async with chatting(alice, "http://127.0.0.1:1", first="") as a:
        assert await a.leaves() == 1
        assert a.complaints == (
            "stonechat: nobody answers at http://127.0.0.1:1 (the server does not answer); is `make run` running there?\n"
        )


@pytest.mark.parametrize("name", ["ab", "../etc", "a/b", "1abc"])
def test_a_name_that_is_none_is_refused_before_anything_is_made_of_it(name):
    done = subprocess.run(
        [sys.executable, "-m", "svc", "chat", "--user", name, "--plain"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "a username is 3 to 32 characters" in done.stderr
