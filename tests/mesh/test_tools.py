"""What tools need: health, reflection, and the contract alone as a way to call everything."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stonechat_conformance.device import Device
from stonechat_conformance.people import PASSWORD, People
from svc.kernel.registry import SERVICES
from tests.mesh.product import Product
from tools.contracts import contracts, protoc

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLIC = {name for service in SERVICES for name in service.grpc_services}
GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"


@pytest_asyncio.fixture(loop_scope="session")
async def channel(people: People) -> grpc.aio.Channel:
    await people.register()
    return people.network.channel


async def test_health_is_told_for_each_service(channel: grpc.aio.Channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", *PUBLIC):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Check(health_pb2.HealthCheckRequest(service="stonechat.delivery.v1.DeliveryService"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        break


class Described:
    """A client that knows nothing but descriptors: no generated code."""

    def __init__(self, described: descriptor_pb2.FileDescriptorSet, channel: grpc.aio.Channel) -> None:
        self._pool = DescriptorPool()
        for file in described.file:
            self._pool.Add(file)
        self._channel = channel

    async def call(self, method: str, token: str = "", **fields: Any) -> dict[str, Any]:
        """Call `package.Service.Method` with fields as JSON has them; the answer as JSON."""
        described = self._pool.FindMethodByName(method)
        request = json_format.ParseDict(fields, message_factory.GetMessageClass(described.input_type)())
        answer_type = message_factory.GetMessageClass(described.output_type)
        ask = self._channel.unary_unary(f"/{described.containing_service.full_name}/{described.name}")
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        answer = answer_type.FromString(await ask(request.SerializeToString(), metadata=metadata))
        return json_format.MessageToDict(answer)


async def a_conversation(client: Described) -> None:
    """From two new accounts to a message that was read."""
    suffix = os.urandom(4).hex()
    users, tokens = [], []
    for name in (f"alice-{suffix}", f"bob-{suffix}"):
        made = await client.call("stonechat.users.v1.UserService.Register", username=name, password=PASSWORD)
        signed_in = await client.call("stonechat.users.v1.UserService.SignIn", username=name, password=PASSWORD)
        assert signed_in["userId"] == made["userId"]
        users.append(made["userId"])
        tokens.append(signed_in["accessToken"])
    messaging, history = "stonechat.messaging.v1.MessagingService", "stonechat.history.v1.HistoryService"
    started = await client.call(f"{messaging}.Poll", tokens[1])
    sent = await client.call(f"{messaging}.SendMessage", tokens[0], to=users[1], content="hi", type="text")
    assert (sent["status"], sent["seq"]) == ("sent", "1")
    told = await client.call(f"{messaging}.Poll", tokens[1], cursor=started["cursor"], waitSeconds=20)
    assert told["events"]
    page = await client.call(f"{history}.ListMessages", tokens[1], conversationId=sent["conversationId"])
    assert [message["content"] for message in page["messages"]] == ["hi"]


async def test_the_proto_files_alone_are_enough(channel: grpc.aio.Channel, tmp_path: Path):
    """Compiled here and now, as a platform team would."""
    out = tmp_path / "image.binpb"
    protoc("--include_imports", f"--descriptor_set_out={out}", *contracts())
    await a_conversation(Described(descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()), channel))


async def test_reflection_alone_is_enough(channel: grpc.aio.Channel):
    await a_conversation(Described(await reflected(channel), channel))


async def reflected(channel: grpc.aio.Channel) -> descriptor_pb2.FileDescriptorSet:
    """All that the server tells of itself; only what is public."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    async def ask(**question: str) -> reflection_pb2.ServerReflectionResponse:
        stream = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**question)]))
        return await anext(aiter(stream))

    def keep(answer: reflection_pb2.ServerReflectionResponse) -> None:
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            found[file.name] = file

    names = {service.name for service in (await ask(list_services="")).list_services_response.service}
    assert names >= PUBLIC
    assert not {name for name in names if "Delivery" in name or "Directory" in name}
    for name in PUBLIC:
        keep(await ask(file_containing_symbol=name))
    while missing := {needed for file in found.values() for needed in file.dependency} - found.keys():
        for name in missing:
            keep(await ask(file_by_filename=name))
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for needed in found[name].dependency:
                add(needed)
            ordered[name] = found[name]

    for name in found:
        add(name)
    return descriptor_pb2.FileDescriptorSet(file=ordered.values())


@pytest.fixture
def grpcurl() -> str:
    at = shutil.which("grpcurl") or shutil.which("grpcurl", path=Path.home() / "go" / "bin")
    if at is None:
        pytest.skip(f"grpcurl is not installed (`go install {GRPCURL}`): the two tests above do the same without it")
    return at


async def test_grpcurl_finds_its_way_by_reflection(people: People, server: Product, grpcurl: str):
    alice: Device = await people.sign_in(await people.register(), "grpc+poll")
    bob: Device = await people.sign_in(await people.register(), "grpc+poll")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [grpcurl, "-plaintext", *arguments], capture_output=True, text=True, timeout=30, check=True
        ).stdout

    assert set(run(server.address, "list").split()) >= PUBLIC
    assert "rpc Connect ( stream" in run(server.address, "describe", "stonechat.messaging.v1.MessagingService")
    body = json.dumps({"to": bob.user_id, "content": "by grpcurl", "type": "text"})
    method = "stonechat.messaging.v1.MessagingService/SendMessage"
    sent = json.loads(run("-H", f"authorization: Bearer {alice.token}", "-d", body, server.address, method))
    assert sent["status"] == "sent", sent
    assert [message.content for message in await bob.history(sent["conversation_id"])] == ["by grpcurl"]
    print("grpcurl ran:", run("-version").strip())
