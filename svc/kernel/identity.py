"""Who calls: access tokens are JWTs signed with EdDSA (RFC 8037), checked here by every service.

Claims: iss `stonechat`, aud `stonechat`, sub = user id, device = device id, exp, iat. The public keys come from the users
service; an unknown key id makes the verifier ask again, at most every few seconds.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import jwt

from svc.kernel.clock import Clock
from svc.kernel.errors import TokenExpired, Unauthenticated

ISSUER = "stonechat"
AUDIENCE = "stonechat"
ALGORITHM = "EdDSA"
MAX_TOKEN_BYTES = 4096
_REFETCH_SECONDS = 5.0
_CACHED_TOKENS = 20_000

KeySource = Callable[[], Awaitable[str]]
"""Returns the newest JWKS document (RFC 7517)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user on a device, proved until `expires_at` (seconds since 1970)."""

    user_id: str
    device_id: str
    expires_at: float


class TokenVerifier:
    """Checks access tokens; remembers good ones until they end (bounded)."""

    def __init__(self, keys: KeySource, clock: Clock) -> None:
        self._fetch = keys
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._good: OrderedDict[str, Identity] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """The identity that a token proves. Raises TokenExpired or Unauthenticated."""
        now = self._clock.now_us() / 1e6
        known = self._good.get(token)
        if known is None:
            known = await self._check(token)
            self._good[token] = known
            if len(self._good) > _CACHED_TOKENS:
                self._good.popitem(last=False)
        if known.expires_at <= now:
            self._good.pop(token, None)
            raise TokenExpired("the access token has expired: refresh it")
        return known

    async def _check(self, token: str) -> Identity:
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("the access token is too long")
        try:
            key_id = jwt.get_unverified_header(token).get("kid", "")
            key = await self._key(str(key_id))
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
            )
            return Identity(str(claims["sub"]), str(claims["device"]), float(claims["exp"]))
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise Unauthenticated("the access token is not valid: sign in") from None

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            # Who comes while the keys are fetched waits for them: they may hold the one that is wanted.
            async with self._fetching:
                if key_id not in self._keys and self._clock.monotonic() - self._fetched_at >= _REFETCH_SECONDS:
                    document = json.loads(await self._fetch())
                    self._keys = {key["kid"]: jwt.PyJWK(key, algorithm=ALGORITHM) for key in document["keys"]}
                    self._fetched_at = self._clock.monotonic()
        if key_id not in self._keys:
            raise Unauthenticated("the access token is not valid: sign in")
        return self._keys[key_id]


def bearer(authorization: str) -> str:
    """The token of an `authorization` header. Raises Unauthenticated."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send `authorization: Bearer <access token>`")
    return token.strip()
