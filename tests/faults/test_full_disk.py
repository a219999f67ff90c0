"""There is no room to write: sends are refused as UNAVAILABLE, the log says what to do, and with room all goes on by itself.

That nothing else is answered, and that nothing acknowledged is missing, is for the ledgers to say.
"""

import resource
from itertools import pairwise

import pytest

from tests.faults.disk import small_disk
from tests.faults.load import load
from tests.faults.server import until
from tests.faults.verdict import verified

REFUSALS = 60
LIMIT_BYTES = 64 * 1024


@pytest.mark.timeout(200)
async def test_a_full_disk(tmp_path, new_server):
    """A real disk without room, under load. Twice: what was full once may be full again."""
    with small_disk(tmp_path / "disk") as disk:
        server = new_server(DATA_DIR=str(disk.path / "data"))
        server.data = disk.path / "data"
        await server.start()
        try:
            async with load(server) as talk:
                talk.start()
                for _ in range(2):
                    await talk.more(100)
                    disk.fill()
                    before = _refusals(talk)
                    await until(lambda before=before: _refusals(talk) > before + REFUSALS, "sends are refused")
                    disk.make_room()
                    await talk.more(100)
                assert _says_what_to_do(server, "is full: make room")
                for name in ("log.sqlite", "the store of groups"):
                    changes = _changes(server, name)
                    assert changes
                    assert all(one != other for one, other in pairwise(changes)), "only changes are logged"
                await verified(server, talk, f"full disk twice, {_refusals(talk)} refusals")
        finally:
            server.discard()


@pytest.mark.timeout(200)
async def test_files_that_may_not_grow(new_server):
    """Needs no rights: a limit on the size of files stands for a quota. SQLite reports it as a fault in reading or writing."""
    server = new_server(LOG_LEVEL="WARNING")  # the log is a file too, and has to stay below the limit
    await server.start()
    async with load(server) as talk:
        talk.start()
        await talk.more(100)
        _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (LIMIT_BYTES, most))
        await until(lambda: _refusals(talk) > REFUSALS, "sends are refused")
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, most))
        await talk.more(100)
        assert _says_what_to_do(server, "see whether its disk is full or faulty")
        await verified(server, talk, f"files may not grow, {_refusals(talk)} refusals")


def _refusals(talk):
    return sum(count for code, count in talk.answers().items() if code in (503, "UNAVAILABLE"))


def _changes(server, name):
    """What the back ends said about it, line by line. Full, and cannot be written (SQLite has both words), are different."""
    lines = [line["message"] for line in server.log() if line["logger"].startswith("svc.backends")]
    return [line for line in lines if name in line]


def _says_what_to_do(server, what):
    lines = [line for line in server.log("ERROR") if what in line["message"]]
    return lines and ".sqlite" in lines[0]["message"]
