"""The arguments of `stonechat conformance`. Apart from the command, so that reading them loads nothing else."""

import argparse
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8080"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to the parser of the subcommand."""
    parser.description = (
        "Checks the promises of the contract on every surface of a running server: the same answers, order, repeats, errors and"
        " limits on each. It makes throw-away users, leaves their groups and signs their devices out; the accounts stay."
    )
    parser.epilog = "Exit code: 0 all green, 1 a promise is broken, 2 the suite could not run."
    parser.add_argument(
        "url", nargs="?", default=DEFAULT_URL, metavar="URL", help=f"the server, {DEFAULT_URL} if not given"
    )
    parser.add_argument("--surface", action="append", metavar="NAME", help="only on this surface; may be repeated")
    parser.add_argument(
        "--case", action="append", metavar="PATTERN", help="only cases whose name has this text or matches it (*, ?)"
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="who signed the certificate of an https URL (PEM)")
    parser.add_argument("--list", action="store_true", help="list the cases with their promises, and run nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome to a file, for programs")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown, progress to stderr")
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="how long to wait for one answer, 20 if not given",
    )
