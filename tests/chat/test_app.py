"""`stonechat chat` on a terminal, two and three people at a time, in front of the whole product."""

from contextlib import AsyncExitStack

from textual.events import Paste

from stonechat_client import Client
from stonechat_client.chat.app.messages import NoteRow
from stonechat_client.state import State
from tests.chat.people import PASSWORD, at_the_app
from tests.chat.scripts import chatting
from tests.chat.test_plain import documented

STORED, READ, WAITING = "stored", "read", "waiting"


async def registered(url, *names):
    """People who are not there now."""
    async with Client(url) as client:
        for name in names:
            await client.register(name, PASSWORD)


async def test_two_people_talk(server, alice, bob):
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(at_the_app(bob, server.url))
        a = await stack.enter_async_context(at_the_app(alice, server.url, to=bob))
        await a.sees(bob)
        await a.writes("hello bob")
        await a.has_said((STORED, "hello bob"))
        await a.writes("are you there?")
        await b.until(lambda: [row.unread for row in b.listed] == [2], "two are unread")
        assert (b.listed[0].title, b.listed[0].last) == (alice, "are you there?")

        await b.opens(alice)
        await b.has_said(("", "hello bob"), ("", "are you there?"))
        await b.until(lambda: b.listed[0].unread == 0, "nothing is unread")
        await a.has_said((READ, "hello bob"), (READ, "are you there?"))

        await b.pilot.press(*"I am")
        await a.sees(f"{bob} is typing …")
        await b.pilot.press("enter")
        await a.has_said(("", "I am"))
        await a.until(lambda: not any("typing" in row for row in a.screen), "nobody types")
        await b.has_said((READ, "I am"))
        await a.sees("✓✓")


async def test_a_group_from_its_first_day(server, alice, bob, carol):
    async with AsyncExitStack() as stack:
        await registered(server.url, carol)
        b = await stack.enter_async_context(at_the_app(bob, server.url))
        a = await stack.enter_async_context(at_the_app(alice, server.url))
        await a.asks("New group")
        await a.fills_in("Bird [b]watchers[/b]", f"{bob}, {carol}")
        await a.sees("Bird [b]watchers[/b]")
        await a.until(lambda: any("you created the group" in note for note in a.notes), "the group is there")
        await a.writes("who has seen the stonechat?")
        await b.opens("Bird [b]watchers[/b]")
        await b.has_said(("", "who has seen the stonechat?"))
        await b.until(
            lambda: (
                any(f"{alice} created the group Bird [b]watchers[/b], added you, {carol}" in note for note in b.notes)
                or any(f"added {carol}, you" in note for note in b.notes)
            ),
            "who is in it",
        )
        await b.writes("I have")
        await a.has_said((READ, "who has seen the stonechat?"), ("", "I have"))
        await a.asks("Members")
        await a.sees("3 members")
        await a.pilot.press("escape")

        await a.asks("Remove a member")
        await a.chooses(carol)
        await b.until(lambda: any(f"{alice} removed {carol}" in note for note in b.notes), "carol was removed")
        await b.asks("Leave this group")
        await b.chooses("Leave")
        await a.until(lambda: any(f"{bob} left" in note for note in a.notes), "bob has left")
        await b.until(lambda: b.listed == [], "the group is gone from the list")
        await b.sees("opens a conversation")


async def test_a_message_is_changed_with_the_mouse_and_the_keys(server, alice, bob):
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(at_the_app(bob, server.url))
        a = await stack.enter_async_context(at_the_app(alice, server.url, to=bob))
        await a.sees(bob)
        await a.writes("helo bob")
        await a.has_said((STORED, "helo bob"))
        await b.sees(alice)
        await b.pilot.click("#sidebar", offset=(5, 1))
        await b.has_said(("", "helo bob"))

        await b.opens_the_actions_of_a_message()
        await b.chooses("React")
        await b.chooses("🎉")
        await a.until(lambda: a.rows[0].entry.reactions == (("🎉", 1, False),), "bob has reacted")
        await a.sees("🎉 1")

        await a.opens_the_actions_of_a_message()
        await a.chooses("Edit")
        await a.until(lambda: a.composer.text == "helo bob", "the text is there to be edited")
        await a.writes("hello bob")
        await b.has_said(("", "hello bob"))
        await b.sees("(edited)")

        await b.pilot.press("escape")
        await b.until(lambda: b.app.focused is b.rows[-1], "the message has the focus")
        await b.pilot.press("e")
        await b.sees("only one's own messages can be changed")

        await a.pilot.press("escape", "w")
        await b.until(lambda: b.rows[0].entry.message.withdrawn, "it was withdrawn")
        await b.sees("withdrawn")
        assert not any("hello bob" in row for row in b.screen)


def shown(person):
    """Every row of the open conversation, as text."""
    return [str(row.visual) if isinstance(row, NoteRow) else row.entry.body for row in person.view.children]


async def test_where_the_new_begins_is_shown(server, alice, bob, carol):
    async with AsyncExitStack() as stack:
        await registered(server.url, carol)
        b = await stack.enter_async_context(at_the_app(bob, server.url))
        a = await stack.enter_async_context(at_the_app(alice, server.url, to=bob))
        await a.sees(bob)
        await a.writes("one")
        await b.opens(alice)
        await b.has_said(("", "one"))
        await a.writes("two")
        await b.has_said(("", "one"), ("", "two"))
        assert shown(b) == ["Today", "new", "one", "two"]  # bob has seen the second one come
        await b.writes(f"/to {carol}")
        await b.until(lambda: b.rows == [], "the other conversation is open")
        await a.writes("three")
        await a.writes("four")
        await b.until(lambda: [row.unread for row in b.listed if row.title == alice] == [2], "two are unread")
        await b.opens(alice)
        await b.has_said(("", "three"), ("", "four"))
        assert shown(b) == ["Today", "one", "two", "new", "three", "four"]


async def test_a_script_is_told_that_somebody_types(server, alice, bob):
    async with chatting(bob, server.url, "--register") as b, at_the_app(alice, server.url, to=bob) as a:
        await a.sees(bob)
        await a.writes("hello")
        await b.sees("message", content="hello")
        await a.pilot.press(*"hm")
        assert set(await b.sees("typing", title=alice, sender=alice)) == {"event", *documented()["typing"]}


async def test_what_is_older_comes_when_one_scrolls(server, alice, bob):
    await registered(server.url, bob)
    async with Client(server.url) as client:
        await client.register(alice, PASSWORD)
        await client.sign_in(alice, PASSWORD)
        to = (await client.find_user(bob)).user_id
        for number in range(260):
            await client.send(to, f"message {number}")
    async with at_the_app(bob, server.url) as b:
        await b.until(lambda: [row.unread for row in b.listed] == [260], "all are unread")
        await b.opens(alice)
        await b.has_said(("", "message 259"))
        assert len(b.rows) <= 100
        await b.until(lambda: b.view.max_scroll_y > 0 and b.view.at_end, "the end is in sight")
        for count in (200, 260):
            top = b.rows[0].entry.body
            b.view.scroll_home(animate=False)
            await b.until(lambda: len(b.rows) >= count, "older messages come")  # noqa: B023 - it is used here and now
            await b.sees(top)  # what was being read has not moved away
        assert [row.entry.body for row in b.rows] == [f"message {number}" for number in range(260)]


async def test_the_palette_opens_what_is_there_and_begins_what_is_not(server, alice, bob, carol):
    await registered(server.url, bob, carol)
    async with at_the_app(alice, server.url) as a:
        await a.asks(bob, choose=f"conversation with {bob}")
        await a.sees(bob)
        await a.writes("one")
        await a.has_said((STORED, "one"))
        await a.asks("New conversation")
        await a.fills_in(carol)
        await a.writes("two")
        await a.has_said((STORED, "two"))
        assert [row.title for row in a.listed] == [carol, bob]
        await a.asks(f"Open {bob}")
        await a.has_said((STORED, "one"))
        await a.asks("Show the numbers")
        await a.sees("#1")
        await a.asks("Hide the numbers")
        await a.until(lambda: not any("#1" in row for row in a.screen), "the numbers are gone")
        await a.asks("Copy the id")
        await a.sees("copied the id of the message")
        assert a.app.clipboard == a.rows[-1].entry.message.message_id
        await a.asks("Theme")
        await a.sees("nord")
        await a.pilot.press("escape")
        await a.asks("Help")
        await a.sees("Ctrl-K")
        await a.pilot.press("escape", "ctrl+k")
        await a.sees("Search")
        await a.pilot.press("escape")
        await a.writes("/to nobody.at.all")
        await a.sees("there is no user, and no group")
        await a.writes("/edit one more")
        await a.has_said((STORED, "one more"))


async def test_text_of_others_is_shown_and_never_obeyed(server, alice, bob):
    nasty = "[red]x[/red] [@click=app.quit]bye[/] [/] \x1b[2J\x1b]0;title\x07 \u202egnihton \\[b] 👩‍👩‍👧 漢字"
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(at_the_app(bob, server.url))
        a = await stack.enter_async_context(at_the_app(alice, server.url, to=bob))
        await a.sees(bob)
        await a.writes(nasty)
        await a.has_said((STORED, nasty.translate({0x1B: 0xFFFD, 7: 0xFFFD, 0x202E: 0xFFFD})))
        await b.opens(alice)
        await b.sees("[red]x[/red] [@click=app.quit]bye[/] [/]")
        seen = "".join(b.screen)
        assert not {"\x1b", "\x07", "\u202e"} & set(seen)
        assert "漢字" in seen
        await b.pilot.press("ctrl+k")
        await b.sees("Copy the id")
        await b.pilot.press("escape")
        await b.pilot.click("MessageRow", offset=(16, 1))
        await b.chooses("Copy its text")
        await b.sees("copied the text")
        assert b.app.is_running
        assert b.app.clipboard == nasty


async def test_a_narrow_terminal_shows_one_thing_at_a_time(server, alice, bob):
    await registered(server.url, bob)
    async with at_the_app(alice, server.url, to=bob, size=(60, 20)) as a:
        await a.sees(bob)
        await a.writes("a text that is longer than what has room in one row of so narrow a terminal")
        await a.sees("narrow a terminal")
        sidebar = a.app.query_one("#sidebar")
        assert not sidebar.display or sidebar.size.width == 0
        await a.pilot.press("ctrl+b")
        await a.until(lambda: sidebar.size.width == 60, "the list has the whole width")
        await a.pilot.press("enter")
        await a.until(lambda: a.composer.has_focus and a.view.size.width > 50, "back at the conversation")
        await a.pilot.resize_terminal(120, 30)
        await a.until(lambda: sidebar.size.width > 0 and a.view.size.width > 60, "both are in sight")


async def test_one_writes_several_rows_and_finds_them_again(server, alice, bob):
    await registered(server.url, bob)
    async with at_the_app(alice, server.url, to=bob) as a:
        await a.sees(bob)
        await a.pilot.press(*"one", "ctrl+j", *"two", "enter")
        await a.has_said((STORED, "one\ntwo"))
        a.app.post_message(Paste("red\ngreen\nblue"))
        await a.until(lambda: a.composer.text == "red\ngreen\nblue", "it was pasted, and not sent")
        await a.pilot.press("enter")
        await a.has_said((STORED, "red\ngreen\nblue"))
        await a.pilot.press(*"half", "up")
        assert a.composer.text == "red\ngreen\nblue"
        await a.pilot.press("down", "down", "down")
        assert a.composer.text == "half"


async def test_who_is_not_signed_in_is_asked(server, alice):
    async with at_the_app(alice, server.url, password="", register=False, state=None) as a:
        await a.sees(f"Sign in as {alice}")
        await a.fills_in("")
        await a.sees("type your password first")
        await a.fills_in("pass")
        await a.sees("no such user, or a wrong password")
        await a.pilot.click("#register")
        await a.sees("a password is 8 to 256 bytes")
        await a.fills_in("good password")
        await a.sees("no such user, or a wrong password")
        assert not any("good password" in row for row in a.screen)
        await a.pilot.click("#register")
        await a.is_in_state(State.LIVE)
    async with at_the_app(alice, server.url, password="bad password", register=True, state=None) as a:
        await a.sees(f"there is a user {alice}, and the")
        await a.fills_in("good password")
        await a.is_in_state(State.LIVE)


async def test_a_server_that_is_not_there_is_told_and_can_be_tried_again(alice):
    async with at_the_app(alice, "http://127.0.0.1:1", state=None) as a:
        await a.sees("is `make run` running there?")
        await a.fills_in("password")
        await a.sees("nobody answers at http://127.0.0.1:1")


async def test_a_device_that_was_signed_out_elsewhere_says_so(server, alice, tmp_path):
    async with at_the_app(alice, server.url, folder=tmp_path) as a:
        await a.app.chat.client.sign_out()
        await a.sees("this device was signed out")
        await a.fills_in(PASSWORD)
        await a.is_in_state(State.LIVE)
