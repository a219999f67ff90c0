"""The two screens: lines in, lines out, and how they end."""

import asyncio
import io
import os

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from stonechat_client.chat.lines import Line, Style
from stonechat_client.chat.screens import PipeScreen, TerminalScreen


@pytest.fixture
def shown():
    return io.StringIO()


@pytest.fixture
def keys(shown):
    output = Vt100_Output(shown, lambda: Size(rows=24, columns=80))
    with create_pipe_input() as opened, create_app_session(input=opened, output=output):
        yield opened


async def test_a_terminal_reads_lines_until_it_is_left(keys):
    screen, typed = TerminalScreen(), []
    screen.on_typing(typed.append)
    screen.status("alice · connected")
    keys.send_text("hi\r")
    assert await screen.read("> ") == "hi"
    assert typed[:2] == ["h", "hi"]
    for leave in ("\x04", "\x03"):
        keys.send_text(leave)
        assert await screen.read("> ") is None


async def test_a_terminal_reads_a_password(keys):
    screen = TerminalScreen()
    keys.send_text("secret\r")
    assert await screen.read("password: ", secret=True) == "secret"


async def test_a_terminal_shows_lines_while_somebody_types(keys, shown):
    screen, begun = TerminalScreen(), asyncio.Event()
    screen.on_typing(lambda text: begun.set())
    reading = asyncio.create_task(screen.read("> "))
    keys.send_text("hel")
    await begun.wait()
    screen.status("alice · connected")
    screen.show(Line("bob: hi", Style.MESSAGE))
    keys.send_text("lo\r")
    assert await reading == "hello"
    assert "bob: hi" in shown.getvalue()


async def test_a_pipe_reads_lines_until_it_ends():
    reading, writing = os.pipe()
    screen = PipeScreen(reading)
    os.write(writing, "hällo\nhalf".encode())
    assert await screen.read("") == "hällo"
    os.write(writing, b" and half")
    os.close(writing)
    assert [await screen.read(""), await screen.read("")] == ["half and half", None]
    os.close(reading)


def test_a_pipe_gets_what_was_said_and_errors_apart(capsys):
    screen = PipeScreen()
    screen.show(Line("bob: hi", Style.MESSAGE))
    screen.show(Line("that did not work", Style.ERROR))
    screen.status("not shown")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("bob: hi\n", "that did not work\n")
