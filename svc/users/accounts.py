"""Accounts: making them, proving them, showing them."""

from collections.abc import Sequence

from svc.kernel.clock import Clock
from svc.kernel.errors import NotFound, UsernameTaken, WrongCredentials
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.limits import Rate, RateLimiter
from svc.users.model import Account, User
from svc.users.passwords import Passwords
from svc.users.ports import AccountStore

# Against guessing: who types wrong has twenty attempts, who guesses has 8,640 a day for one name.
_GUESSES = Rate(per_second=0.1, burst=20)


class Accounts:
    """Every method raises Unavailable when the store cannot answer."""

    def __init__(
        self, store: AccountStore, passwords: Passwords, limiter: RateLimiter, ids: SnowflakeGenerator, clock: Clock
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._limiter = limiter
        self._ids = ids
        self._clock = clock

    async def register(self, username: str, password: str, display_name: str, client_request_id: str) -> User:
        """Make an account. Raises UsernameTaken, unless this repeats the registration that took the name."""
        existing = await self._store.named(username)
        if existing is None:
            password_hash = await self._passwords.hash(password)
            user = User(f"u{self._ids.next()}", username, display_name or username, self._clock.now_us())
            if await self._store.add(Account(user, password_hash, client_request_id)):
                return user
            existing = await self._store.named(username)
        if existing is not None and existing.may_repeat(client_request_id, self._clock.now_us()):
            # As often as anybody may guess: otherwise this would be a way to try passwords.
            self._limiter.take(f"name {username}", "Register", _GUESSES)
            if await self._passwords.fits(password, existing.password_hash):
                return existing.user
        raise UsernameTaken(f"the username {username} is in use: choose another", field="username")

    async def prove(self, username: str, password: str) -> User:
        """Whose username and password these are. Raises WrongCredentials, alike and after the same work whether the name
        or the password is wrong, and RateLimited when a name was tried too often."""
        self._limiter.take(f"name {username}", "SignIn", _GUESSES)
        account = await self._store.named(username)
        kept = None if account is None else account.password_hash
        if not await self._passwords.fits(password, kept) or account is None:
            raise WrongCredentials("username and password do not fit together")
        if self._passwords.outdated(account.password_hash):
            new = await self._passwords.hash(password)
            await self._store.replace_hash(account.user.user_id, account.password_hash, new)
        return account.user

    async def get(self, user_id: str) -> User:
        """The user with this id. Raises NotFound."""
        return _found(await self._store.user(user_id))

    async def find(self, username: str) -> User:
        """The user with this username. Raises NotFound."""
        account = await self._store.named(username)
        return _found(None if account is None else account.user)

    async def rename(self, user_id: str, display_name: str) -> User:
        """The user, shown under another name from now on. Raises NotFound."""
        return _found(await self._store.rename(user_id, display_name))

    async def known(self, user_ids: Sequence[str]) -> list[str]:
        """Those of the ids that are users, each once, in the order given."""
        known = await self._store.known(user_ids)
        return [user_id for user_id in dict.fromkeys(user_ids) if user_id in known]


def _found(user: User | None) -> User:
    if user is None:
        raise NotFound("there is no such user")
    return user
