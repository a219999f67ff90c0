"""A server that stops tells its sessions to move, ends those that stay, and loses nothing; all surfaces at once."""

import asyncio
import signal
from pathlib import Path

import pytest

from stonechat_conformance import people as crowd
from stonechat_conformance.patience import Patience
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.table import SURFACES
from tests.mesh.product import product

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAID_SO = Refused("UNAVAILABLE", "DRAINING")
NOBODY_THERE = Refused("UNAVAILABLE", "UNAVAILABLE")


def _ends(surface: str) -> list[Refused]:
    """A stream stays until it is told. A poll is a new call each time: once Envoy has taken the instance out, and there is no
    other, Envoy itself refuses it."""
    return [SAID_SO, NOBODY_THERE] if surface.endswith("poll") else [SAID_SO]


async def test_a_stopping_server_says_so_and_the_next_one_has_everything(tmp_path: Path, tally: dict[str, str]):
    with product(tmp_path, DRAIN_SECONDS="2") as first:
        async with crowd.server(first.url, Patience()) as tested, crowd.people(tested) as people:
            name = await people.register()
            devices = {surface: await people.device(surface, name) for surface in SURFACES}
            alice = await people.device("connect")
            sent = [await alice.send(devices["connect"].user_id, f"{number}", key=f"k{number}") for number in range(5)]
            talk = sent[0].conversation_id
            for device in devices.values():
                await device.until_messages(talk, "01234")
            first.process.send_signal(signal.SIGTERM)
            ends = {}
            for surface, device in devices.items():
                if not surface.endswith("poll"):  # between two polls there is nobody to tell
                    await device.until_told("reconnect")
            for surface, device in devices.items():
                ends[surface] = await device.until_ended()
                tally[surface] = "ok" if ends[surface] in _ends(surface) else "FAILED"
        assert [(surface, end) for surface, end in ends.items() if end not in _ends(surface)] == []
        assert await asyncio.to_thread(first.process.wait, 30) == 0
        assert [line for line in first.log() if line.get("level") in ("ERROR", "WARNING")] == []
    with product(tmp_path) as second:
        async with crowd.server(second.url, Patience()) as tested, crowd.people(tested) as people:
            for surface in SURFACES:
                device = await people.sign_in(name, surface)
                assert [message.content for message in await device.history(talk)] == list("43210")
            device = await people.device("connect", name)
            assert device.messages(talk) == list("01234")
            resent = await people.sign_in(await people.register(), "connect")
            assert (await resent.send(device.user_id, "hello, next one")).seq == 1
