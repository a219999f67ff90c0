"""Refresh tokens: one use each, forgiving to a client that lost an answer, unforgiving to a thief.

A token is `<device id>.<generation>.<secret>.<seal>`. The first secret is random, each next one is derived from the one before
with the service's key: so a repeat gets the same successor although only a hash of the newest secret is kept, and a copy of
the tables alone proves nothing. The seal is a code of the rest with the same key: it tells a token that was ours from one that
somebody made up, however old it is, without a row for each token that ever was.
Rotation and its answer to theft: RFC 9700, section 4.14.2.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import Enum

from svc.kernel.errors import RefreshTokenInvalid
from svc.users.model import SECOND_US, SIGNED_IN_US

REPEAT_US = 60 * SECOND_US
"""How long an exchanged token still gets the successor that it got."""

_SECRET_BYTES = 32
_SEAL_BYTES = 16
_MAX_GENERATION = 1 << 53
# Of a device that refreshes more often than every second only so many exchanges can be repeated.
_MAX_EXCHANGES = 60


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token that was ours: its seal fits."""

    device_id: str
    generation: int
    secret: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """What is kept of the secret. It has 256 random bits, so that a plain hash is enough."""
        return hashlib.sha256(self.secret).digest()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A generation's token was exchanged at a time (µs since 1970)."""

    generation: int
    at_us: int


@dataclass(frozen=True, slots=True)
class RefreshState:
    """The newest token of a device, and the exchanges that may still be repeated."""

    generation: int
    digest: bytes
    used_us: int
    exchanges: tuple[Exchange, ...] = ()


class Verdict(Enum):
    """What a token is good for."""

    RENEW = "it is the newest: exchange it"
    REPEAT = "it was exchanged a moment ago: its successor again"
    THEFT = "it was exchanged before: two have it"
    VOID = "it ended, or is not what the tables know"


def begin(token: RefreshToken, now_us: int) -> RefreshState:
    """The state of a device that just got its first token."""
    return RefreshState(token.generation, token.digest, now_us)


def judge(state: RefreshState, token: RefreshToken, now_us: int) -> Verdict:
    """What the device's token is good for now."""
    if now_us - state.used_us > SIGNED_IN_US or token.generation > state.generation:
        return Verdict.VOID
    if token.generation == state.generation:
        return Verdict.RENEW if hmac.compare_digest(token.digest, state.digest) else Verdict.VOID
    if any(done.generation == token.generation and _repeatable(done, now_us) for done in state.exchanges):
        return Verdict.REPEAT
    return Verdict.THEFT


def renewed(state: RefreshState, successor: RefreshToken, now_us: int) -> RefreshState:
    """The state after the newest token was exchanged for its successor."""
    kept = [done for done in state.exchanges if _repeatable(done, now_us)][1 - _MAX_EXCHANGES :]
    exchanges = (*kept, Exchange(state.generation, now_us))
    return RefreshState(successor.generation, successor.digest, now_us, exchanges)


def _repeatable(done: Exchange, now_us: int) -> bool:
    return now_us - done.at_us <= REPEAT_US


class RefreshTokens:
    """Makes tokens and reads them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def first(self, device_id: str) -> RefreshToken:
        """The first token of a device."""
        return RefreshToken(device_id, 1, secrets.token_bytes(_SECRET_BYTES))

    def successor(self, token: RefreshToken) -> RefreshToken:
        """What a token is exchanged for: always the same."""
        return RefreshToken(token.device_id, token.generation + 1, self._code("next", token))

    def write(self, token: RefreshToken) -> str:
        """The token as the client gets it: at most 110 characters."""
        return f"{token.device_id}.{token.generation}.{_text(token.secret)}.{_text(self._seal(token))}"

    def read(self, text: str) -> RefreshToken:
        """The token that a client sent. Raises RefreshTokenInvalid when it was never ours."""
        try:
            device_id, generation, secret, _ = text.split(".")
            number = int(generation)
            if not 0 < number < _MAX_GENERATION:
                raise ValueError
            token = RefreshToken(device_id, number, _bytes(secret))
            # The whole text: a token has one spelling.
            if not hmac.compare_digest(self.write(token).encode(), text.encode()):
                raise ValueError
        except (ValueError, binascii.Error):
            raise RefreshTokenInvalid("the refresh token is not valid: sign in", field="refresh_token") from None
        return token

    def _seal(self, token: RefreshToken) -> bytes:
        return self._code("seal", token)[:_SEAL_BYTES]

    def _code(self, purpose: str, token: RefreshToken) -> bytes:
        content = f"{purpose}.{token.device_id}.{token.generation}.".encode() + token.secret
        return hmac.digest(self._key, content, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
