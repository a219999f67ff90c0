"""What `stonechat verify` is made of: the message store of a data folder, and ledgers."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from svc.backends.messages_schema import KEY_RETENTION_SECONDS, MESSAGES_FILE
from svc.backends.sqlite_reader import reading
from svc.kernel.clock import Clock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.ids import is_conversation_id
from svc.verify.adapters.ledgers import open_ledgers
from svc.verify.adapters.sqlite import SqliteArchive
from svc.verify.verdict import Verdict
from svc.verify.verification import Progress, Verification


def verify(
    data_dir: Path,
    ledgers: Sequence[Path],
    only: Sequence[str],
    settled: bool,
    keep: int,
    clock: Clock,
    progress: Progress,
) -> Verdict:
    """Look at a data folder, whether a server runs on it or not, and at ledgers of its clients. Blocks; changes nothing.

    `only`: these conversations (none: all). `keep`: findings of each kind that are told whole. Raises Unavailable or
    StartError when something cannot be looked at.
    """
    for name in only:
        if not is_conversation_id(name):
            raise StartError(f"{name!r} is no conversation: they are named `d.<user>.<user>`, `g…` or `inbox.<user>`")
    path = data_dir / MESSAGES_FILE
    if not path.is_file():
        raise Unavailable(
            f"there is no {MESSAGES_FILE} in {data_dir}: name the data folder with --data-dir or STONECHAT_DATA_DIR"
        )
    verdict = Verdict(keep)
    with ExitStack() as stack:
        # First the ledgers: what clients can have seen by then is stored when the store is read.
        testimony = stack.enter_context(open_ledgers(ledgers, progress))
        archive = SqliteArchive(stack.enter_context(reading(path)))
        kept_since_us = clock.now_us() - KEY_RETENTION_SECONDS * 1_000_000
        Verification(archive, testimony, verdict, settled, kept_since_us).run(only, progress)
    return verdict
