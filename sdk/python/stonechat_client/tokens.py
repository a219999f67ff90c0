"""The tokens of one signed-in device: which access token is good now, and one refresh at a time."""

import asyncio
from collections.abc import Awaitable, Callable

from stonechat.users.v1.user_service_pb2 import RefreshTokenResponse, SignInResponse
from stonechat_client.cache import Device
from stonechat_client.errors import CallFailed, SignedOut

Pair = SignInResponse | RefreshTokenResponse
Refresh = Callable[[str], Awaitable[RefreshTokenResponse]]
"""Exchanges a refresh token for the next pair."""

# An access token is replaced when so much of its life has passed.
_WORN = 0.75


class Tokens:
    """Access tokens as calls need them. Raises SignedOut once the refresh token is no longer taken."""

    def __init__(self, refresh: Refresh, keep: Callable[[Device], None]) -> None:
        self._refresh = refresh
        self._keep = keep
        self._lock = asyncio.Lock()
        self._pair: Pair = SignInResponse()
        self._worn_at = 0.0

    def take(self, pair: Pair) -> None:
        """Use this pair from now on."""
        self._pair = pair
        self._worn_at = asyncio.get_running_loop().time() + pair.expires_in * _WORN
        self._keep(Device(pair.user_id, pair.device_id, pair.refresh_token))

    def restore(self, device: Device) -> None:
        """Go on as this device; the first call gets an access token."""
        self._pair = RefreshTokenResponse(
            user_id=device.user_id, device_id=device.device_id, refresh_token=device.refresh_token
        )
        self._worn_at = 0.0

    @property
    def user_id(self) -> str:
        """Who is signed in; empty when nobody is."""
        return self._pair.user_id

    @property
    def device_id(self) -> str:
        """The device that is signed in."""
        return self._pair.device_id

    async def access(self) -> str:
        """An access token that will last a while yet."""
        if self.seconds_left() > 0:
            return self._pair.access_token
        return await self.renewed(self._pair.access_token)

    async def renewed(self, token: str) -> str:
        """A newer access token than this one. Several who ask at the same time get the same."""
        async with self._lock:
            if self._pair.access_token == token:
                if not self._pair.refresh_token:
                    raise SignedOut("UNAUTHENTICATED", "", "nobody is signed in: sign in first")
                try:
                    self.take(await self._refresh(self._pair.refresh_token))
                except CallFailed as error:
                    if error.code != "UNAUTHENTICATED":
                        raise
                    raise SignedOut(error.code, error.reason, str(error)) from error
            return self._pair.access_token

    def seconds_left(self) -> float:
        """Seconds until the access token should be replaced."""
        return self._worn_at - asyncio.get_running_loop().time()
