"""One message, one trace: every hop from acceptance to the writes of those who get it, whatever surface they are on."""

import asyncio
import json
import secrets
import subprocess
import sys
from typing import Any

import pytest

from stonechat_conformance.people import People, direct
from stonechat_conformance.surfaces.model import sending
from tests.mesh.product import Product

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECONDS = 20.0
HOPS = ["accept", "log", "order", "store", "relay", "write"]


async def spans_of(server: Product, trace: str, writes: set[str]) -> list[dict[str, Any]]:
    """The spans of a trace, once all who must be written to have been (they are written in batches)."""
    file = server.data_dir / "traces.jsonl"
    async with asyncio.timeout(SECONDS):
        while True:
            lines = file.read_text().splitlines() if file.exists() else []
            found = [span for span in map(json.loads, lines) if span["trace"] == trace]
            if {span.get("user") for span in found if span["name"] == "write"} >= writes:
                return sorted(found, key=lambda span: span["start_ns"])
            await asyncio.sleep(0.05)


async def test_a_message_can_be_followed_hop_by_hop(people: People, server: Product, surface: str):
    alice, bob = await people.two()
    trace = secrets.token_hex(16)
    await alice.send(bob.user_id, "before anybody looks")
    await bob.until_messages(direct(alice, bob), ["before anybody looks"])
    await alice.until_messages(direct(alice, bob), ["before anybody looks"])
    with sending({"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}):
        # A frame of a stream begins a trace of its own, so the caller's is given to a unary call.
        sent = await alice.send_unary(bob.user_id, "follow me")
    await bob.until_messages(direct(alice, bob), ["before anybody looks", "follow me"])
    record = sent.message_id.removeprefix("m").partition(".")[0]
    spans = await spans_of(server, trace, {alice.user_id, bob.user_id})
    begin = next(span for span in spans if span.get("record") == record)
    later = [span for span in spans if span["start_ns"] >= begin["start_ns"]]
    assert set(HOPS) == {span["name"] for span in later}
    began = {name: min(span["start_ns"] for span in later if span["name"] == name) for name in HOPS}
    assert sorted(HOPS, key=began.__getitem__) == HOPS
    assert all(span["end_ns"] >= span["start_ns"] for span in later)
    known = {span["span"] for span in spans}
    assert all(span["parent"] in known for span in spans if span["name"] != "accept")

    shown = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "svc", "trace", sent.message_id],
        env=server.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    print(f"\n{surface}: {sent.message_id}\n{shown.stdout}")
    assert shown.stdout.startswith(f"trace {trace}")
    assert all(f"\n{hop}" in shown.stdout for hop in HOPS)


async def test_a_message_that_nobody_samples_costs_no_span(people: People, server: Product, surface: str):
    name = await people.register()
    alice, bob = await people.device(username=name), await people.device()
    trace = secrets.token_hex(16)
    await alice.send(bob.user_id, "before")
    await bob.until_messages(direct(alice, bob), ["before"])
    with sending({"traceparent": f"00-{trace}-{secrets.token_hex(8)}-00"}):
        await alice.send_unary(bob.user_id, "unseen")
    # A message that is traced, later, shows that spans up to there were written.
    other = secrets.token_hex(16)
    with sending({"traceparent": f"00-{other}-{secrets.token_hex(8)}-01"}):
        carol = await people.sign_in(name, "grpc+poll")
        await carol.send(bob.user_id, "seen")
    await bob.until_messages(direct(alice, bob), ["before", "unseen", "seen"])
    await spans_of(server, other, {bob.user_id})
    assert trace not in (server.data_dir / "traces.jsonl").read_text()
