"""What `stonechat verify` is made of: the message store, and ledgers."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from svc.backends.messages_schema import KEY_RETENTION_SECONDS, MESSAGES_FILE
from svc.backends.sqlite_reader import reading
from svc.kernel.addresses import Address
from svc.kernel.clock import Clock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.ids import is_conversation_id
from svc.kernel.settings import Settings
from svc.verify.adapters.ledgers import open_ledgers
from svc.verify.adapters.sqlite import SqliteArchive
from svc.verify.verdict import Verdict
from svc.verify.verification import Progress, Verification


def verify(
    settings: Settings,
    data_dir: Path | None,
    ledgers: Sequence[Path],
    only: Sequence[str],
    settled: bool,
    keep: int,
    clock: Clock,
    progress: Progress,
) -> Verdict:
    """Look at what is stored, whether servers run on it or not, and at ledgers of their clients. Blocks; changes nothing.

    It is stored in `data_dir`, if that is given, else where the settings say: on Cassandra, or in their data folder. `only`:
    these conversations (none: all). `keep`: findings of each kind that are told whole. Raises Unavailable or StartError when
    something cannot be looked at.
    """
    for name in only:
        if not is_conversation_id(name):
            raise StartError(f"{name!r} is no conversation: they are named `d.<user>.<user>`, `g…` or `inbox.<user>`")
    address = settings.cassandra_address() if data_dir is None else None
    path = (data_dir or settings.data_dir) / MESSAGES_FILE
    if address is None and not path.is_file():
        raise Unavailable(
            f"there is no {MESSAGES_FILE} in {path.parent}: name the data folder with --data-dir or STONECHAT_DATA_DIR"
        )
    verdict = Verdict(keep)
    with ExitStack() as stack:
        # First the ledgers: what clients can have seen by then is stored when the store is read.
        testimony = stack.enter_context(open_ledgers(ledgers, progress))
        if address is not None:
            path = Path(stack.enter_context(TemporaryDirectory(prefix="stonechat-verify-"))) / MESSAGES_FILE
            asyncio.run(_copied(address, settings.master_keys, path, progress))
        archive = SqliteArchive(stack.enter_context(reading(path)))
        kept_since_us = clock.now_us() - KEY_RETENTION_SECONDS * 1_000_000
        Verification(archive, testimony, verdict, settled, kept_since_us).run(only, progress)
    return verdict


async def _copied(address: Address, master_keys: str, path: Path, progress: Progress) -> None:
    from svc.backends.cassandra import open_cassandra
    from svc.backends.sealing import parse_master_keys
    from svc.verify.adapters.cassandra import copy

    async with open_cassandra(address, parse_master_keys(master_keys)) as cassandra:
        await copy(cassandra, path, progress)
