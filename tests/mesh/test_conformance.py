"""The conformance suite against the product: the list that `stonechat conformance` runs against any server."""

import asyncio

import pytest

from stonechat_conformance.case import Case
from stonechat_conformance.people import People
from stonechat_conformance.suite import suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHECKS = [
    pytest.param(case, surface, id=f"{case.name}-{surface}".replace(" ", "_"))
    for case in suite()
    for surface in case.surfaces()
]


@pytest.mark.parametrize(("case", "surface"), CHECKS)
async def test_a_promise_is_kept(people: People, case: Case, surface: str):
    async with asyncio.timeout(people.server.patience.case_seconds):
        await case.check(people)
