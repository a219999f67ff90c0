"""`stonechat chat`: who chats, with which server, on which screen."""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress

from stonechat_client.calls import to_address
from stonechat_client.chat.chat import Chat
from stonechat_client.chat.lines import Line, Style
from stonechat_client.chat.screens import PipeScreen, Screen, TerminalScreen
from stonechat_client.client import Client
from stonechat_client.errors import CallFailed, ClientError, InvalidRequest, NotReachable

DEFAULT_SERVER = "http://127.0.0.1:8080"
PASSWORD = "STONECHAT_PASSWORD"  # noqa: S105 - the name of a variable
_SIGN_OUT_SECONDS = 2.0
# What the contract says in patterns, for people.
_RULES = {
    "username": "a username is 3 to 32 characters of a-z 0-9 . _ -, beginning with a letter",
    "password": "a password is 8 to 256 bytes",
}


class _NoAccount(Exception):
    """Nobody could be signed in. The text says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `stonechat chat` takes."""
    parser.add_argument("--user", required=True, type=str.lower, metavar="NAME", help="your username")
    parser.add_argument("--to", default="", metavar="NAME", help="open the conversation with this user or group")
    parser.add_argument("--server", default=DEFAULT_SERVER, type=_server, help="default: %(default)s")
    parser.add_argument("--password", help=f"better in {PASSWORD}, or typed when it is asked for")
    parser.add_argument("--register", action="store_true", help="create the account when there is none")


async def run(args: argparse.Namespace) -> int:
    """Chat until the person leaves. Returns the exit code: 1 when it could not be done, or something said is lost."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    screen: Screen = TerminalScreen() if on_terminal else PipeScreen()
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None  # noqa: S101 - a coroutine runs in one
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    try:
        return await _chat(args, screen, on_terminal)
    except asyncio.CancelledError:
        return 0  # Ctrl-C is a way to leave
    except _NoAccount as error:
        problem = str(error)
    except NotReachable as error:
        problem = f"{args.server}: {error}; is `make run` running?"
    except ClientError as error:
        problem = str(error)
    screen.show(Line(problem, Style.ERROR))
    return 1


async def _chat(args: argparse.Namespace, screen: Screen, on_terminal: bool) -> int:
    async with Client(args.server) as client:
        await _sign_in(client, args, screen, on_terminal)
        try:
            async with client.connect() as session:
                return await Chat(client, session, screen, args.user).run(args.to)
        finally:
            # Each start is a device of its own: it would stay in the list of devices for ever.
            with suppress(ClientError, TimeoutError):
                async with asyncio.timeout(_SIGN_OUT_SECONDS):
                    await client.sign_out()


async def _sign_in(client: Client, args: argparse.Namespace, screen: Screen, on_terminal: bool) -> None:
    password = args.password or os.environ.get(PASSWORD)
    if not password and on_terminal:
        password = await screen.read(f"password of {args.user}: ", secret=True)
    if not password:
        raise _NoAccount(f"no password: set {PASSWORD}, or give --password")
    try:
        await client.sign_in(args.user, password, "stonechat chat")
    except CallFailed as error:
        if error.reason != "WRONG_CREDENTIALS":
            raise
        await _register(client, args, password, screen, on_terminal)
        await client.sign_in(args.user, password, "stonechat chat")


async def _register(client: Client, args: argparse.Namespace, password: str, screen: Screen, on_terminal: bool) -> None:
    if not args.register:
        if not on_terminal:
            raise _NoAccount(f"no such user, or a wrong password: --register creates {args.user}")
        answer = await screen.read(f"no such user, or a wrong password. Create the account {args.user}? [y/N] ")
        if (answer or "").strip().lower() not in {"y", "yes"}:
            raise _NoAccount("not signed in")
    try:
        await client.register(args.user, password)
    except InvalidRequest as error:
        raise _NoAccount(_RULES.get(error.field, str(error))) from error
    except CallFailed as error:
        if error.reason != "USERNAME_TAKEN":
            raise
        raise _NoAccount(f"there is a user {args.user}, and the password is wrong") from error


def _server(text: str) -> str:
    try:
        return f"http://{to_address(text)}"
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
