"""What the command takes. Imports nothing heavy: every other command of `stonechat` reads this too."""

import argparse
from pathlib import Path
from urllib.parse import urlsplit

JSON = Path("bench/out/results.jsonl")
RESULTS = Path("bench/RESULTS.md")
RATES = (250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 3500.0, 4000.0, 5000.0, 6000.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The modes and their arguments."""
    modes = parser.add_subparsers(title="modes", dest="mode", metavar="MODE", required=True)

    ladder = _mode(modes, "ladder", "the highest rate one to one with a p99 under 50 ms and nothing missing")
    ladder.add_argument("--rates", type=_rates, default=RATES, help="messages a second, comma-separated, rising")
    _window(ladder, seconds=15.0)
    _clients(ladder, 100, "streams, each of its own user; two and two write to each other")
    ladder.add_argument("--keep-going", action="store_true", help="also rates above the first that does not hold")

    group = _mode(modes, "group", "one group, all of it online: how fast everybody gets every message")
    _clients(group, 500, "members")
    group.add_argument(
        "--rate", type=_positive, default=20.0, help="messages a second to all of them (default %(default)s)"
    )
    _window(group, seconds=15.0)

    idle = _mode(modes, "idle", "memory of a stream that says nothing")
    _clients(idle, 1000, "streams")

    storm = _mode(modes, "storm", "all streams are cut at once: how long until all are back")
    _clients(storm, 1000, "streams")

    kill = _mode(modes, "kill", "the server is killed under load: how long until all are back, is anything lost")
    _clients(kill, 100, "streams")
    kill.add_argument("--rate", type=_positive, default=300.0, help="messages a second (default %(default)s)")
    _window(kill, seconds=15.0)

    soak = _mode(modes, "soak", "clients that come, leave, hang and read slowly: does the server grow")
    _clients(soak, 20, "streams of clients that are well, and get every message meanwhile")
    soak.add_argument(
        "--connects", type=_count, default=6000, help="streams opened by the others (default %(default)s)"
    )
    soak.add_argument("--rate", type=_positive, default=20.0, help="messages a second meanwhile (default %(default)s)")

    _mode(modes, "all", "all of these but the soak, short: what `make bench` runs, in under five minutes")

    what = "write the newest two runs of each mode into RESULTS.md, with plots"
    report = modes.add_parser("report", help=what, description=what)
    report.add_argument("--json", type=Path, default=JSON, metavar="FILE", help="the results (default %(default)s)")
    report.add_argument("--into", type=Path, default=RESULTS, metavar="FILE", help="the page (default %(default)s)")


def _mode(
    modes: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str
) -> argparse.ArgumentParser:
    mode = modes.add_parser(name, help=what, description=what)
    mode.add_argument(
        "--server",
        type=_url,
        metavar="URL",
        help="one that runs already; default: one is started, on a fresh data folder",
    )
    mode.add_argument("--spread", action="store_true", help="front, messaging and delivery as processes of their own")
    mode.add_argument("--pid", type=int, help="with --server: its Python process, for figures of CPU and memory")
    mode.add_argument(
        "--json", type=Path, default=JSON, metavar="FILE", help="results are appended to it (default %(default)s)"
    )
    mode.add_argument("--processes", type=_count, default=1, help="generator processes (default %(default)s)")
    mode.add_argument("--seed", type=int, default=1, help="of the schedule (default %(default)s)")
    mode.add_argument("--size", type=_count, default=100, help="bytes of content of a message (default %(default)s)")
    return mode


def _window(mode: argparse.ArgumentParser, seconds: float) -> None:
    mode.add_argument("--seconds", type=_positive, default=seconds, help="measured (default %(default)s)")
    mode.add_argument("--warm-up", type=float, default=3.0, help="seconds of load before that (default %(default)s)")


def _clients(mode: argparse.ArgumentParser, count: int, what: str) -> None:
    mode.add_argument("--clients", type=_count, default=count, help=f"{what} (default %(default)s)")


def _rates(text: str) -> tuple[float, ...]:
    return tuple(map(_positive, text.split(",")))


def _positive(text: str) -> float:
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} must be more than 0")
    return number


def _count(text: str) -> int:
    return int(_positive(str(int(text))))


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or parts.port is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no server: expected http://host:port")
    return f"http://{parts.netloc}"
