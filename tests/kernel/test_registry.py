"""The table of services agrees with the contracts; the registry says who is up."""

import asyncio
import importlib
from pathlib import Path

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from svc.kernel.registry import PUBLIC_METHODS, SERVICES, Instance, ProcessRegistry

ROOT = Path(__file__).resolve().parents[2]
ONE, TWO = Instance("127.0.0.1:1", "a"), Instance("127.0.0.1:2", "b")


def contracts() -> dict[str, ServiceDescriptor]:
    """Every service of the generated contracts."""
    found = {}
    for path in (ROOT / "gen").rglob("*_service_pb2.py"):
        module = importlib.import_module(".".join(path.relative_to(ROOT / "gen").with_suffix("").parts))
        for service in module.DESCRIPTOR.services_by_name.values():
            found[service.full_name] = service
    return found


def test_every_service_of_the_contract_is_in_the_table_once():
    """And the table has no other."""
    listed = [name for service in SERVICES for name in (*service.grpc_services, *service.inner)]
    assert sorted(listed) == sorted(contracts())


def test_services_have_different_names():
    """They are looked up by them, and each has a room of its own."""
    names = [service.name for service in SERVICES]
    assert len(set(names)) == len(names)
    assert [name for name in names if not (ROOT / "svc" / name).is_dir()] == []


def test_the_package_of_a_contract_is_its_service():
    """`stonechat.<noun>.v1` is served by <noun>."""
    for service in SERVICES:
        for name in (*service.grpc_services, *service.inner):
            assert name.split(".")[1] == service.name


def test_public_methods_exist_and_are_routed():
    """None of them is an inner one."""
    routed = {name for service in SERVICES for name in service.grpc_services}
    known = contracts()
    for method in PUBLIC_METHODS:
        _, service, name = method.split("/")
        assert service in routed
        assert name in known[service].methods_by_name


def test_who_needs_no_token_is_a_short_list():
    """How one gets a token. Adding to it is a decision about safety."""
    assert {method.rpartition("/")[2] for method in PUBLIC_METHODS} == {"Register", "SignIn", "RefreshToken", "GetJwks"}


async def test_instances_are_up_from_register_to_deregister():
    """In a stable order; registering twice is once; unknown ones are ignored."""
    registry = ProcessRegistry()
    assert registry.instances("users") == ()
    await registry.register("users", TWO)
    await registry.register("users", ONE)
    await registry.register("users", ONE)
    assert registry.instances("users") == (ONE, TWO)
    await registry.deregister("users", TWO)
    await registry.deregister("users", TWO)
    await registry.deregister("groups", TWO)
    assert registry.instances("users") == (ONE,)


async def test_a_snapshot_does_not_change():
    """It is what was, whatever happens then."""
    registry = ProcessRegistry()
    await registry.register("users", ONE)
    snapshot = registry.snapshot()
    await registry.register("users", TWO)
    await registry.register("groups", ONE)
    assert snapshot == {"users": (ONE,)}


async def test_who_watches_is_told_after_each_change_until_the_watch_ends():
    """And sees the change when told."""
    registry, seen = ProcessRegistry(), []
    end = registry.watch(lambda: seen.append(registry.instances("users")))
    await registry.register("users", ONE)
    await registry.deregister("users", ONE)
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [(), ()]
    end()
    await registry.register("users", TWO)
    await asyncio.sleep(0)
    assert len(seen) == 2


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_method_streams_or_not_as_its_stubs_say(service):
    """The generated client has a method for each rpc of the service."""
    for name in (*service.grpc_services, *service.inner):
        descriptor = contracts()[name]
        stubs = importlib.import_module(descriptor.file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc")
        servicer = getattr(stubs, f"{descriptor.name}Servicer")
        assert {method.name for method in descriptor.methods} <= set(dir(servicer))
