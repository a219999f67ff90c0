"""The watchdog ends a process whose event loop is stuck, and none that was only paused."""

import signal
import subprocess
import sys

import pytest

from tests.faults.server import until

_PROGRAM = """
import asyncio, sys, time
from svc.kernel.lifecycle import watchdog

async def main():
    with watchdog(1.0):
        print("turning", flush=True)
        if sys.argv[1] == "blocked":
            time.sleep(600)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await asyncio.sleep(0)
        print("still turning", flush=True)

asyncio.run(main())
"""


@pytest.fixture
def program():
    started = []

    def start(how: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", _PROGRAM, how], text=True, **pipes))
        assert started[-1].stdout.readline() == "turning\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def test_a_blocked_event_loop_ends_the_process(program):
    process = program("blocked")
    await until(lambda: process.poll() is not None, "the watchdog has ended it")
    assert process.returncode == 70
    assert "the event loop has not turned" in process.stderr.read()


async def test_a_paused_process_goes_on(program):
    """Paused for three times as long as the event loop may stand still."""
    process = program("waiting")
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.send_signal(signal.SIGCONT)
    # Long enough for every look that a wrong verdict would need.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    assert process.communicate("\n") == ("still turning\n", "")
    assert process.returncode == 0
