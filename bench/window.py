"""One measured window: load on, warm-up, CPU before and after, all of it accounted for."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from bench import usage
from bench.accounts import Registrar
from bench.crowd import Crowd, Terms
from bench.figures import percentiles_ms

_LEAD_SECONDS = 0.3  # for the schedule to be made before it begins
_PATIENCE_SECONDS = 10.0  # after the last send, for what was sent to be answered and pushed
_COMEBACK_SECONDS = 120.0
_SETTLE_SECONDS = 1.0  # conversations that were announced are subscribed to by now


@dataclass(frozen=True)
class Load:
    """`rate` is messages a second over all processes; `senders` of each process are (client index, to); `members` is how many
    of the one group that all send to each process has, or empty when each sends to its partner in the same process."""

    rate: float
    seed: int
    senders: list[list[tuple[int, str]]]
    members: list[int] = field(default_factory=list)
    survives: bool = False
    """The server goes away and comes back meanwhile: answers are waited for as long as that takes, not all is pushed."""


async def greet(people: Crowd) -> None:
    """Make the conversations between partners, and let everybody know them."""
    await people.fleet.each("greet", [{"senders": senders} for senders in people.to_partners()])
    await asyncio.sleep(_SETTLE_SECONDS)


async def measure(people: Crowd, terms: Terms, load: Load) -> dict[str, Any]:
    """Run a load; returns counts, percentiles and CPU, as they stand in the results."""
    start_ns = time.monotonic_ns() + int(_LEAD_SECONDS * 1e9)
    common = {"start_ns": start_ns, "warm_up": terms.warm_up, "seconds": terms.seconds, "size": terms.size}
    commands = [
        common | {"rate": load.rate / terms.processes, "seed": load.seed * 1000 + index, "senders": senders}
        for index, senders in enumerate(load.senders)
    ]
    running = asyncio.create_task(people.fleet.each("load", commands), name="load")
    try:
        of_server = people.server.parts() | people.server.backends()
        parts = {"generator": people.fleet.pids} | {part: [pid] for part, pid in of_server.items()}
        begin = start_ns / 1e9 + terms.warm_up
        await asyncio.sleep(begin - time.monotonic())
        before = usage.used(parts)
        await asyncio.sleep(begin + terms.seconds - time.monotonic())
        after = usage.used(parts)
        sent = [done["sent"] for done in await running]
    finally:
        running.cancel()
    due = [sum(sent) * here - own for here, own in zip(load.members, sent, strict=True)] if load.members else sent
    patience = {"patience": _COMEBACK_SECONDS if load.survives else _PATIENCE_SECONDS}
    reports = await people.fleet.each(
        "report", [patience | {"expected": None if load.survives else count} for count in due]
    )
    in_window = sum(report["sent_in_window"] for report in reports)
    return (
        {"rate": load.rate, "schedule": "poisson", "schedule_seed": load.seed}
        | asdict(terms)
        | await account_for(people.registrar, reports, sum(due))
        | {
            "sent_in_window": in_window,
            "delivered_in_window": sum(report["delivered_in_window"] for report in reports),
            "latency_ms": percentiles_ms(_all(reports, "latency_us")),
            "ack_ms": percentiles_ms(_all(reports, "ack_us")),
            "late_ms": percentiles_ms(_all(reports, "late_us")),
            "cpu": usage.between(before, after, in_window),
            "others_cores": usage.others(before, after) if of_server else None,
        }
    )


async def account_for(registrar: Registrar, reports: list[dict[str, Any]], due: int) -> dict[str, Any]:
    """What became of every message. `due` is how many deliveries all of them make; raises grpc.aio.AioRpcError.

    missing: not pushed by the end. lost: neither pushed nor pulled, though it was not refused. wrong: pushed twice, or after a
    hole that nobody announced.
    """
    pushed = sum(report["delivered"] for report in reports)
    holes = [tuple(hole) for hole in _all(reports, "holes")]
    known: dict[str, dict[str, int]] = {}
    for report in reports:
        known |= report["known"]
    readers = _readers(known)
    heads = await registrar.heads((users[0], name) for name, users in readers.items())
    for (name, users), head in zip(readers.items(), heads, strict=True):
        holes += [(user, name, known[user].get(name, 0) + 1, head) for user in users if known[user].get(name, 0) < head]
    pulled = await registrar.pull(holes)
    sent = sum(report["sent"] for report in reports)
    refused = _counted(reports, "refused")
    fan_out = due // sent if sent else 1
    return {
        "sent": sent,
        "acked": sum(report["acked"] for report in reports),
        "unanswered": sum(report["unanswered"] for report in reports),
        "refused": dict(refused),
        "repeated": sum(report["repeated"] for report in reports),
        "due": due,
        "delivered": pushed,
        "pulled": pulled,
        "missing": due - pushed,
        "lost": due - refused.total() * fan_out - pushed - pulled,
        "wrong": sum(report["gaps"] + report["repeats"] for report in reports),
        "endings": dict(_counted(reports, "endings")),
    }


def _readers(known: dict[str, dict[str, int]]) -> dict[str, list[str]]:
    """Which of our users read which conversation; inboxes are not part of the load."""
    readers: dict[str, list[str]] = {}
    for name in sorted({name for of in known.values() for name in of}):
        if name.startswith("d."):
            readers[name] = [user for user in name.split(".")[1:] if user in known]
        elif not name.startswith("inbox."):
            readers[name] = [user for user, of in known.items() if name in of]
    return readers


def _all(reports: Iterable[dict[str, Any]], name: str) -> list[Any]:
    return list(chain.from_iterable(report[name] for report in reports))


def _counted(reports: Iterable[dict[str, Any]], name: str) -> Counter[str]:
    return sum((Counter(report[name]) for report in reports), Counter())
