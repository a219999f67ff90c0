"""The command: `python -m bench MODE`, the same as `stonechat bench MODE`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # processes are started by fork and exec, about which gRPC would complain

import grpc

from bench import plots, report, results, table
from bench.arguments import RATES, add_arguments
from bench.crowd import Terms
from bench.fleet import GeneratorFailed
from bench.modes import group, idle, kill, ladder, soak, storm
from bench.progress import say
from bench.server import SPREAD, WHOLE, Server, ServerFailed, serving

# What `all` runs: small enough for five minutes, large enough to say something.
_ALL: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("ladder", {"rates": RATES[1:], "keep_going": False, "clients": 100, "seconds": 10.0, "warm_up": 2.0}),
    ("group", {"rate": 20.0, "clients": 500, "seconds": 10.0, "warm_up": 2.0}),
    ("idle", {"clients": 1000}),
    ("storm", {"clients": 1000}),
    ("kill", {"rate": 200.0, "clients": 60, "seconds": 12.0, "warm_up": 2.0}),
)


def _measured(mode: str, server: Server, args: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    terms = Terms(**{name: args[name] for name in Terms.__dataclass_fields__ if name in args})
    match mode:
        case "ladder":
            return ladder.run(server, terms, args["rates"], args["keep_going"])
        case "group":
            return group.run(server, terms, args["rate"])
        case "idle":
            return idle.run(server, terms)
        case "storm":
            return storm.run(server, terms)
        case "soak":
            return soak.run(server, terms, args["connects"], args["rate"])
        case _:
            return kill.run(server, terms, args["rate"])


def _plan(args: argparse.Namespace) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The modes to run, each with its arguments."""
    if args.mode != "all":
        yield args.mode, vars(args)
        return
    for mode, its in _ALL:
        yield mode, vars(args) | dict(its)


async def run(args: argparse.Namespace) -> None:
    """Measure, print, keep. Raises ServerFailed, GeneratorFailed, OSError, grpc.aio.AioRpcError."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # else the server would outlive us
    results.check_writable(args.json)
    around = results.surroundings()
    measured: list[dict[str, Any]] = []
    for mode, its in _plan(args):
        async with serving(args.server, args.pid, SPREAD if args.spread else WHOLE) as server:
            say(f"{mode}: server on {server.url}, {_settings(server)}")
            async for result in _measured(mode, server, its):
                measured.append(
                    around | {"date": results.now(), "settings": server.changed, "shape": server.shape} | result
                )
                results.append(args.json, measured[-1])
                print(table.line(result), flush=True)
    drawn = plots.draw(measured, args.json.parent)
    print("\n".join(["", f"results: {args.json}", *(f"plot: {path}" for path in drawn)]))


def _report(args: argparse.Namespace) -> int:
    try:
        written = report.write(results.read(args.json), args.into)
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"written: {path}" for path in written))
    return 0


def _settings(server: Server) -> str:
    if not server.ours:
        return "its settings are not known"
    changed = (f"{name.removeprefix('STONECHAT_')}={value}" for name, value in server.changed.items())
    return "changed from the defaults: " + " ".join(changed)


def start(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code: 0 measured, 1 it could not be, 130 interrupted, 143 terminated."""
    if args.mode == "report":
        return _report(args)
    try:
        asyncio.run(run(args))
    except (ServerFailed, GeneratorFailed, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except grpc.aio.AioRpcError as error:
        where = args.server or "the server that was started"
        print(f"bench: {where} refused or did not answer: {error.code().name} {error.details()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except asyncio.CancelledError:
        return 143
    return 0


def main() -> int:
    """For `python -m bench`."""
    parser = argparse.ArgumentParser(prog="bench", description="Load for a Stonechat server, and what it costs.")
    add_arguments(parser)
    return start(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
