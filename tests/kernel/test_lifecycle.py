"""Tasks have owners; a process stops in two stages; a stuck one ends; a folder has one process."""

import asyncio
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from svc.kernel.errors import StartError
from svc.kernel.lifecycle import data_folder, owned


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("inside")


async def test_an_owned_task_lives_as_long_as_the_block():
    """When the block ends, the task has ended, and has cleaned up."""
    steps = []

    async def work() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    async with owned(work(), "worker") as task:
        assert task.get_name() == "worker"
        await asyncio.sleep(0)
    assert task.cancelled()
    assert steps == ["cleaned up"]


async def test_an_error_of_the_block_ends_the_task_and_goes_on():
    """It is not replaced by the task's end."""
    with pytest.raises(KeyError):
        async with owned(for_ever(), "worker") as task:
            raise KeyError("of the block")
    assert task.cancelled()


async def test_cancellation_passes_through():
    """Whoever owns a task can be cancelled, and takes it along."""
    tasks: list[asyncio.Task[None]] = []

    async def owner() -> None:
        async with owned(for_ever(), "worker") as task:
            tasks.append(task)
            await for_ever()

    owning = asyncio.create_task(owner())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    owning.cancel()
    await asyncio.wait([owning])
    assert owning.cancelled()
    assert tasks[0].cancelled()


async def test_a_failure_is_reported_at_once():
    """While the block goes on, to whoever asked to hear of it."""
    heard: list[BaseException] = []
    async with owned(fail(), "worker", heard.append) as task:
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert [str(error) for error in heard] == ["inside"]


async def test_a_failure_that_nobody_hears_of_is_logged(caplog: pytest.LogCaptureFixture):
    """With the name of the task and what happened."""
    async with owned(fail(), "worker") as task:
        await asyncio.wait([task])
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "task worker died"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "inside"


async def test_a_task_that_is_done_or_cancelled_is_no_failure(caplog: pytest.LogCaptureFixture):
    """Nothing is reported."""
    heard: list[BaseException] = []
    async with owned(asyncio.sleep(0), "quick", heard.append) as quick, owned(for_ever(), "long", heard.append):
        await quick
    assert heard == []
    assert caplog.records == []


SERVER = """
import asyncio, sys
from svc.kernel.lifecycle import stop_on_signals

async def main():
    stop = asyncio.Event()
    stop_on_signals(stop)
    print("ready", flush=True)
    await stop.wait()
    print("draining", flush=True)
    if sys.argv[1] == "slow":
        await asyncio.Event().wait()

asyncio.run(main())
print("left", flush=True)
"""


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains(number: signal.Signals):
    """The process goes on until it is done, and leaves well."""
    with start(SERVER, "quick") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("draining\nleft\n", 0)


def test_the_second_signal_leaves_at_once():
    """Whatever the process still waits for."""
    with start(SERVER, "slow") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "draining\n"
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)
    assert (out, process.returncode) == ("", 130)
    assert "leaving at once" in error


WATCHED = """
import asyncio, sys, time
from svc.kernel.lifecycle import watchdog

async def main():
    with watchdog(float(sys.argv[2])):
        print("ready", flush=True)
        if sys.argv[1] == "stuck":
            time.sleep(30)
        elif sys.argv[1] == "paused":
            await asyncio.to_thread(sys.stdin.readline)
        elif sys.argv[1] == "busy":
            end = time.monotonic() + 3 * float(sys.argv[2])
            while time.monotonic() < end:
                time.sleep(float(sys.argv[2]) / 10)
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    print("left", flush=True)

asyncio.run(main())
"""


def test_a_process_whose_loop_is_stuck_ends():
    """Others then take over what it owned; it says why."""
    with start(WATCHED, "stuck", "0.3") as process:
        _, error = process.communicate(timeout=20)
    assert process.returncode == 70
    assert "the event loop has not turned" in error


def test_a_process_that_was_paused_goes_on():
    """However long it was: its loop could not turn, and its watchdog could not look."""
    with start(WATCHED, "paused", "0.3") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        with start(WATCHED, "stuck", "0.3") as another:  # it takes longer than that to end
            another.communicate(timeout=20)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate("go on\n", timeout=20)
    assert (out, process.returncode) == ("left\n", 0)


def test_a_loop_that_turns_slowly_is_left_alone():
    """Long work in pieces is no reason to end."""
    with start(WATCHED, "busy", "0.3") as process:
        out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("ready\nleft\n", 0)


HOLDER = """
import sys
from pathlib import Path
from svc.kernel.lifecycle import data_folder

with data_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_data_folder_has_one_process(tmp_path: Path):
    """The second is told what to do; when the first has died, however, the folder is free."""
    folder = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StartError, match="in use by another Stonechat"), data_folder(folder):
            pytest.fail("two processes")
        process.kill()
    with data_folder(folder):
        assert (folder / "run").is_dir()


def test_a_data_folder_is_for_its_owner_only(tmp_path: Path):
    """It is made with all above it when missing."""
    folder = tmp_path / "a" / "b"
    with data_folder(folder):
        for path in (folder, folder / "run"):
            assert path.stat().st_mode & 0o077 == 0
    with data_folder(folder):
        pass


def test_a_data_folder_that_cannot_be_made_stops_the_start(tmp_path: Path):
    """The text names the folder and the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="STONECHAT_DATA_DIR") as caught, data_folder(tmp_path / "file" / "data"):
        pytest.fail("it is no folder")
    assert str(tmp_path / "file" / "data") in caught.value.message
