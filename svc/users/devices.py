"""Devices: signing in, staying signed in, signing out."""

from collections.abc import Sequence

from svc.kernel.clock import Clock
from svc.kernel.errors import DeviceRevoked, NotFound, RefreshTokenInvalid
from svc.kernel.ids import SnowflakeGenerator
from svc.users.accounts import Accounts
from svc.users.model import DEVICE_KEPT_US, SIGNED_IN_US, Device, DevicePlace, TokenPair
from svc.users.ports import DeviceStore
from svc.users.refresh import RefreshToken, RefreshTokens, Verdict, begin, judge, renewed
from svc.users.tokens import AccessTokens


class Devices:
    """Every method raises Unavailable when the store cannot answer."""

    def __init__(
        self,
        store: DeviceStore,
        accounts: Accounts,
        access: AccessTokens,
        refresh: RefreshTokens,
        ids: SnowflakeGenerator,
        clock: Clock,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._access = access
        self._refresh = refresh
        self._ids = ids
        self._clock = clock

    async def sign_in(self, username: str, password: str, name: str) -> TokenPair:
        """Make a device for whoever knows the password. Raises what `Accounts.prove` raises."""
        user = await self._accounts.prove(username, password)
        now_us = self._clock.now_us()
        device = Device(f"v{self._ids.next()}", user.user_id, name, now_us, now_us)
        token = self._refresh.first(device.device_id)
        await self._store.add(device, begin(token, now_us), now_us - DEVICE_KEPT_US)
        return await self._pair(device, token)

    async def refresh(self, text: str) -> TokenPair:
        """Exchange a refresh token for its successor; a repeat within 60 s gets the same one.

        Raises RefreshTokenInvalid (after signing the device out, when the token was exchanged before: two have it, one of
        them stole it) or DeviceRevoked.
        """
        token = self._refresh.read(text)
        successor = self._refresh.successor(token)
        async with self._store.locked(token.device_id) as locked:
            if locked is None:
                raise RefreshTokenInvalid("the refresh token is not valid: sign in", field="refresh_token")
            if locked.device.signed_out:
                raise DeviceRevoked("the device was signed out: sign in")
            now_us = self._clock.now_us()
            verdict = judge(locked.refresh, token, now_us)
            if verdict is Verdict.RENEW:
                await locked.renew(renewed(locked.refresh, successor, now_us))
            elif verdict is Verdict.THEFT:
                await locked.sign_out()
        if verdict is Verdict.THEFT:
            raise RefreshTokenInvalid(
                "the refresh token was used before, so somebody else may have it: the device was signed out, sign in",
                field="refresh_token",
            )
        if verdict is Verdict.VOID:
            raise RefreshTokenInvalid("the refresh token has ended: sign in", field="refresh_token")
        return await self._pair(locked.device, successor)

    async def sign_out(self, user_id: str, device_id: str) -> None:
        """Sign a device of the user out, and have its streams end. A repeat changes nothing. Raises NotFound."""
        async with self._store.locked(device_id) as locked:
            if locked is None or locked.device.user_id != user_id:
                raise NotFound("there is no such device")
            if not locked.device.signed_out:
                await locked.sign_out()

    async def page(self, user_id: str, before: DevicePlace | None, size: int) -> tuple[list[Device], bool]:
        """Up to `size` of the devices that the user is signed in on, newest first, and whether there are more."""
        since_us = self._clock.now_us() - SIGNED_IN_US
        found = list(await self._store.newest(user_id, before, since_us, size + 1))
        return found[:size], len(found) > size

    async def active(self, owned: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (user, device), at most 1,000, whether the device is one of the user's and signed in."""
        now_us = self._clock.now_us()
        found = await self._store.devices(list({device_id for _, device_id in owned}))
        active = {(device.user_id, device.device_id) for device in found if device.active(now_us)}
        return [each in active for each in owned]

    async def _pair(self, device: Device, token: RefreshToken) -> TokenPair:
        access = await self._access.issue(device.user_id, device.device_id)
        return TokenPair(device.user_id, device.device_id, access, self._access.seconds, self._refresh.write(token))
