"""`stonechat conformance URL`: the suite against a running server."""

import asyncio
import fnmatch
import json
import os
import sys
import time
from argparse import Namespace
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast
from urllib.parse import urlsplit

from stonechat_conformance import report
from stonechat_conformance.case import Case
from stonechat_conformance.patience import Patience
from stonechat_conformance.people import server
from stonechat_conformance.run import Outcome, run
from stonechat_conformance.suite import suite
from stonechat_conformance.surfaces.table import SURFACES

GREEN, BROKEN, COULD_NOT_RUN = 0, 1, 2
_CONNECT_SECONDS = 10.0
_WIDEST = 60  # of a case's name, so that its line fits on a terminal
_CASE_FACTOR = 4.5  # a case waits for several things


class CouldNotRun(Exception):
    """Nothing was checked; the text says what to do."""


async def conformance(args: Namespace) -> int:
    """Run the suite as the arguments say; returns the exit code."""
    try:
        cases = _chosen(args.case)
        surfaces = _surfaces(args.surface)
        if not args.patience > 0:
            raise CouldNotRun("--patience is a time in seconds, above 0")
        if args.list:
            _list(cases, surfaces)
            return GREEN
        if not any(name not in case.without for case in cases for name in surfaces):
            raise CouldNotRun("none of these cases runs on these surfaces: see --list")
        url = await _reachable(args.url)
        return await _run(url, cases, surfaces, args)
    except CouldNotRun as error:
        print(f"stonechat conformance: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    except BrokenPipeError:
        # Who reads the output has read enough; what is still in the buffer must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT_RUN


async def _run(url: str, cases: list[Case], surfaces: list[str], args: Namespace) -> int:
    progress = Progress(sys.stderr if args.markdown else sys.stdout, cases, surfaces)
    patience = Patience(args.patience, args.patience * _CASE_FACTOR)
    outcomes: list[Outcome] = []
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        # Opened before anything runs, so that a wrong path is told at once.
        results = stack.enter_context(_opened(args.json, "w")) if args.json else None
        if args.ca:
            stack.enter_context(_opened(args.ca, "r"))
        tested = await stack.enter_async_context(server(url, patience, args.ca))
        progress.begin(url, tested.prefix)
        # Closed at once when it is interrupted, so that it tidies up.
        async with aclosing(run(tested, cases, surfaces, progress.running)) as running:
            async for case, found in running:
                outcomes += found
                progress.done(case, found)
        if results:
            json.dump(report.as_json(url, outcomes), results, ensure_ascii=False, indent=1)
    table = report.rows(cases, outcomes, surfaces)
    lines = report.markdown_table(table, surfaces) if args.markdown else ["", *report.text_table(table, surfaces)]
    print("\n".join(lines))
    progress.end([*report.failures(outcomes), "", report.count(outcomes, time.monotonic() - started)])
    return BROKEN if any(outcome.failure for outcome in outcomes) else GREEN


@dataclass
class Progress:
    """A line a case: on a terminal also while it runs."""

    out: TextIO
    cases: list[Case]
    surfaces: list[str]
    at: int = 0

    def begin(self, url: str, prefix: str) -> None:
        """Say what is about to happen."""
        checks = sum(name not in case.without for case in self.cases for name in self.surfaces)
        counts = [
            report.counted(number, what)
            for number, what in ((len(self.cases), "case"), (len(self.surfaces), "surface"), (checks, "check"))
        ]
        self._say(f"{url}: {counts[0]} on {counts[1]}, {counts[2]}")
        self._say(
            f"It makes throw-away users named {prefix}.1, {prefix}.2 …; groups are left and devices signed out as the"
        )
        self._say("cases end, the accounts stay.")
        self._say(f"\n{'':{self._width}}  " + "  ".join(self.surfaces))

    def running(self, case: Case) -> None:
        """A case begins."""
        self.at += 1
        if self.out.isatty():
            self.out.write(f"\r\033[K[{self.at}/{len(self.cases)}] {_short(case.name)} …")
            self.out.flush()

    def done(self, case: Case, outcomes: list[Outcome]) -> None:
        """A case has ended."""
        (row,) = report.rows([case], outcomes, self.surfaces)
        begin = "\r\033[K" if self.out.isatty() else ""
        self._say(f"{begin}{_short(case.name):{self._width}}  {report.cells(row, self.surfaces)}")

    def end(self, lines: list[str]) -> None:
        """All have ended."""
        for line in lines:
            self._say(line)

    @property
    def _width(self) -> int:
        return max(len(_short(case.name)) for case in self.cases)

    def _say(self, line: str) -> None:
        print(line, file=self.out, flush=True)


def _short(name: str) -> str:
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"


def _chosen(patterns: list[str] | None) -> list[Case]:
    wanted = [pattern.lower() for pattern in patterns or ["*"]]
    found = [
        case
        for case in suite()
        if any(pattern in case.name.lower() or fnmatch.fnmatch(case.name.lower(), pattern) for pattern in wanted)
    ]
    if not found:
        raise CouldNotRun(f"no case has {' or '.join(map(repr, wanted))} in its name: see --list")
    return found


def _surfaces(names: list[str] | None) -> list[str]:
    if unknown := [name for name in names or () if name not in SURFACES]:
        raise CouldNotRun(f"there is no surface {unknown[0]!r}; there are {', '.join(SURFACES)}")
    return [name for name in SURFACES if not names or name in names]


def _list(cases: list[Case], surfaces: list[str]) -> None:
    for case in cases:
        print(f"{case.name}\n    {case.promise}")
        for surface in surfaces:
            if why := case.without.get(surface):
                print(f"    not on {surface}: {why}")


async def _reachable(text: str) -> str:
    """The URL, when somebody listens there. Raises CouldNotRun."""
    parts = urlsplit(text if "//" in text else f"//{text}", scheme="http")
    try:
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host or not port or parts.path not in ("", "/") or parts.query:
        raise CouldNotRun(f"{text} is no URL of a server: write http://host:port")
    url = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise CouldNotRun(f"{url} does not take connections within {_CONNECT_SECONDS:g} s") from None
    except OSError as error:
        raise CouldNotRun(f"nobody listens at {url}: is `make run` running? ({error.strerror or error})") from None
    writer.close()
    return url


def _opened(path: Path, mode: str) -> TextIO:
    try:
        return cast(TextIO, path.open(mode, encoding="utf-8"))
    except OSError as error:
        raise CouldNotRun(f"{path}: {error.strerror}") from None
