"""`stonechat verify` beside a running server: what is in flight is no finding, what is gone is one at once."""

import sqlite3
from contextlib import closing

from tests.faults.load import load
from tests.faults.server import until
from tests.faults.verdict import told, verify

LOOKS = 5


async def test_it_looks_while_a_server_is_written_to(server):
    await server.start()
    async with load(server) as talk:
        talk.start()
        before = 0
        for _ in range(LOOKS):
            await talk.more(40)
            verdict = await verify(server, talk.ledgers, settled=False)
            assert verdict["clean"], told(verdict)
            assert verdict["acknowledged"] >= before + 40
            assert verdict["events"] > verdict["acknowledged"]
            before = verdict["acknowledged"]

        # All were handed this one, so that nobody asks for it again.
        await until(lambda: all(client.follower.knows({talk.group_id: 20}) for client in talk.clients), "all saw 20")
        with closing(sqlite3.connect(server.data / "messages.sqlite")) as connection, connection:
            gone = "DELETE FROM events WHERE conversation_id = ? AND seq = 20"
            assert connection.execute(gone, (talk.group_id,)).rowcount == 1
        verdict = await verify(server, talk.ledgers, settled=False)
        lost = [one for one in verdict["findings"] if one["fault"] == "lost"]
        assert {(one["conversation"], one["seq"]) for one in lost} == {(talk.group_id, 20)}
        assert (verdict["doubled"], verdict["reordered"], verdict["wrong"], verdict["problems"]) == (0, 0, 0, 0)
        # A hole, a key row that names nothing, who was acknowledged, and everybody who saw it.
        assert verdict["lost"] == 3 + len(talk.clients)
