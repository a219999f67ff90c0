"""How the suite behaves: it comes back when it is told to, gives up on who never answers, and tidies up behind itself."""

import asyncio
from pathlib import Path

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import Case
from stonechat_conformance.contract import METHODS
from stonechat_conformance.patience import Patience
from stonechat_conformance.people import People, people, server
from stonechat_conformance.run import Outcome, run
from stonechat_conformance.surfaces.table import SURFACES
from tests.conformance.checked import PATIENCE, check, failed, named
from tests.conformance.proxy import Breach, grpc_proxy
from tests.mesh.product import Product, product

SIGNING_IN = {"Register", "SignIn"}


async def test_it_comes_back_when_too_many_calls_were_made(tmp_path: Path):
    """Ten calls of a method at once, and two more a second: less than this case needs."""
    with product(tmp_path, CALLS_PER_SECOND="2") as slow:
        cases = named("all devices of both see the same in the same order")
        outcomes = await check(slow.url, cases, "rest+poll", patience=Patience())
        assert failed(outcomes) == {}
        assert [line for line in slow.log() if line.get("code") == "RESOURCE_EXHAUSTED"]


async def test_it_comes_back_when_too_many_sessions_are_opened(tmp_path: Path):
    with product(tmp_path, HELLO_ADMISSION="1") as narrow:
        async with server(narrow.url, Patience()) as tested, people(tested, "connect") as found:
            devices = [await found.sign_in(await found.register()) for _ in range(30)]
            await asyncio.gather(*(device.listen() for device in devices))
        assert [line for line in narrow.log() if line.get("code") == "UNAVAILABLE"]


async def test_it_gives_up_on_who_never_answers(kept: Product):
    stuck = [method.name for method in METHODS.values() if method.name not in SIGNING_IN]
    cases = named("a message arrives", "every rpc without a token", "validation rules of UserService")
    async with grpc_proxy(kept.url, Breach(stuck=stuck)) as url:
        outcomes = await check(url, cases, "grpc+poll", patience=Patience(0.3, 2))
    reasons = [outcome.failure.what for outcome in outcomes if outcome.failure]
    assert [why for why in reasons[:3] if why.startswith("not run")] == []
    assert {why.partition(", the last")[0] for why in reasons[3:]} == {"not run: 3 cases in a row got no answer here"}
    assert len(reasons) == len(outcomes)


async def test_it_ends_when_the_server_dies_in_the_middle(tmp_path: Path):
    with product(tmp_path) as dying:
        outcomes: list[Outcome] = []
        cases = named("a message arrives", "what just fits is taken", "GetGroup without a token", "every list in pages")
        async with server(dying.url, PATIENCE) as tested:
            async for _, found in run(tested, cases, list(SURFACES)):
                outcomes += found
                dying.process.kill()
                await asyncio.to_thread(dying.process.wait)
    assert {outcome.case.name for outcome in outcomes if outcome.failure is None} == {"a message arrives"}
    later = [outcome for outcome in outcomes if outcome.failure]
    assert len(later) == sum(len(case.surfaces()) for case in cases[1:])
    assert all(outcome.failure.came for outcome in later)


async def test_on_a_native_stream_calls_of_messaging_are_frames(kept: Product):
    """The unary call that does the same is never answered, and is not missed."""
    cases = named("a message arrives", "SendMessage repeated", "SendMessage.content: string.max_bytes 16384")
    async with grpc_proxy(kept.url, Breach(stuck=["SendMessage"])) as url:
        assert failed(await check(url, cases, "connect")) == {}


async def test_a_case_has_a_deadline(kept: Product):
    async def forever(people: People) -> None:
        await asyncio.Event().wait()

    (outcome,) = await check(kept.url, [Case("for ever", "It ends.", forever)], "rest+poll", patience=Patience(1, 1))
    assert "the case ends within 1 s" in str(outcome.failure)


async def test_a_case_that_trips_is_a_failure_with_a_place(kept: Product):
    async def trips(people: People) -> None:
        raise KeyError("surprise")

    (outcome,) = await check(kept.url, [Case("trips", "It does not.", trips)], "connect")
    assert "KeyError: 'surprise'" in str(outcome.failure)


async def test_it_leaves_groups_and_signs_devices_out(kept: Product):
    names: list[str] = []

    async def busy(people: People) -> None:
        names.append(await people.register())
        for _ in range(2):
            alice = await people.device(username=names[0])
            await alice.call(groups.CreateGroupRequest(name="us"))

    async with server(kept.url, Patience()) as tested:
        outcomes = [
            each async for _, found in run(tested, [Case("busy", "It is.", busy)], ["rest+sse"]) for each in found
        ]
        assert failed(outcomes) == {}
        async with people(tested, "connect") as found:
            again = await found.sign_in(names[0])
            devices = (await again.call(users.ListDevicesRequest())).devices
            assert [device.device_id for device in devices] == [again.device_id]
            assert await again.heads() == {}
