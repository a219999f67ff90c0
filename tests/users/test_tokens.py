"""Access tokens: everybody can check them, and keys change without anybody noticing."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
import pytest

from stonechat.users.v1 import user_service_pb2 as pb
from svc.kernel.errors import Unauthenticated
from svc.users.model import DAY_US, SECOND_US, SigningKey
from svc.users.tokens import KEEP_US, PUBLISH_AHEAD_US, ended, signing
from tests.fakes import FakeClock, MemoryLog
from tests.users.surface import Surface, open_surface

DAY = 86_400


async def published(surface: Surface) -> list[dict[str, str]]:
    body = await surface.call("GetJwks", pb.GetJwksRequest())
    assert body.content_type == "application/json"
    keys: list[dict[str, str]] = json.loads(body.data)["keys"]
    return keys


def key_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_anybody_can_check_a_token_with_the_published_key(surface: Surface) -> None:
    """With nothing but RFC 7517 and RFC 7519; nothing private is published."""
    signed_in = await surface.somebody()
    (key,) = await published(surface)
    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}
    claims = jwt.decode(
        signed_in.access_token,
        jwt.PyJWK(key).key,
        algorithms=["EdDSA"],
        audience="stonechat",
        issuer="stonechat",
        options={"verify_exp": False, "verify_iat": False},
    )
    now = surface.clock.us // SECOND_US
    assert claims.pop("jti")
    assert claims == {
        "iss": "stonechat",
        "aud": "stonechat",
        "sub": signed_in.user_id,
        "device": signed_in.device_id,
        "iat": now,
        "exp": now + 900,
    }


async def test_a_token_of_somebody_elses_key_is_refused(tmp_path: Path, clock: FakeClock, log: MemoryLog) -> None:
    """Two installations do not know each other's users."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    async with (
        open_surface(tmp_path / "one", clock, log) as one,
        open_surface(tmp_path / "other", clock, log) as other,
    ):
        token = (await one.somebody()).access_token
        assert await one.identity(token)
        with pytest.raises(Unauthenticated):
            await other.identity(token)


async def test_a_new_key_is_published_before_it_signs(surface: Surface) -> None:
    """Whoever remembers the published keys for a while refuses no token, and old tokens stay good until they end."""
    (first,) = await published(surface)
    surface.clock.advance(30 * DAY)
    old = await surface.somebody()
    assert key_of(old.access_token) == first["kid"]
    assert {key["kid"] for key in await published(surface)} > {first["kid"]}
    surface.clock.advance(3_600)
    new = await surface.somebody()
    second = key_of(new.access_token)
    assert second != first["kid"]
    assert {key["kid"] for key in await published(surface)} == {first["kid"], second}
    assert (await surface.identity(new.access_token)).user_id == new.user_id
    surface.clock.advance(DAY + 61)
    assert [key["kid"] for key in await published(surface)] == [second]


async def test_instances_share_their_keys(tmp_path: Path, clock: FakeClock, log: MemoryLog, mysql: str) -> None:
    """What one instance signs the other one publishes, and what one gives the other one refreshes."""
    async with (
        open_surface(tmp_path, clock, log, mysql=mysql) as one,
        open_surface(tmp_path, clock, log, mysql=mysql) as other,
    ):
        signed_in = await one.somebody()
        assert (await other.identity(signed_in.access_token)).user_id == signed_in.user_id
        assert (await other.refresh(signed_in.refresh_token)).device_id == signed_in.device_id


async def test_instances_that_start_at_once_agree_on_their_keys(
    tmp_path: Path, clock: FakeClock, log: MemoryLog, mysql: str
) -> None:
    """One key for access tokens and one for refresh tokens, whoever was first; later the next, the same for all."""
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(open_surface(tmp_path, clock, log, mysql=mysql)) for _ in range(4)]
        # A file belongs to one process, and it is made by one: there only the first use comes at once.
        surfaces = await asyncio.gather(*opening) if mysql else [await each for each in opening]
        found = await asyncio.gather(*(published(surface) for surface in surfaces for _ in range(3)))
        assert len(found[0]) == 1
        assert all(keys == found[0] for keys in found)
        signed_in = await surfaces[0].somebody()
        for surface in surfaces:
            assert (await surface.identity(signed_in.access_token)).user_id == signed_in.user_id
            assert (await surface.refresh(signed_in.refresh_token)).device_id == signed_in.device_id
        clock.advance(30 * DAY)
        found = await asyncio.gather(*(published(surface) for surface in surfaces))
        assert len(found[0]) == 2
        assert all(keys == found[0] for keys in found)


def test_every_key_is_published_for_as_long_as_its_tokens_last() -> None:
    """Whatever the time, the key that signs is published, and is still published a token's life later."""
    keys = [SigningKey(f"k{number}", bytes(32), number * 30 * DAY_US) for number in range(4)]
    for hour in range(120 * 24):
        now_us = hour * 3_600 * SECOND_US
        made = [key for key in keys if key.created_us <= now_us]
        signer = signing(made, now_us)
        later = [key for key in keys if key.created_us <= now_us + KEEP_US]
        assert signer not in ended(made, now_us)
        assert signer not in ended(later, now_us + KEEP_US)
        assert signer is made[0] or now_us - signer.created_us >= PUBLISH_AHEAD_US
