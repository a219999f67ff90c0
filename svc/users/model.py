"""What the users service knows, and the rules about one thing. Times are µs since 1970, UTC."""

from dataclasses import dataclass, field

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US

REGISTRATION_REPEAT_US = DAY_US
"""How long a repeat of a registration is known as one."""

SIGNED_IN_US = 30 * DAY_US
"""How long a device stays signed in after its refresh token was last used."""

DEVICE_KEPT_US = 2 * SIGNED_IN_US
"""How long after that use a device is remembered at all."""


@dataclass(frozen=True, slots=True)
class User:
    """What everybody may see of a user."""

    user_id: str
    username: str
    display_name: str
    created_us: int


@dataclass(frozen=True, slots=True)
class Account:
    """A user and what proves one. `client_request_id` is that of the registration; empty when the client gave none."""

    user: User
    password_hash: str = field(repr=False)
    client_request_id: str = ""

    def may_repeat(self, client_request_id: str, now_us: int) -> bool:
        """Whether a registration under the same name and this id may be the one that made this account, repeated."""
        recent = now_us - self.user.created_us <= REGISTRATION_REPEAT_US
        return recent and client_request_id != "" and client_request_id == self.client_request_id


@dataclass(frozen=True, slots=True, order=True)
class DevicePlace:
    """Where a device stands among those of its user: the greatest is the newest."""

    created_us: int
    device_id: str


@dataclass(frozen=True, slots=True)
class Device:
    """One place where a user is, or was, signed in. `refreshed_us` is when its refresh token was last used or given."""

    device_id: str
    user_id: str
    name: str
    created_us: int
    refreshed_us: int
    signed_out: bool = False

    @property
    def place(self) -> DevicePlace:
        """Where it stands among those of its user."""
        return DevicePlace(self.created_us, self.device_id)

    def active(self, now_us: int) -> bool:
        """Whether it is signed in."""
        return not self.signed_out and now_us - self.refreshed_us <= SIGNED_IN_US


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a device gets. `expires_in` is how long the access token lasts, in seconds."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key that signs access tokens. `private` are its 32 raw bytes."""

    key_id: str
    private: bytes = field(repr=False)
    created_us: int
