"""Who chats with which server: where their device is kept, and how they sign in."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stonechat_client.cache import Cache, MemoryCache
from stonechat_client.chat.known import Known
from stonechat_client.client import Client
from stonechat_client.errors import CacheUnusable, CallFailed, ClientError, InvalidRequest, NotReachable

DEVICE = "stonechat chat"
"""What the list of the user's devices shows."""
_SIGN_OUT_SECONDS = 2.0
_RESUME_SECONDS = 1.0
# What the contract says in patterns, for people.
_RULES = {
    "username": "a username is 3 to 32 characters of a-z 0-9 . _ -, beginning with a letter",
    "password": "a password is 8 to 256 bytes",
}


class NotSignedIn(Exception):
    """Nobody could be signed in. The text says what to do; `may_register` when an account of that name may be created."""

    def __init__(self, text: str, may_register: bool = False) -> None:
        super().__init__(text)
        self.may_register = may_register


@dataclass(frozen=True, slots=True)
class Account:
    """`server` is `http://host:port`. `folder` holds a file per server and user; None keeps nothing."""

    server: str
    username: str
    folder: Path | None

    @property
    def path(self) -> Path | None:
        """The file of the cache."""
        if self.folder is None:
            return None
        place = self.server.removeprefix("http://").translate(str.maketrans(":[]", "___"))
        return self.folder / place / f"{self.username}.sqlite"

    @asynccontextmanager
    async def device(self) -> AsyncIterator[Client]:
        """A client on this device. One that keeps nothing is signed out in the end: it would stay in the list of the user's
        devices for ever. Raises CacheUnusable."""
        async with Client(self.server, self.open_cache()) as client:
            try:
                yield client
            finally:
                if self.path is None and client.user_id:
                    with suppress(ClientError, TimeoutError):
                        async with asyncio.timeout(_SIGN_OUT_SECONDS):
                            await client.sign_out()

    def open_cache(self) -> Cache:
        """What the device keeps. Raises CacheUnusable."""
        if self.path is None:
            return MemoryCache()
        from stonechat_client.cache.sqlite import SqliteCache

        try:
            return SqliteCache(self.path)
        except CacheUnusable as error:
            raise CacheUnusable(f"{error} (--no-cache does without)") from error

    def open_known(self) -> Known:
        """What it remembers beside that."""
        return Known(self.path.with_suffix(".json") if self.path else None)

    async def resume(self, client: Client) -> bool:
        """Go on as the device that is kept here; False when there is none that is good. A server that lets one wait is not
        waited for: what is kept can be shown, and the session asks again."""
        try:
            async with asyncio.timeout(_RESUME_SECONDS):
                return await client.resume()
        except TimeoutError:
            return True

    async def sign_in(self, client: Client, password: str, register: bool) -> None:
        """Make the client a device of the user; `register` creates the account when there is none. Raises NotSignedIn."""
        try:
            await self._sign_in(client, password, register)
        except InvalidRequest as error:
            raise NotSignedIn(_RULES.get(error.field, str(error))) from error
        except NotReachable as error:
            raise NotSignedIn(unreachable(self.server, error)) from error
        except CallFailed as error:
            raise NotSignedIn(f"{self.server} refuses: {error}") from error

    async def _sign_in(self, client: Client, password: str, register: bool) -> None:
        try:
            await client.sign_in(self.username, password, DEVICE)
            return
        except CallFailed as error:
            if error.reason != "WRONG_CREDENTIALS":
                raise
            if not register:
                raise NotSignedIn("no such user, or a wrong password", may_register=True) from error
        try:
            await client.register(self.username, password)
        except CallFailed as error:
            if error.reason != "USERNAME_TAKEN":
                raise
            raise NotSignedIn(f"there is a user {self.username}, and the password is wrong") from error
        await client.sign_in(self.username, password, DEVICE)


def unreachable(server: str, error: NotReachable) -> str:
    """What to do when nobody answers."""
    return f"nobody answers at {server} ({error}); is `make run` running there?"


def data_folder() -> Path:
    """Where users keep such things (XDG Base Directory Specification): `$XDG_DATA_HOME`, else `~/.local/share`."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / "stonechat"
