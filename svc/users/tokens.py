"""Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), and the keys that sign them.

A new key is made every 30 days. It is published for a while before it signs, so that whoever remembers the published keys
knows it by then, and published until the last token that it signed has ended.
"""

import asyncio
import json
import secrets
from collections.abc import Sequence
from itertools import pairwise

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable
from svc.kernel.identity import ALGORITHM, AUDIENCE, ISSUER
from svc.users.model import DAY_US, SECOND_US, SigningKey
from svc.users.ports import KeyStore

ROTATE_US = 30 * DAY_US
PUBLISH_AHEAD_US = 3_600 * SECOND_US
# The longest that an access token may last (settings).
KEEP_US = DAY_US
_REREAD_SECONDS = 60.0


def signing(keys: Sequence[SigningKey], now_us: int) -> SigningKey:
    """Of keys in order of age, the one that signs: the newest that was published for long enough, else the first."""
    return next((key for key in reversed(keys) if now_us - key.created_us >= PUBLISH_AHEAD_US), keys[0])


def ended(keys: Sequence[SigningKey], now_us: int) -> list[SigningKey]:
    """Of keys in order of age, those whose last tokens have ended."""
    return [key for key, successor in pairwise(keys) if now_us - successor.created_us > PUBLISH_AHEAD_US + KEEP_US]


class AccessTokens:
    """Issues access tokens that last `seconds`. Keys are read again every minute: other instances make some too.

    `issue` and `jwks` raise Unavailable only when no key could be read yet.
    """

    def __init__(self, store: KeyStore, clock: Clock, seconds: int) -> None:
        self._store = store
        self._clock = clock
        self.seconds = seconds
        self._keys: Sequence[SigningKey] = ()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def issue(self, user_id: str, device_id: str) -> str:
        """A token that says: this user, on this device, from now on."""
        now_us = self._clock.now_us()
        key = signing(await self._current(), now_us)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "device": device_id,
            "iat": now_us // SECOND_US,
            "exp": now_us // SECOND_US + self.seconds,
            "jti": secrets.token_hex(8),
        }
        private = Ed25519PrivateKey.from_private_bytes(key.private)
        return jwt.encode(claims, private, algorithm=ALGORITHM, headers={"kid": key.key_id})

    async def jwks(self) -> str:
        """The public keys of all tokens that have not ended (RFC 7517)."""
        return json.dumps({"keys": [_public(key) for key in await self._current()]})

    async def _current(self) -> Sequence[SigningKey]:
        async with self._reading:
            if self._clock.monotonic() - self._read_at >= _REREAD_SECONDS:
                try:
                    self._keys = await self._read()
                except Unavailable:
                    # Keys that were good a minute ago still are.
                    if not self._keys:
                        raise
                self._read_at = self._clock.monotonic()
        return self._keys

    async def _read(self) -> Sequence[SigningKey]:
        now_us = self._clock.now_us()
        keys = await self._store.signing_keys()
        if not keys or now_us - keys[-1].created_us >= ROTATE_US:
            private = Ed25519PrivateKey.generate().private_bytes_raw()
            since_us = now_us - ROTATE_US + 1
            await self._store.add_signing_key(SigningKey(secrets.token_hex(8), private, now_us), since_us)
            keys = await self._store.signing_keys()
        gone = {key.key_id for key in ended(keys, now_us)}
        if gone:
            await self._store.drop_signing_keys(sorted(gone))
        return [key for key in keys if key.key_id not in gone]


def _public(key: SigningKey) -> dict[str, str]:
    public = Ed25519PrivateKey.from_private_bytes(key.private).public_key()
    return OKPAlgorithm.to_jwk(public, as_dict=True) | {"kid": key.key_id, "alg": ALGORITHM, "use": "sig"}
