"""How `stonechat verify` is asked. Imports nothing of the server, so that other commands start quickly."""

import argparse
from pathlib import Path

DESCRIPTION = """Replays every conversation that is stored, and holds the ledgers that clients wrote against it. Works beside
running servers, on the data folder of a stopped one, and on Cassandra; changes nothing. Exit code: 0 nothing is wrong, 1
something is, 2 it could not look."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--ledgers",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="ledger files, or folders of them (*.ledger)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="look into this data folder (default: at STONECHAT_CASSANDRA if that is set, else into STONECHAT_DATA_DIR)",
    )
    parser.add_argument(
        "--conversation", action="append", default=[], metavar="ID", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--settled",
        action="store_true",
        help="clients had time to catch up: each must have seen everything up to the end",
    )
    parser.add_argument(
        "--all",
        nargs="?",
        type=_count,
        default=1,
        const=1000,
        metavar="N",
        help="name up to N (1000) of each kind, not only the first",
    )
    parser.add_argument("--json", action="store_true", help="the verdict as JSON, for programs")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count
