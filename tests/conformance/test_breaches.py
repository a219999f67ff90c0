"""The suite can fail: whoever breaks one promise is caught by the case that has its name, and nobody else is."""

import pytest

from tests.conformance.breaches import ARRIVES, BREACHES, RULES, Broken
from tests.conformance.checked import check, failed, named
from tests.conformance.proxy import Breach, byte_proxy, grpc_proxy
from tests.mesh.product import Product

# What a server over HTTP/1.1 says, by what is wrong with it: bytes, as many others, and the cases that must notice.
SWAPS = {
    "another HTTP status": ("rest+poll", b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 422 Bad Request", RULES),
    "a reason that is none": ("rest+poll", b'"INVALID_FIELD"', b'"INVALID_FIELZ"', RULES),
    "another seq": ("rest+poll", b'"seq":"2"', b'"seq":"9"', ARRIVES),
    "another content": ("rest+sse", b"hello yourself", b"hello yourselF", ARRIVES),
    "an id that is no cursor": ("rest+sse", b"id: ", b"ID: ", ARRIVES),
    "another type of content": ("rest+sse", b"text/event-stream", b"text/event-strEAM", ARRIVES),
    "JSON that breaks off": ("rest+poll", b'{"messageId"', b'"{messageId"', ARRIVES),
    "another content over grpc-web": ("grpc-web", b"hello yourself", b"hello yourselF", ARRIVES),
}  # fmt: skip


@pytest.mark.parametrize("what", list(BREACHES))
async def test_a_broken_promise_is_noticed(kept: Product, what: str):
    broken: Broken = BREACHES[what]
    cases = named(*broken.noticed)
    async with grpc_proxy(kept.url, broken.breach()) as url:
        outcomes = await check(url, cases, broken.surface)
    assert set(failed(outcomes)) == {case.name for case in cases}
    for outcome in outcomes:
        assert outcome.failure.where.startswith(("cases/", "generated/")), outcome.failure


async def test_where_nothing_is_broken_nothing_is_noticed(kept: Product):
    names = {name for broken in BREACHES.values() for name in broken.noticed}
    async with grpc_proxy(kept.url, Breach()) as url:
        outcomes = await check(url, named(*names), "connect", "grpc+poll")
    assert failed(outcomes) == {}


@pytest.mark.parametrize("what", list(SWAPS))
async def test_bytes_that_are_not_what_was_promised_are_noticed(kept: Product, what: str):
    surface, old, new, name = SWAPS[what]
    async with byte_proxy(kept.url, (old, new)) as url:
        outcomes = await check(url, named(name), surface)
    assert set(failed(outcomes)) == {name}


async def test_bytes_that_are_what_was_promised_are_not(kept: Product):
    names = {name for *_, name in SWAPS.values()}
    async with byte_proxy(kept.url) as url:
        outcomes = await check(url, named(*names), "rest+poll", "rest+sse", "grpc-web")
    assert failed(outcomes) == {}
