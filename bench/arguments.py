"""What the command takes. Imports nothing heavy: every other command of `stonechat` reads this too."""

import argparse
from pathlib import Path

JSON = Path("bench/out/results.jsonl")
RATES = (250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 3500.0, 4000.0, 5000.0, 6000.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The modes and their arguments."""
    modes = parser.add_subparsers(title="modes", dest="mode", metavar="MODE", required=True)
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument(
        "--server", metavar="URL", help="a server that runs already; default: one is started, on a fresh data folder"
    )
    everywhere.add_argument("--pid", type=int, help="with --server: its Python process, for figures of CPU and memory")
    everywhere.add_argument(
        "--json", type=Path, default=JSON, metavar="FILE", help="results are appended to it (default %(default)s)"
    )
    everywhere.add_argument("--processes", type=int, default=1, help="generator processes (default %(default)s)")
    everywhere.add_argument("--seed", type=int, default=1, help="of the schedule (default %(default)s)")
    everywhere.add_argument("--size", type=int, default=100, help="bytes of content of a message (default %(default)s)")

    ladder = modes.add_parser(
        "ladder", parents=[everywhere], help="the highest rate one to one with a p99 under 50 ms and nothing missing"
    )
    ladder.add_argument("--rates", type=_rates, default=RATES, help="messages a second, comma-separated, rising")
    _window(ladder, seconds=15.0)
    ladder.add_argument(
        "--clients",
        type=int,
        default=100,
        help="streams, each of its own user; two and two write to each other (default %(default)s)",
    )
    ladder.add_argument("--keep-going", action="store_true", help="also rates above the first that does not hold")


def _window(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument("--seconds", type=float, default=seconds, help="measured at each rate (default %(default)s)")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds of load before (default %(default)s)")


def _rates(text: str) -> tuple[float, ...]:
    return tuple(float(rate) for rate in text.split(","))
