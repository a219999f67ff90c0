"""`stonechat chat`: who chats, with which server, on a terminal or in a pipe. Each imports what it needs when it is run."""

import argparse
import asyncio
import os
import re
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stonechat_client.chat.account import Account

DEFAULT_SERVER = "http://127.0.0.1:8080"
PASSWORD = "STONECHAT_PASSWORD"  # noqa: S105 - the name of a variable
_USERNAME = re.compile(r"[a-z][a-z0-9._-]{2,31}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `stonechat chat` takes."""
    parser.add_argument("--user", required=True, type=_username, metavar="NAME", help="your username")
    parser.add_argument("--to", default="", metavar="NAME", help="open the conversation with this user or group")
    parser.add_argument("--server", default=DEFAULT_SERVER, type=_server, help="default: %(default)s")
    parser.add_argument("--password", help=f"better in {PASSWORD}, or typed when it is asked for")
    parser.add_argument("--register", action="store_true", help="create the account when there is none")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="lines in, one JSON object a line out; so it is anyway when stdin or stdout is no terminal",
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="keep nothing on this machine: this device is signed out at the end"
    )
    parser.add_argument(
        "--sign-out", action="store_true", help="sign this device out, delete what it keeps here, and leave"
    )


async def run(args: argparse.Namespace) -> int:
    """Chat until the person leaves. Returns the exit code: 1 when it could not be done, or something said is not stored."""
    from stonechat_client.chat.account import Account, NotSignedIn, data_folder, unreachable
    from stonechat_client.errors import ClientError, NotReachable, SignedOut

    account = Account(args.server, args.user, None if args.no_cache else data_folder())
    try:
        if args.sign_out:
            return await _sign_out(account)
        if args.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return await _in_a_pipe(account, args)
        return await _on_a_terminal(account, args)
    except NotSignedIn as error:
        problem = str(error)
    except SignedOut as error:
        problem = f"this device is signed out ({error}): start again, and sign in with your password"
    except NotReachable as error:
        problem = unreachable(args.server, error)
    except (ClientError, OSError) as error:
        problem = str(error)
    print(f"stonechat: {problem}", file=sys.stderr)  # noqa: T201
    return 1


async def _on_a_terminal(account: "Account", args: argparse.Namespace) -> int:
    from stonechat_client.chat.app.app import ChatApp

    app = ChatApp(account, to=args.to, password=args.password or os.environ.get(PASSWORD, ""), register=args.register)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, app.leave)
    await app.run_async()
    for line in app.last_words:
        print(line, file=sys.stderr)  # noqa: T201
    return app.return_code or 0


async def _in_a_pipe(account: "Account", args: argparse.Namespace) -> int:
    from stonechat_client.chat.account import NotSignedIn
    from stonechat_client.chat.plain.program import Plain

    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None  # noqa: S101 - a coroutine runs in one
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    try:
        async with account.device() as client:
            if not await account.resume(client):
                password = args.password or os.environ.get(PASSWORD)
                if not password:
                    raise NotSignedIn(f"no password: set {PASSWORD}, or give --password")
                try:
                    await account.sign_in(client, password, args.register)
                except NotSignedIn as error:
                    hint = f": --register creates {account.username}" if error.may_register else ""
                    raise NotSignedIn(f"{error}{hint}") from error
            async with client.connect() as session:
                return await Plain(client, session, account.open_known(), account.username).run(args.to)
    except asyncio.CancelledError:
        return 0  # Ctrl-C is a way to leave
    except BrokenPipeError:
        # Nobody reads any more. What Python writes at its end must not complain about that again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


async def _sign_out(account: "Account") -> int:
    from stonechat_client.chat.account import NotSignedIn
    from stonechat_client.client import Client

    if account.path is None or not account.path.exists():
        raise NotSignedIn(f"{account.username} is not signed in here")
    async with Client(account.server, account.open_cache()) as client:
        if waiting := len(client.cache.queued()):
            raise NotSignedIn(
                f"{waiting} messages wait to be sent: start the chat to send them, or delete {account.path}"
            )
        if await client.resume():
            await client.sign_out()
    for suffix in (".sqlite", ".sqlite-wal", ".sqlite-shm", ".json"):
        account.path.with_suffix(suffix).unlink(missing_ok=True)
    print(f"{account.username} is signed out here", file=sys.stderr)  # noqa: T201
    return 0


def _username(text: str) -> str:
    if not _USERNAME.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError("a username is 3 to 32 characters of a-z 0-9 . _ -, beginning with a letter")
    return text.lower()


def _server(text: str) -> str:
    from stonechat_client.calls import to_address

    try:
        return f"http://{to_address(text)}"
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
