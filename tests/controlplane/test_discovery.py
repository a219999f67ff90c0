"""What changes reaches Envoy, and what goes wrong leaves the traffic as it was."""

from contextlib import AsyncExitStack

import grpc
import httpx

from svc.controlplane.adapters.listening import free_address
from svc.controlplane.snapshot import CLUSTER, resource, snapshot
from svc.controlplane.wire.names import DISCOVERY_SOCKET
from svc.controlplane.wiring import control_plane, kept_envoy, publisher, socket_folder
from svc.kernel.clock import SystemClock
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.settings import for_tests
from tests.controlplane.instance import NOT_SERVING, bearer, instance
from tests.controlplane.stand import Stand, clients, frame, said, stand, until


async def test_instances_that_come_and_go_are_known_to_envoy(tmp_path):
    async with instance("a") as a, instance("b") as b, stand(tmp_path, a) as here:
        assert await here.who() == "a"

        await here.add(b)
        await until(lambda: _is(here, {"a", "b"}))
        await here.remove(a)
        await until(lambda: _is(here, {"b"}))


async def test_a_stream_lives_on_when_its_instance_leaves_the_registry(tmp_path):
    """So that a draining instance can tell its sessions to move one by one."""
    async with instance("a") as a, instance("b") as b, stand(tmp_path, a) as here:
        stream = here.connect()
        assert said(await stream.read()) == ["a"]

        await here.add(b)
        await here.remove(a)
        await until(lambda: _is(here, {"b"}))

        await stream.write(frame("still here"))
        assert said(await stream.read()) == ["still here"]


async def test_an_instance_that_says_not_serving_gets_no_new_calls(tmp_path):
    async with instance("a") as a, instance("b") as b, stand(tmp_path, a, b) as here:
        await a.health_is(NOT_SERVING)
        await until(lambda: _is(here, {"b"}))


async def test_all_calls_of_a_user_reach_the_same_instance_of_messaging(tmp_path):
    async with instance("a") as a, instance("b") as b, stand(tmp_path, a, b) as here:
        places = {user: {await _place(here, user) for _ in range(3)} for user in (f"u{n}" for n in range(12))}
        assert all(len(found) == 1 for found in places.values()), places
        assert set.union(*places.values()) == {"a", "b"}


async def test_a_bad_resource_is_refused_and_traffic_goes_on(tmp_path, caplog):
    async with instance("a") as a, instance("b") as b, stand(tmp_path, a) as here:
        configuration = here.edge.published.configuration
        good = [each for kind in configuration.current.resources.values() for each in kind.values()]
        configuration.replace(snapshot([*good, resource(CLUSTER, "bad", b"\xff\xff\xff")]))
        await until(lambda: "Envoy refused a configuration" in caplog.text)
        assert await here.who() == "a"

        await here.add(b)  # a good change after it is taken
        await until(lambda: _is(here, {"a", "b"}))


async def test_a_stream_that_cannot_be_read_harms_no_other(tmp_path):
    async with instance("a") as a, instance("b") as b, stand(tmp_path, a) as here:
        path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
        async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'run' / DISCOVERY_SOCKET}") as channel:
            stream = channel.stream_stream(path)()
            await stream.write(b"\x12\x02\xff\xff")  # a type URL that is no text
            assert await stream.code() is grpc.StatusCode.UNKNOWN
        await here.add(b)
        await until(lambda: _is(here, {"a", "b"}))


async def test_traffic_goes_on_without_a_control_plane_and_its_return_changes_only_what_changed(tmp_path):
    registry, settings = ProcessRegistry(), for_tests(tmp_path)
    address, origins = free_address("127.0.0.1", 0), ("http://localhost",)
    with socket_folder(settings.run_dir()) as folder:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(AsyncExitStack())
            await first.enter_async_context(control_plane(publisher(registry, *address, origins), folder, _raise))
            a, b = [await stack.enter_async_context(instance(name)) for name in "ab"]
            for service in ("history", "users"):
                await registry.register(service, Instance(a.address, "a"))
            envoy = await stack.enter_async_context(kept_envoy(settings, folder, SystemClock(), _raise))
            http, _ = await stack.enter_async_context(clients("http://{}:{}".format(*address)))
            await until(lambda: _answers(http, "a"))

            await first.aclose()
            assert await _answers(http, "a")

            await registry.deregister("history", Instance(a.address, "a"))
            await registry.register("history", Instance(b.address, "b"))
            second = publisher(registry, *address, origins)
            await stack.enter_async_context(control_plane(second, folder, _raise))
            await until(lambda: _answers(http, "b"))
            assert await envoy.admin.stat("listener_manager.listener_modified") == 0
            assert await envoy.admin.stat("cluster_manager.cluster_modified") == 0


async def _is(here: Stand, names: set[str]) -> bool:
    return {await here.who() for _ in range(6)} == names


async def _place(here: Stand, user: str) -> str:
    stream = here.connect(user)
    (name,) = said(await stream.read())
    stream.cancel()
    return name


async def _answers(http: httpx.AsyncClient, name: str) -> bool:
    answer = await http.get("/v1/conversations", headers=bearer())
    return bool(answer.status_code == 200 and answer.json()["nextPageToken"] == name)


def _raise(error: BaseException) -> None:
    raise error
