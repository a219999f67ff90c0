"""Refresh tokens: one use each, a minute of grace, and no use for a thief."""

import asyncio
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.kernel.errors import DeviceRevoked, RefreshTokenInvalid
from svc.users.model import SECOND_US
from svc.users.refresh import RefreshTokens, Verdict, begin, judge, renewed
from tests.users.surface import Surface

DAY = 86_400


async def test_a_refresh_token_gets_the_next_pair(surface: Surface) -> None:
    """For the same user and device, again and again."""
    first = await surface.somebody()
    token, seen = first.refresh_token, {first.refresh_token}
    for _ in range(5):
        surface.clock.advance(600)
        pair = await surface.refresh(token)
        assert (pair.user_id, pair.device_id, pair.expires_in) == (first.user_id, first.device_id, 900)
        identity = await surface.identity(pair.access_token)
        assert (identity.user_id, identity.device_id) == (first.user_id, first.device_id)
        token = pair.refresh_token
        seen.add(token)
    assert len(seen) == 6


async def test_a_repeat_within_a_minute_gets_the_same_successor(surface: Surface) -> None:
    """Also when the successor was used meanwhile: a client that lost an answer is no thief."""
    first = await surface.somebody()
    second = await surface.refresh(first.refresh_token)
    surface.clock.advance(30)
    assert (await surface.refresh(first.refresh_token)).refresh_token == second.refresh_token
    third = await surface.refresh(second.refresh_token)
    surface.clock.advance(30)
    assert (await surface.refresh(first.refresh_token)).refresh_token == second.refresh_token
    assert (await surface.refresh(second.refresh_token)).refresh_token == third.refresh_token
    assert await surface.active(first)


async def test_many_repeats_at_once_get_the_same_successor(surface: Surface) -> None:
    """Each exchange is whole: nobody's token is lost to a race."""
    first = await surface.somebody()
    pairs = await asyncio.gather(*(surface.refresh(first.refresh_token) for _ in range(10)))
    assert len({pair.refresh_token for pair in pairs}) == 1
    assert (await surface.refresh(pairs[0].refresh_token)).device_id == first.device_id


async def test_a_later_use_is_theft_and_signs_the_device_out(surface: Surface) -> None:
    """Neither of the two who have the token goes on; the streams of the device are told to end."""
    first = await surface.somebody()
    second = await surface.refresh(first.refresh_token)
    surface.clock.advance(61)
    with pytest.raises(RefreshTokenInvalid) as refused:
        await surface.refresh(first.refresh_token)
    assert refused.value.field == "refresh_token"
    assert not await surface.active(first)
    for token in (first.refresh_token, second.refresh_token):
        with pytest.raises(DeviceRevoked):
            await surface.refresh(token)
    entries = await surface.log.holds(1)
    assert [entry.key for entry in entries] == [f"inbox.{first.user_id}"]


async def test_other_devices_do_not_suffer(surface: Surface) -> None:
    """A theft ends one device, not the account."""
    await surface.register("alice")
    stolen, other = await surface.sign_in("alice"), await surface.sign_in("alice")
    await surface.refresh(stolen.refresh_token)
    surface.clock.advance(61)
    with pytest.raises(RefreshTokenInvalid):
        await surface.refresh(stolen.refresh_token)
    assert await surface.active(other)
    assert (await surface.refresh(other.refresh_token)).device_id == other.device_id


async def test_it_lasts_thirty_days_from_its_last_use(surface: Surface) -> None:
    """Whoever comes back in time stays signed in for ever; whoever does not signs in again."""
    signed_in = await surface.somebody()
    token = signed_in.refresh_token
    for _ in range(3):
        surface.clock.advance(30 * DAY)
        token = (await surface.refresh(token)).refresh_token
    surface.clock.advance(30 * DAY + 1)
    assert not await surface.active(signed_in)
    with pytest.raises(RefreshTokenInvalid):
        await surface.refresh(token)


async def test_what_was_never_ours_is_refused(surface: Surface) -> None:
    """And does nothing to the device that it names."""
    signed_in = await surface.somebody()
    device, generation, secret, seal = signed_in.refresh_token.split(".")
    other = (await surface.somebody()).device_id
    for forged in (
        "x",
        "....",
        signed_in.access_token[:500],
        f"{device}.0.{secret}.{seal}",
        f"{device}.{int(generation) + 1}.{secret}.{seal}",
        f"{device}.٣.{secret}.{seal}",
        f"{device}.0{generation}.{secret}.{seal}",
        f"{other}.{generation}.{secret}.{seal}",
        f"{device}.{generation}.{secret}=.{seal}",
        f"{device}.{generation}.{secret[:-4]}.{seal}",
        f"{device}.{generation}.{secret}.{seal[::-1]}",
        f"v1.{generation}.{secret}.{seal}",
        "\0" * 20,
    ):
        with pytest.raises(RefreshTokenInvalid):
            await surface.refresh(forged)
    assert await surface.active(signed_in)
    assert (await surface.refresh(signed_in.refresh_token)).device_id == device


@given(st.text(max_size=120) | st.text(alphabet=string.ascii_letters + string.digits + "._-=", max_size=120))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever a client sends, it is a token of ours or it is refused."""
    with pytest.raises(RefreshTokenInvalid):
        RefreshTokens(bytes(32)).read(text)


def test_a_token_reads_back_as_what_was_written() -> None:
    """And with another key it does not."""
    tokens = RefreshTokens(bytes(32))
    token = tokens.successor(tokens.first("v123"))
    assert tokens.read(tokens.write(token)) == token
    assert len(tokens.write(token)) <= 512
    with pytest.raises(RefreshTokenInvalid):
        RefreshTokens(b"\1" * 32).read(tokens.write(token))


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5)), max_size=40))
def test_each_token_is_renewed_once_repeated_for_a_minute_and_then_theft(steps: list[tuple[int, int]]) -> None:
    """Tokens of any age in any order, at any time: judged by what happened to each, remembered here in full."""
    tokens = RefreshTokens(bytes(32))
    issued = [tokens.first("v1")]
    exchanged_at: dict[int, int] = {}
    now = 1_750_000_000
    state = begin(issued[0], now * SECOND_US)
    for seconds, age in steps:
        now += seconds
        index = max(0, len(issued) - 1 - age)
        token = issued[index]
        verdict = judge(state, token, now * SECOND_US)
        if index not in exchanged_at:
            assert verdict is Verdict.RENEW
            exchanged_at[index] = now
            issued.append(tokens.successor(token))
            state = renewed(state, issued[-1], now * SECOND_US)
        elif now - exchanged_at[index] <= 60:
            assert verdict is Verdict.REPEAT
            assert tokens.successor(token) == issued[index + 1]
        else:
            assert verdict is Verdict.THEFT
