"""What `stonechat capacity` may be told."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Inputs that differ, and how to print."""
    parser.add_argument(
        "inputs",
        nargs="*",
        type=_assignment,
        metavar="NAME=VALUE",
        help="inputs that differ: daily_users=200e6 group_share=0.5",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="the tables as in ARCHITECTURE.md: 50 and 200 million users a day"
    )


def _assignment(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE with a number, as daily_users=200e6") from None
