"""A script that drives `stonechat chat --plain`: a process, lines in, events out."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

DEADLINE_SECONDS = 30
# The command without the rest of `stonechat`, which would take seconds to import.
PROGRAM = """
import argparse, asyncio, os, sys
os.environ["GRPC_VERBOSITY"] = "NONE"
from stonechat_client import terminal
parser = argparse.ArgumentParser()
terminal.add_arguments(parser)
sys.exit(asyncio.run(terminal.run(parser.parse_args())))
"""
PASSWORD = "password"


class Script:
    """What it has said, and all that it was told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.told: list[dict[str, Any]] = []
        self.complaints = ""

    def say(self, line: str | dict[str, str]) -> None:
        """A line in."""
        text = line if isinstance(line, str) else json.dumps(line)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())

    async def sees(self, event: str, **keys: Any) -> dict[str, Any]:
        """Wait for an event of a kind with these values."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while line := await self._process.stdout.readline():
                    self.told.append(json.loads(line))
                    if self._fits(self.told[-1], event, keys):
                        return self.told[-1]
            complaints = await self._rest()
        except TimeoutError:
            complaints = "(it is still running)"
        raise AssertionError(f"no {event} {keys} in {self.told[-20:]}\n{complaints}")

    def seen(self, event: str, **keys: Any) -> list[dict[str, Any]]:
        """Such events among those that were told already."""
        return [told for told in self.told if self._fits(told, event, keys)]

    async def leaves(self) -> int:
        """No more input; returns the exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE_SECONDS):
            self.told += map(json.loads, (await self._process.stdout.read()).decode().splitlines())
            self.complaints += await self._rest()
            return await self._process.wait()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """As a power cut."""
        self._process.kill()

    async def _rest(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()

    @staticmethod
    def _fits(told: dict[str, Any], event: str, keys: dict[str, Any]) -> bool:
        return told["event"] == event and all(told[key] == value for key, value in keys.items())


@asynccontextmanager
async def chatting(
    name: str, server: str, *arguments: str, password: str = PASSWORD, cache: str = "", first: str = "live"
) -> AsyncIterator[Script]:
    """A script at the program. It keeps nothing unless `cache` names a folder. It has been told of state `first` when the
    block begins, unless that is empty."""
    others = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    given = {"STONECHAT_PASSWORD": password} if password else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "--user", name, "--server", server, *arguments),
        *(() if cache else ("--no-cache",)),
        env=others | given | ({"XDG_DATA_HOME": cache} if cache else {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        script = Script(process)
        if first:
            await script.sees("state", state=first)
        yield script
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
