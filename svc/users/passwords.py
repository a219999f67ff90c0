"""Passwords: argon2id (RFC 9106), on two threads so that the event loop never waits and memory stays bounded."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

from svc.kernel.errors import RateLimited

T = TypeVar("T")

_AT_ONCE = 2
_MAX_WAITING = 100


class Passwords:
    """Hashes and checks, two at a time. All methods that take a password raise RateLimited when too many wait.

    `cost` is that of the settings: `normal` takes 64 MiB and some 50 ms of two cores, `low` nothing.
    """

    def __init__(self, cost: str) -> None:
        if cost == "low":
            self._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        else:
            self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """A hash to keep, with its salt and parameters (PHC string)."""
        return await self._run(lambda: self._hasher.hash(_canonical(password)))

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether a kept hash is of this password. None is nobody's: never, after the same work."""

        def check() -> bool:
            try:
                self._hasher.verify(kept or self._nobodys, _canonical(password))
            except VerifyMismatchError:
                return False
            return kept is not None

        return await self._run(check)

    def outdated(self, kept: str) -> bool:
        """Whether a kept hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Stop the threads; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MAX_WAITING:
            raise RateLimited("too many passwords are being checked: come back in a second", retry_after=1.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _canonical(password: str) -> bytes:
    # One letter may be typed as different code points on different keyboards (RFC 8265, OpaqueString).
    return unicodedata.normalize("NFC", password).encode()
