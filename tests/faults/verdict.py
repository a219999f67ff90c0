"""The verdict on a run: what the shipped `stonechat verify` says of all that is stored and of what clients wrote down."""

import json
from collections.abc import Collection
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.faults.clients import Account, list_events, newest, persistently, rest
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.server import Server

_PROMISES = ("lost", "doubled", "reordered", "wrong", "problems")


async def verify(server: Server, *ledgers: Path, settled: bool = True) -> dict[str, Any]:
    """Run `stonechat verify` on a server's data, whether it runs or not; returns its verdict. AssertionError when it could not
    look."""
    options = [
        "--json",
        "--all",
        *(["--settled"] if settled else []),
        *(["--ledgers", *map(str, ledgers)] if ledgers else []),
    ]
    code, out, err = await server.command("verify", *options)
    assert code in (0, 1), err
    assert out, err
    verdict: dict[str, Any] = json.loads(out)
    assert verdict["clean"] == (code == 0)
    return verdict


def told(verdict: dict[str, Any]) -> str:
    """The verdict in one line, and what is wrong in those after it."""
    counts = " ".join(f"{name} {verdict[name]}" for name in _PROMISES)
    return "\n  ".join([counts, *(str(finding) for finding in verdict["findings"][:20])])


async def verified(server: Server, talk: Load, what: str, unlogged: Collection[str] = ()) -> set[str]:
    """Let the population come to rest, read everything back through the API, and have it all verified: while the server runs,
    and after its end. Returns the conversations; prints the verdict with its totals. `unlogged`: groups whose record a log that
    lost its end may have had; they need not have begun."""
    try:
        await talk.settle()
    except TimeoutError as late:
        # Somebody waits for what does not come: whether it is lost is what one wants to know.
        raise AssertionError(f"{late}\n  {told(await verify(server, talk.ledgers, settled=False))}") from late
    async with rest(server.url) as http:
        read = [
            await _read_back(http, account, talk.ledgers / f"reader{n}.ledger")
            for n, account in enumerate(talk.accounts)
        ]
    conversations = set().union(*read)
    running = await verify(server, talk.ledgers)
    await talk.leave()
    assert await server.stop() == 0
    stopped = await verify(server, talk.ledgers)
    print(
        f"\n{told(stopped)}\n{what}; conversations {stopped['conversations']}; events {stopped['events']};"
        f" acknowledged {stopped['acknowledged']}; seen {stopped['seen']};"
        f" pushed {sum(client.follower.pushed for client in talk.clients)};"
        f" pulled {sum(client.follower.pulled for client in talk.clients)}; groups {len(talk.groups_made)};"
        f" answers {dict(talk.answers())}"
    )
    for verdict in (running, stopped):
        assert verdict["clean"], told(verdict)
        assert verdict["acknowledged"] == talk.acknowledged
        assert verdict["ledgers"] == len(talk.clients) + len(talk.accounts)
        assert verdict["conversations"] == len(conversations)
    assert not any(client.ledger.problems for client in talk.clients)
    assert len(set(talk.groups_made.values())) == len(talk.groups_made)
    assert set(talk.groups_made.values()) - conversations <= set(unlogged)
    return conversations


async def _read_back(http: httpx.AsyncClient, account: Account, path: Path) -> set[str]:
    """One more witness: it reads every conversation of a user through the API, inbox included, from the first event to the
    last, and writes down what it saw. Returns their names, but for those without an event: an inbox."""
    heads = {name: seq for name, seq in (await persistently(partial(newest, http, account))).items() if seq}
    with closing(Ledger(path, account.user_id)) as ledger:
        for name in heads:
            ledger.follows(name, 0)
            known, last = 0, 1
            while known < last:
                page = await persistently(partial(list_events, http, account, name, known))
                assert [event.seq for event in page.events] == list(range(known + 1, known + 1 + len(page.events)))
                assert page.events
                for event in page.events:
                    ledger.saw(event)
                known, last = page.events[-1].seq, page.last_seq
    return set(heads)
