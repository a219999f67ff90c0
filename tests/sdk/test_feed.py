"""Items in order; what belongs to an item is written down when the program is done with it."""

import asyncio

import pytest

from stonechat_client.feed import Feed


async def test_it_is_written_down_when_the_next_item_is_asked_for():
    feed, written = Feed(10), []
    for name in ("one", "two"):
        feed.push(name)
        feed.after(lambda name=name: written.append(name))
    assert await anext(feed) == "one"
    assert written == []
    assert await anext(feed) == "two"
    assert written == ["one"]
    feed.done()
    assert written == ["one", "two"]


async def test_with_nothing_before_it_is_written_down_at_once():
    feed, written = Feed(10), []
    feed.after(lambda: written.append("now"))
    assert written == ["now"]


async def test_it_waits_for_the_item_that_the_program_is_busy_with():
    feed, written = Feed(10), []
    feed.push("one")
    assert await anext(feed) == "one"
    feed.after(lambda: written.append("after one"))
    assert written == []
    waiting = asyncio.create_task(anext(feed))
    await asyncio.sleep(0)
    assert written == ["after one"]
    feed.push("two")
    assert await waiting == "two"


async def test_what_cannot_be_written_down_is_the_programs_to_know():
    feed = Feed(10)

    def full():
        raise OSError("the disk is full")

    feed.push("one")
    feed.after(full)
    feed.push("two")
    assert await anext(feed) == "one"
    with pytest.raises(OSError, match="full"):
        await anext(feed)
    with pytest.raises(OSError, match="full"):
        await anext(feed)


async def test_after_the_end_nothing_is_put_in_and_nothing_written_down():
    feed, written = Feed(10), []
    feed.push("one")
    feed.end(EOFError("the end"))
    feed.push("two")
    feed.after(lambda: written.append("two"))
    assert await anext(feed) == "one"
    with pytest.raises(EOFError, match="the end"):
        await anext(feed)
    assert written == []
