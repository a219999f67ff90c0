"""`stonechat switch`, run as an operator runs it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from svc.backends.opening import open_hot
from svc.kernel.clock import SystemClock
from svc.kernel.settings import for_tests
from svc.kernel.switches import READ_MARKS, TYPING, Switches
from tests.real import address, unique


def switch(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "svc", "switch", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.real)])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Where the processes of an installation keep their switches."""
    where = {"STONECHAT_DATA_DIR": str(tmp_path)}
    return where if request.param == "file" else where | {"STONECHAT_REDIS": address("redis", unique("switch"))}


async def test_running_processes_follow_the_command(environment: dict[str, str], tmp_path: Path):
    """Off, and on again."""
    settings = for_tests(tmp_path, redis=environment.get("STONECHAT_REDIS", ""))
    switches = Switches()
    async with open_hot(settings, SystemClock(), {}) as hot:
        following = asyncio.create_task(switches.follow(hot.board, SystemClock()))
        for word, on in (("off", False), ("on", True)):
            code, told = await asyncio.to_thread(switch, word, READ_MARKS, **environment)
            assert (code, told) == (0, f"read-marks is {word}: processes that run follow within 2 s\n")
            code, told = await asyncio.to_thread(switch, "list", **environment)
            assert code == 0
            states = {line.split()[0]: line.split()[1] for line in told.splitlines()}
            assert states == {TYPING: "on", READ_MARKS: word}
            async with asyncio.timeout(20):
                while switches.is_on(READ_MARKS) != on:  # noqa: ASYNC110 - a file tells nobody
                    await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.wait([following])


def test_what_there_is_not_cannot_be_switched(tmp_path: Path):
    """It says what there is."""
    told = (1, "stonechat: there is no search to switch: there are typing, read-marks\n")
    assert switch("off", "search", STONECHAT_DATA_DIR=str(tmp_path)) == told


def test_where_no_server_ran_there_is_nothing_to_switch(tmp_path: Path):
    """Rather than to switch what nobody will look at."""
    code, told = switch("off", TYPING, STONECHAT_DATA_DIR=str(tmp_path / "elsewhere"))
    assert code == 1
    assert "set STONECHAT_DATA_DIR to its data folder" in told
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.real
def test_a_redis_that_does_not_answer_is_told(tmp_path: Path):
    """Nothing was switched then."""
    code, told = switch("list", STONECHAT_DATA_DIR=str(tmp_path), STONECHAT_REDIS="redis://127.0.0.1:1")
    assert (code, told[:33]) == (1, "stonechat: Redis does not answer:")
