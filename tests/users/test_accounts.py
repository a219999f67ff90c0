"""Accounts: a name belongs to one user for ever, and only the password proves it."""

import asyncio
from pathlib import Path

import pytest

from stonechat.users.v1 import directory_service_pb2 as directory
from stonechat.users.v1 import user_service_pb2 as pb
from svc.backends import sql_sqlite
from svc.kernel.errors import (
    NotFound,
    PermissionDenied,
    RateLimited,
    StartError,
    Unauthenticated,
    Unavailable,
    UsernameTaken,
    WrongCredentials,
)
from svc.kernel.ids import is_user_id
from tests.fakes import FakeClock, MemoryLog
from tests.users.surface import PASSWORD, Surface, open_surface

DAY = 86_400


async def test_a_registered_user_can_be_found(surface: Surface) -> None:
    """By id and by name, with what everybody may see."""
    user_id = await surface.register("alice", display_name="Alice Å.")
    asking = (await surface.somebody()).access_token
    assert is_user_id(user_id)
    by_id = (await surface.call("GetUser", pb.GetUserRequest(user_id=user_id), asking)).user
    by_name = (await surface.call("FindUser", pb.FindUserRequest(username="alice"), asking)).user
    assert by_id == by_name
    assert (by_id.user_id, by_id.username, by_id.display_name) == (user_id, "alice", "Alice Å.")
    assert by_id.create_time.ToMicroseconds() == surface.clock.us


async def test_the_display_name_is_the_username_until_it_is_changed(surface: Surface) -> None:
    """Empty means the username; a change is seen by everybody, a repeat changes nothing."""
    await surface.register("alice")
    alice = await surface.sign_in("alice")
    shown = await surface.call("GetUser", pb.GetUserRequest(user_id=alice.user_id), alice.access_token)
    assert shown.user.display_name == "alice"
    for _ in range(2):
        request = pb.UpdateProfileRequest(display_name="Alice")
        changed = await surface.call("UpdateProfile", request, alice.access_token)
        assert changed.user.display_name == "Alice"
    shown = await surface.call("FindUser", pb.FindUserRequest(username="alice"), alice.access_token)
    assert shown.user.display_name == "Alice"


async def test_who_does_not_exist_is_not_found(surface: Surface) -> None:
    """Whatever they are looked up by; the largest number that the contract lets through included."""
    asking = (await surface.somebody()).access_token
    for user_id in ("u1", "u9999999999999999999"):
        with pytest.raises(NotFound):
            await surface.call("GetUser", pb.GetUserRequest(user_id=user_id), asking)
    for username in ("nobody", "Nobody", "nöbody", "%"):
        with pytest.raises(NotFound):
            await surface.call("FindUser", pb.FindUserRequest(username=username), asking)


async def test_a_name_is_taken_once(surface: Surface) -> None:
    """Whoever comes first has it; the error names the field."""
    first = await surface.register("alice", client_request_id="one")
    with pytest.raises(UsernameTaken) as taken:
        await surface.register("alice", client_request_id="two")
    assert taken.value.field == "username"
    with pytest.raises(UsernameTaken):
        await surface.register("alice")
    assert (await surface.sign_in("alice")).user_id == first


async def test_a_repeat_returns_the_same_user_for_a_day(surface: Surface) -> None:
    """Same id and same password, whatever else it says; with another password, or later, the name is in use."""
    first = await surface.register("alice", client_request_id="one")
    surface.clock.advance(DAY - 1)
    assert await surface.register("alice", client_request_id="one", display_name="Other") == first
    with pytest.raises(UsernameTaken):
        await surface.register("alice", "another password", client_request_id="one")
    surface.clock.advance(2)
    with pytest.raises(UsernameTaken):
        await surface.register("alice", client_request_id="one")


async def test_without_an_id_nothing_is_a_repeat(surface: Surface) -> None:
    """An empty id is no id."""
    await surface.register("alice")
    with pytest.raises(UsernameTaken):
        await surface.register("alice")


async def test_one_of_many_who_want_a_name_gets_it(surface: Surface) -> None:
    """At the same moment, each with a password of its own: exactly one of these works."""
    passwords = [f"password {number}" for number in range(8)]
    outcomes = await asyncio.gather(
        *(surface.register("alice", password) for password in passwords), return_exceptions=True
    )
    made = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(made) == 1
    assert all(isinstance(outcome, UsernameTaken) for outcome in outcomes if outcome not in made)
    winner = passwords[outcomes.index(made[0])]
    assert (await surface.sign_in("alice", winner)).user_id == made[0]


async def test_a_request_sent_many_times_at_once_makes_one_user(surface: Surface) -> None:
    """A client that repeats before the first answer gets the same user from each."""
    made = await asyncio.gather(*(surface.register("alice", client_request_id="one") for _ in range(8)))
    assert len(set(made)) == 1


async def test_wrong_name_and_wrong_password_answer_alike(surface: Surface) -> None:
    """Nobody learns which names exist."""
    await surface.register("alice")
    texts = set()
    for username, password in (("alice", "wrong password"), ("nobody", PASSWORD), ("ALICE", PASSWORD)):
        with pytest.raises(WrongCredentials) as refused:
            await surface.sign_in(username, password)
        texts.add(refused.value.message)
    assert len(texts) == 1


async def test_a_password_is_what_people_see_not_how_it_is_encoded(surface: Surface) -> None:
    """One keyboard sends é as one code point, another as two."""
    await surface.register("alice", "caf\u00e9 noir")
    assert (await surface.sign_in("alice", "cafe\u0301 noir")).user_id
    with pytest.raises(WrongCredentials):
        await surface.sign_in("alice", "cafe noir")


async def test_guessing_is_slowed_down_for_one_name_only(surface: Surface) -> None:
    """After twenty attempts even the right password waits; others are not affected, and time heals."""
    await surface.register("alice")
    await surface.register("bob")
    for _ in range(20):
        with pytest.raises(WrongCredentials):
            await surface.sign_in("alice", "wrong password")
    with pytest.raises(RateLimited):
        await surface.sign_in("alice")
    assert (await surface.sign_in("bob")).user_id
    surface.clock.advance(11)
    assert (await surface.sign_in("alice")).user_id


async def test_repeating_a_registration_is_no_way_to_guess(surface: Surface) -> None:
    """It too tries the password, so it too is limited."""
    await surface.register("alice", client_request_id="one")
    for _ in range(20):
        with pytest.raises(UsernameTaken):
            await surface.register("alice", "wrong password", client_request_id="one")
    with pytest.raises(RateLimited):
        await surface.register("alice", client_request_id="one")


async def test_no_secret_is_kept_in_the_clear(surface: Surface) -> None:
    """Neither passwords nor tokens can be read from the disk."""
    await surface.register("alice", "a very secret password")
    signed_in = await surface.sign_in("alice", "a very secret password")
    kept = await surface.kept()
    assert b"alice" in kept
    for secret in ("a very secret password", signed_in.refresh_token.split(".")[2], signed_in.access_token):
        assert secret.encode() not in kept


async def test_users_are_there_after_a_restart(tmp_path: Path, clock: FakeClock, log: MemoryLog, mysql: str) -> None:
    """Accounts, devices and the keys of tokens: nobody has to sign in again."""
    async with open_surface(tmp_path, clock, log, mysql=mysql) as surface:
        await surface.register("alice")
        signed_in = await surface.sign_in("alice")
    async with open_surface(tmp_path, clock, log, mysql=mysql) as surface:
        assert (await surface.identity(signed_in.access_token)).user_id == signed_in.user_id
        assert (await surface.refresh(signed_in.refresh_token)).device_id == signed_in.device_id
        assert (await surface.sign_in("alice")).user_id == signed_in.user_id


async def test_a_stronger_cost_replaces_the_hash_at_the_next_sign_in(
    tmp_path: Path, clock: FakeClock, log: MemoryLog, mysql: str
) -> None:
    """Hashes made with yesterday's parameters do not stay."""
    async with open_surface(tmp_path, clock, log, mysql=mysql) as surface:
        await surface.register("alice")
    async with open_surface(tmp_path, clock, log, mysql=mysql, password_cost="normal") as surface:
        await surface.sign_in("alice")
        assert b"$m=65536,t=3,p=4$" in await surface.kept()
        assert (await surface.sign_in("alice")).user_id


async def test_a_busy_database_is_unavailable_not_internal(
    tmp_path: Path, clock: FakeClock, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller is told to come back, and nothing was half done."""
    monkeypatch.setattr(sql_sqlite, "_BUSY_SECONDS", 0.1)
    async with open_surface(tmp_path, clock, log) as surface:
        with surface.locked(), pytest.raises(Unavailable, match="busy"):
            await surface.register("alice", client_request_id="one")
        assert await surface.register("alice", client_request_id="one")


async def test_a_damaged_file_stops_the_start_with_its_name(tmp_path: Path, clock: FakeClock, log: MemoryLog) -> None:
    """And says what to do."""
    await asyncio.to_thread((tmp_path / "users.sqlite").write_bytes, b"not a database at all" * 100)
    with pytest.raises(StartError, match=r"users\.sqlite is damaged: restore it from a backup"):
        async with open_surface(tmp_path, clock, log):
            pass


async def test_other_services_learn_who_exists(surface: Surface) -> None:
    """Each once, in the order asked; what is no user id at all is no user."""
    alice, bob = await surface.register("alice"), await surface.register("bob")
    request = directory.CheckUsersRequest(user_ids=[bob, "u1", alice, "", "inbox", bob])
    assert list((await surface.inner("CheckUsers", request)).user_ids) == [bob, alice]
    assert list((await surface.inner("CheckUsers", directory.CheckUsersRequest())).user_ids) == []
    many = directory.CheckUsersRequest(user_ids=[alice, *(f"u{number}" for number in range(1, 1000))])
    assert list((await surface.inner("CheckUsers", many)).user_ids) == [alice]


async def test_doors_are_locked(surface: Surface) -> None:
    """What needs a token says so; what is for services is for services only."""
    for method, request in (
        ("ListDevices", pb.ListDevicesRequest()),
        ("RevokeDevice", pb.RevokeDeviceRequest(device_id="v1")),
        ("GetUser", pb.GetUserRequest(user_id="u1")),
        ("FindUser", pb.FindUserRequest(username="alice")),
        ("UpdateProfile", pb.UpdateProfileRequest(display_name="Alice")),
    ):
        with pytest.raises(Unauthenticated):
            await surface.call(method, request)
    with pytest.raises(PermissionDenied):
        await surface.inner("CheckUsers", directory.CheckUsersRequest(), token="guessed")
