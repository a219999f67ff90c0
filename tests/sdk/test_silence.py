"""A server that is there and says nothing, or takes nothing: the session notices and goes on with the next stream."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event, HelloPage
from stonechat_client import Client, calls, new_id
from tests.sdk.server import DIRECT, Server, serving
from tests.sdk.test_session import connected, events, is_offline, until


class Silent(Server):
    """Takes its first stream and says on it only what it is told to, or nothing; it reads nothing either."""

    def __init__(self, says=()):
        super().__init__()
        self.says, self.silent = says, 1

    async def Connect(self, requests, context):
        if self.silent:
            self.silent -= 1
            for event in self.says:
                yield messaging.ConnectResponse(events=[event])
            await asyncio.Event().wait()
        async for response in super().Connect(requests, context):
            yield response


@asynccontextmanager
async def signed_in(server):
    async with serving(server) as port, Client(f"http://127.0.0.1:{port}") as client:
        await client.sign_in("alice", "password")
        yield client


async def test_a_hello_that_is_never_answered_is_said_again(monkeypatch):
    monkeypatch.setattr("stonechat_client.stream.GREETING_SECONDS", 0.05)
    server = Silent()
    async with signed_in(server) as client, client.connect() as session:
        *_, offline = await until(session, is_offline)
        assert offline.why == "the server has not answered in time"
        monkeypatch.setattr("stonechat_client.stream.GREETING_SECONDS", 60.0)
        await connected(session)
        await server.post("one")
        assert await events(session, 1) == ["one"]


async def test_a_server_that_takes_nothing_is_left():
    """Sends that are given up wait on the stream all the same."""
    server = Silent([Event(hello_page=HelloPage(complete=True))])
    async with signed_in(server) as client, client.connect() as session:
        await connected(session)
        async with asyncio.timeout(20):
            while not server.hellos:  # until it is on the next stream
                given_up = asyncio.create_task(session.send(DIRECT, "x" * 16_000, new_id()))
                await asyncio.sleep(0)
                given_up.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await given_up
            assert (await session.send(DIRECT, "one", new_id())).message_id


async def test_a_silent_connection_is_looked_at_again_and_again(monkeypatch):
    options = [(name, 1000 if name == "grpc.keepalive_time_ms" else value) for name, value in calls._OPTIONS]
    monkeypatch.setattr(calls, "_OPTIONS", options)
    looked, answering = asyncio.Queue(), []

    async def answer(reader, writer):
        answering.append((asyncio.current_task(), writer))
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.PingReceived):
                    looked.put_nowait(event)
            writer.write(connection.data_to_send())

    async with await asyncio.start_server(answer, "127.0.0.1") as listening:
        made = calls.Calls("127.0.0.1:{1}".format(*listening.sockets[0].getsockname()), lambda device: None)
        waiting = asyncio.ensure_future(made.stream("/a/b", "token").read())
        try:
            async with asyncio.timeout(20):
                for _ in range(4):
                    await looked.get()
        finally:
            await made.close()
            await asyncio.gather(waiting, return_exceptions=True)
            for task, writer in answering:
                writer.transport.abort()
                await asyncio.wait([task])
