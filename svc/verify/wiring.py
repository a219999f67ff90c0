"""What `stonechat verify` is made of: the message store, and ledgers."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from svc.backends.messages_schema import KEY_RETENTION_SECONDS, MESSAGES_FILE
from svc.backends.sqlite_reader import reading, scratch
from svc.kernel.clock import Clock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.ids import is_conversation_id
from svc.kernel.settings import Settings
from svc.verify.adapters.ledgers import open_ledgers
from svc.verify.adapters.sqlite import SqliteArchive, SqliteSnapshot
from svc.verify.ports import Archive
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
    verdict = Verdict(keep)
    with ExitStack() as stack:
        # First the ledgers: what clients can have seen by then is stored when the store is read.
        testimony = stack.enter_context(open_ledgers(ledgers, progress))
        archive = stack.enter_context(_archive(settings, data_dir, clock, progress))
        kept_since_us = clock.now_us() - KEY_RETENTION_SECONDS * 1_000_000
        Verification(archive, testimony, verdict, settled, kept_since_us).run(only, progress)
    return verdict


@contextmanager
def _archive(settings: Settings, data_dir: Path | None, clock: Clock, progress: Progress) -> Iterator[Archive]:
    address = settings.cassandra_address()
    if address is None or data_dir is not None:
        folder = data_dir or settings.data_dir
        path = folder / MESSAGES_FILE
        if not path.is_file():
            raise Unavailable(
                f"there is no {MESSAGES_FILE} in {folder}: name the data folder with --data-dir or STONECHAT_DATA_DIR"
            )
        with reading(path) as connection:
            yield SqliteArchive(connection)
        return
    from svc.backends.cassandra_blocking import open_blocking
    from svc.backends.sealing import parse_master_keys
    from svc.verify.adapters.cassandra import CassandraArchive

    with scratch() as connection, open_blocking(address, parse_master_keys(settings.master_keys)) as cassandra:
        yield CassandraArchive(cassandra, connection, SqliteSnapshot, clock, progress)
