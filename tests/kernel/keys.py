"""Keys of accounts, and the tokens that they sign."""

import asyncio
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable
from svc.kernel.identity import ALGORITHM, AUDIENCE, ISSUER

LIFE = 900


class Keys:
    """What publishes the public keys: it may be slow, or down, and it rotates."""

    def __init__(self) -> None:
        self.private: dict[str, Ed25519PrivateKey] = {}
        self.published: list[str] = []
        self.fetched = 0
        self.down = False
        self.ready = asyncio.Event()
        self.ready.set()
        self.rotate("first")

    def rotate(self, key_id: str) -> None:
        self.private[key_id] = Ed25519PrivateKey.generate()
        self.published.append(key_id)

    async def jwks(self) -> str:
        self.fetched += 1
        await self.ready.wait()
        if self.down:
            raise Unavailable("no keys now")
        keys = [
            json.loads(jwt.get_algorithm_by_name(ALGORITHM).to_jwk(self.private[key_id].public_key())) | {"kid": key_id}
            for key_id in self.published
        ]
        return json.dumps({"keys": keys})


def token(keys: Keys, clock: Clock, key_id: str = "first", **changes: Any) -> str:
    """An access token of user u1 on the device `phone`, from now on, with other claims as given (None: without)."""
    now = clock.now_us() // 1_000_000
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "device": "phone", "iat": now, "exp": now + LIFE}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    # As bytes: the library would not sign some of the claims that are tried here.
    payload = json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload, keys.private[key_id], algorithm=ALGORITHM, headers={"kid": key_id})
