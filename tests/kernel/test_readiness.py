"""What operators are told of back ends."""

import asyncio
import json
import logging
import socket
import urllib.error
import urllib.request

import pytest

from svc.kernel.clock import SystemClock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.pages import operators_pages
from svc.kernel.readiness import Readiness
from tests.fakes import FakeClock


class BackEnd:
    """Answers, refuses, or hangs."""

    def __init__(self) -> None:
        self.error = ""
        self.hangs = asyncio.Event()
        self.hangs.set()

    async def ping(self) -> None:
        await self.hangs.wait()
        if self.error:
            raise Unavailable(self.error)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_the_page_says_which_back_end_does_not_answer():
    """And that it does again; the others are not blamed."""
    good, bad, port = BackEnd(), BackEnd(), free_port()
    readiness = Readiness({"good": good.ping, "bad": bad.ping}, SystemClock())
    bad.error = "the disk is full"
    with operators_pages(("127.0.0.1", port), readiness):
        async with owned(readiness.run(), "readiness"):
            async with asyncio.timeout(10):
                while not readiness.troubles["bad"]:  # noqa: ASYNC110 - no event tells of it
                    await asyncio.sleep(0.01)
            code, text = await asyncio.to_thread(page, port, "/ready")
            assert code == 503
            assert json.loads(text) == {"ready": False, "back_ends": {"good": "answers", "bad": "the disk is full"}}
            code, text = await asyncio.to_thread(page, port, "/metrics")
            assert code == 200
            assert 'stonechat_back_end_up{back_end="bad"} 0.0' in text
            bad.error = ""
            async with asyncio.timeout(10):
                while readiness.troubles["bad"]:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
            assert (await asyncio.to_thread(page, port, "/ready"))[0] == 200


class Enough(Exception):
    """The script is through."""


class Script(FakeClock):
    """Says how a back end fares after each look."""

    def __init__(self, end: BackEnd, errors: list[str]) -> None:
        super().__init__()
        self.end, self.errors = end, errors

    async def sleep(self, seconds: float) -> None:
        if not self.errors:
            raise Enough
        self.end.error = self.errors.pop(0)


async def test_one_line_a_transition(caplog):
    """However long it lasts."""
    end = BackEnd()
    with caplog.at_level(logging.INFO), pytest.raises(Enough):
        await Readiness({"log": end.ping}, Script(end, ["", "gone", "gone", "still gone", "", ""])).run()
    assert [record.message for record in caplog.records] == [
        "a back end does not answer",
        "a back end answers again",
    ]


def test_an_address_that_is_taken_is_named():
    """With what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        readiness = Readiness({}, SystemClock())
        with (
            pytest.raises(StartError, match="STONECHAT_METRICS_LISTEN"),
            operators_pages(("127.0.0.1", port), readiness),
        ):
            pass
