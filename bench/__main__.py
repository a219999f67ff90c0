"""The command: `python -m bench MODE`, the same as `stonechat bench MODE`."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # processes are started by fork and exec, about which gRPC would complain

import grpc

from bench import results, table
from bench.arguments import add_arguments
from bench.fleet import GeneratorFailed
from bench.modes import ladder
from bench.progress import say
from bench.server import Server, ServerFailed, serving


async def run(args: argparse.Namespace) -> None:
    """Measure, print, keep. Raises ServerFailed, GeneratorFailed, grpc.aio.AioRpcError."""
    around = results.surroundings()
    async with serving(args.server, args.pid) as server:
        settings = " ".join(f"{name}={value}" for name, value in sorted(server.settings.items()))
        say(f"server on {server.url}   {settings or 'settings unknown'}")
        async for result in _mode(args, server):
            results.append(args.json, around | {"date": results.now(), "settings": server.settings} | result)
            print(table.line(result), flush=True)


def _mode(args: argparse.Namespace, server: Server) -> AsyncIterator[dict[str, Any]]:
    return ladder.run(
        server,
        args.processes,
        args.clients,
        args.rates,
        args.seconds,
        args.warm_up,
        args.size,
        args.seed,
        args.keep_going,
    )


def start(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code: 0 measured, 1 it could not be, 130 interrupted."""
    try:
        asyncio.run(run(args))
    except (ServerFailed, GeneratorFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except grpc.aio.AioRpcError as error:
        print(f"bench: a call failed: {error.code().name} {error.details()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> int:
    """For `python -m bench`."""
    parser = argparse.ArgumentParser(prog="bench", description="Load for a Stonechat server, and what it costs.")
    add_arguments(parser)
    return start(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
