"""A token proves who calls, or is refused; keys may rotate at any time."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest

from svc.kernel import identity
from svc.kernel.errors import TokenExpired, Unauthenticated, Unavailable
from svc.kernel.identity import AUDIENCE, ISSUER, MAX_TOKEN_BYTES, Identity, TokenVerifier, bearer
from tests.fakes import FakeClock
from tests.kernel.keys import LIFE, Keys, token


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.us = time.time_ns() // 1000
    return clock


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def verifier(keys: Keys, clock: FakeClock) -> TokenVerifier:
    return TokenVerifier(keys.jwks, clock)


async def test_a_token_proves_user_and_device_until_it_ends(verifier: TokenVerifier, keys: Keys, clock: FakeClock):
    """Then it is expired, though it was good a moment ago, and stays so."""
    good = token(keys, clock)
    assert await verifier.verify(good) == Identity("u1", "phone", clock.us // 1_000_000 + LIFE)
    clock.advance(LIFE - 1)
    assert (await verifier.verify(good)).user_id == "u1"
    clock.advance(1)
    for _ in range(2):
        with pytest.raises(TokenExpired):
            await verifier.verify(good)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "other"},
        {"aud": None},
        {"iss": None},
        {"sub": None},
        {"device": None},
        {"exp": None},
        {"iat": None},
        {"exp": "never"},
    ],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_not_ours(
    changes: dict[str, Any], verifier: TokenVerifier, keys: Keys, clock: FakeClock
):
    """Each claim is needed and checked; the answer does not say which was wrong."""
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token(keys, clock, **changes))
    assert type(caught.value) is Unauthenticated
    assert caught.value.message == "the access token is not valid: sign in"


async def test_a_token_of_a_foreign_key_is_refused(verifier: TokenVerifier, keys: Keys, clock: FakeClock):
    """Even when it names one of ours."""
    foreign = Keys()
    with pytest.raises(Unauthenticated):
        await verifier.verify(token(foreign, clock))
    assert (await verifier.verify(token(keys, clock))).user_id == "u1"


async def test_a_token_without_a_signature_is_refused(verifier: TokenVerifier, keys: Keys, clock: FakeClock):
    """`alg: none`, and a public key taken for a shared secret."""
    now = clock.us // 1_000_000
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "device": "phone", "iat": now, "exp": now + LIFE}
    shared = json.loads(await keys.jwks())["keys"][0]["x"]
    for made in (
        jwt.encode(claims, None, algorithm="none", headers={"kid": "first"}),
        jwt.encode(claims, shared.ljust(64, "."), algorithm="HS256", headers={"kid": "first"}),
    ):
        with pytest.raises(Unauthenticated):
            await verifier.verify(made)


@pytest.mark.parametrize(
    "text", ["", "a", "a.b.c", "....", "é.é.é", "a" * (MAX_TOKEN_BYTES + 1)], ids=lambda text: text[:6]
)
async def test_text_that_is_no_token_is_refused(text: str, verifier: TokenVerifier):
    """However long or odd."""
    with pytest.raises(Unauthenticated):
        await verifier.verify(text)


async def test_a_changed_token_is_refused(verifier: TokenVerifier, keys: Keys, clock: FakeClock):
    """One letter of the claims or of the signature."""
    good = token(keys, clock)
    await verifier.verify(good)
    head, claims, signature = good.split(".")
    other = token(keys, clock, sub="u2").split(".")[1]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for changed in (f"{head}.{other}.{signature}", f"{head}.{claims}.{flipped}"):
        with pytest.raises(Unauthenticated):
            await verifier.verify(changed)


async def test_a_new_key_is_fetched_when_a_token_names_it(verifier: TokenVerifier, keys: Keys, clock: FakeClock):
    """Rotation costs nobody a refusal, once the keys may be asked for again."""
    await verifier.verify(token(keys, clock))
    keys.rotate("second")
    clock.advance(6)
    assert (await verifier.verify(token(keys, clock, "second"))).user_id == "u1"
    assert (await verifier.verify(token(keys, clock, "first"))).user_id == "u1"


async def test_unknown_keys_do_not_make_us_ask_all_the_time(verifier: TokenVerifier, keys: Keys, clock: FakeClock):
    """A flood of made-up key ids is a flood of refusals, and of one question in five seconds."""
    foreign = Keys()
    for number in range(50):
        foreign.rotate(f"made up {number}")
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(foreign, clock, f"made up {number}"))
    assert keys.fetched == 1
    clock.advance(5)
    with pytest.raises(Unauthenticated):
        await verifier.verify(token(foreign, clock, "made up 1"))
    assert keys.fetched == 2


async def test_all_who_come_before_the_first_keys_are_checked_by_them(
    verifier: TokenVerifier, keys: Keys, clock: FakeClock
):
    """Nobody is refused because another call asks for the keys already."""
    keys.ready.clear()
    calls = [asyncio.create_task(verifier.verify(token(keys, clock, sub=f"u{number}"))) for number in range(1, 5)]
    for _ in range(5):
        await asyncio.sleep(0)
    keys.ready.set()
    assert [found.user_id for found in await asyncio.gather(*calls)] == ["u1", "u2", "u3", "u4"]
    assert keys.fetched == 1


async def test_keys_that_cannot_be_had_are_asked_for_again_at_once(
    verifier: TokenVerifier, keys: Keys, clock: FakeClock
):
    """Until then the answer is Unavailable: the caller may repeat."""
    keys.down = True
    with pytest.raises(Unavailable):
        await verifier.verify(token(keys, clock))
    keys.down = False
    assert (await verifier.verify(token(keys, clock))).user_id == "u1"


async def test_a_cancelled_call_does_not_keep_the_keys_from_others(
    verifier: TokenVerifier, keys: Keys, clock: FakeClock
):
    """Whoever waits behind it asks for them."""
    keys.ready.clear()
    first = asyncio.create_task(verifier.verify(token(keys, clock)))
    second = asyncio.create_task(verifier.verify(token(keys, clock)))
    for _ in range(5):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    keys.ready.set()
    assert (await second).user_id == "u1"


async def test_what_is_remembered_is_bounded(
    verifier: TokenVerifier, keys: Keys, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    """However many tokens there are; bad ones are not remembered at all."""
    monkeypatch.setattr(identity, "_CACHED_TOKENS", 10)
    for number in range(1, 40):
        assert (await verifier.verify(token(keys, clock, sub=f"u{number}"))).user_id == f"u{number}"
        with pytest.raises(Unauthenticated):
            await verifier.verify(f"bad {number}")
    assert len(verifier._good) == 10


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_the_token_of_a_header(header: str):
    """The scheme is read as RFC 9110 says: whatever its case."""
    assert bearer(header) == "abc"


@pytest.mark.parametrize("header", ["", "abc", "Basic abc", "Bearer", "Bearer "])
def test_another_header_proves_nothing(header: str):
    """The text says what to send."""
    with pytest.raises(Unauthenticated, match="authorization: Bearer"):
        bearer(header)
