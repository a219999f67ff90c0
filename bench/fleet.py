"""The generator processes, seen from their parent: started, commanded, ended."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bench.client import Account

_LINE_BYTES = 256 << 20  # a report holds every sample
_ANSWER_SECONDS = 900.0
_END_SECONDS = 10.0
_NUMBERS_A_PROCESS = 1 << 32
AT_ONCE = 16
"""Streams that a process opens at the same time: with two processes fewer than the server lets say Hello at once."""


class GeneratorFailed(Exception):
    """A generator could not do what it was told; the text says what."""


class Generators:
    """All generator processes. Commands go to each of them at the same time."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]

    def apart(self) -> list["Generators"]:
        """Each process by itself, for one that does something else than the others."""
        return [Generators([process]) for process in self._processes]

    def __len__(self) -> int:
        return len(self._processes)

    async def all(self, do: str, **arguments: Any) -> list[dict[str, Any]]:
        """The same command for every process. Raises GeneratorFailed."""
        return await self.each(do, [arguments] * len(self))

    async def each(self, do: str, arguments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """A command with other arguments for each process; their answers in the same order. Raises GeneratorFailed."""
        asked = zip(self._processes, arguments, strict=True)
        return await asyncio.gather(*(_ask(process, {"do": do} | its) for process, its in asked))

    async def open(
        self, host: str, port: int, shares: Sequence[Sequence[Account]], at_once: int = AT_ONCE
    ) -> list[dict[str, Any]]:
        """Streams for these accounts, those of each process; returns when all are up. Raises GeneratorFailed."""
        return await self.each(
            "open",
            [
                {
                    "host": host,
                    "port": port,
                    "accounts": [(account.user_id, account.token) for account in share],
                    "at_once": at_once,
                    "first": index * _NUMBERS_A_PROCESS + 1,
                }
                for index, share in enumerate(shares)
            ],
        )


@asynccontextmanager
async def generators(count: int) -> AsyncIterator[Generators]:
    """So many generator processes; they end with the block."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        while len(processes) < count:
            processes.append(await _start())
        yield Generators(processes)
    finally:
        await asyncio.gather(*map(_end, processes))


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.generator",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for the parent, which ends them in order
    )


async def _ask(process: asyncio.subprocess.Process, command: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(_ANSWER_SECONDS):
        process.stdin.write(json.dumps(command).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
    if not line:
        raise GeneratorFailed(f"a generator process ended with code {await process.wait()}; what it said stands above")
    answer: dict[str, Any] = json.loads(line)
    if "failed" in answer:
        raise GeneratorFailed(answer["failed"])
    done: dict[str, Any] = answer["done"]
    return done


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()  # the end of its input is the end of it
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
