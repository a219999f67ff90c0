"""What the rules need from outside.

Every method raises `Unavailable` when the other side cannot answer now; what was asked for then did not happen, or its
outcome is unknown. Every change is written so that asking again is safe.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from svc.users.model import Account, Device, DevicePlace, SigningKey, User
from svc.users.refresh import RefreshState


class AccountStore(Protocol):
    """Accounts. No two have the same user id or the same username, ever."""

    async def add(self, account: Account) -> bool:
        """Store a new account. False when its username is in use: then nothing was stored."""
        ...

    async def named(self, username: str) -> Account | None:
        """The account with this username."""
        ...

    async def user(self, user_id: str) -> User | None:
        """The user with this id."""
        ...

    async def known(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the ids that are users. At most 1,000 at a time."""
        ...

    async def rename(self, user_id: str, display_name: str) -> User | None:
        """Change the display name; the user after it, or None when there is none."""
        ...

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        """Change the password hash if it still is `old`."""
        ...


class LockedDevice(Protocol):
    """A device that nobody else changes meanwhile."""

    @property
    def device(self) -> Device:
        """The device as it was when it was locked."""
        ...

    @property
    def refresh(self) -> RefreshState:
        """The state of its refresh token, then."""
        ...

    async def renew(self, refresh: RefreshState) -> None:
        """Store what its refresh token has become."""
        ...

    async def sign_out(self) -> None:
        """Mark it signed out, and have its user's inbox told: both once the block ends well, neither if it does not."""
        ...


class DeviceStore(Protocol):
    """Devices and the state of their refresh tokens."""

    async def add(self, device: Device, refresh: RefreshState, forget_before_us: int) -> None:
        """Store a new device; forget those of the same user that were last refreshed before `forget_before_us`."""
        ...

    async def devices(self, device_ids: Sequence[str]) -> Sequence[Device]:
        """Those of the devices that there are. At most 1,000 at a time."""
        ...

    async def newest(
        self, user_id: str, before: DevicePlace | None, refreshed_since_us: int, limit: int
    ) -> Sequence[Device]:
        """Up to `limit` of a user's devices that are not signed out and were refreshed at `refreshed_since_us` or later,
        the newest first; from the start, or those behind `before`."""
        ...

    def locked(self, device_id: str) -> AbstractAsyncContextManager[LockedDevice | None]:
        """The device, locked until the block ends, or None. An error in the block undoes all of it."""
        ...


class KeyStore(Protocol):
    """The secrets of the service, the same for all its instances."""

    async def signing_keys(self) -> Sequence[SigningKey]:
        """All of them, the oldest first, by (created_us, key_id)."""
        ...

    async def add_signing_key(self, key: SigningKey, since_us: int) -> None:
        """Store a new one, unless one was made at `since_us` or later: of instances that find that it is time, one does it."""
        ...

    async def drop_signing_keys(self, key_ids: Sequence[str]) -> None:
        """Forget some. Unknown ones are ignored."""
        ...

    async def refresh_key(self, candidate: bytes) -> bytes:
        """The key of refresh tokens; `candidate` becomes it, for ever, when there is none yet. 32 bytes."""
        ...
