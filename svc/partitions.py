"""`stonechat partitions`: who owns which, and more of them."""

import json
import logging
import sys

from svc.backends.opening import open_agreement, open_log
from svc.delivery.wiring import growing
from svc.kernel import settings as settings_module
from svc.kernel.clock import SystemClock
from svc.kernel.coordination import Claim
from svc.kernel.errors import FailedPrecondition, StonechatError
from svc.kernel.settings import Settings


async def show(as_json: bool) -> int:
    """Print each partition with its owner and how many shards live there; returns the exit code: 1 when one has no owner."""
    settings = shared()
    async with open_agreement(settings, failed) as agreement:
        shards, claims = agreement.coordination.shards, await agreement.coordination.read_claims()
    rows = [
        {"partition": partition, "shards": len(own), "owner": _owner(claims.get(partition))}
        for partition, own in shards.shares().items()
    ]
    if as_json:
        print(json.dumps({"version": shards.version, "moving": len(shards.moves), "partitions": rows}))
    else:
        print(f"{'partition':>9}  {'shards':>6}  owner")
        for row in rows:
            print(f"{row['partition']:>9}  {row['shards']:>6}  {row['owner'] or 'nobody'}")
        if shards.moves:
            print(
                f"{len(shards.moves)} shards are on their way: `stonechat partitions grow {shards.partitions}` goes on"
            )
    return 0 if all(row["owner"] for row in rows) else 1


async def grow(partitions: int) -> int:
    """Move shards until so many partitions have their share, telling how far it is; returns the exit code."""
    settings = shared()
    opening = open_log(settings, SystemClock(), {}, failed)
    async with open_agreement(settings, failed) as agreement, opening as (log, _):
        await growing(log, agreement.coordination, SystemClock(), lambda text: print(text, flush=True)).grow(partitions)
    return 0


def shared() -> Settings:
    """What the processes of an installation share. Raises FailedPrecondition when it is one process alone."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="stonechat: %(message)s")
    settings = settings_module.load()
    if not settings.zookeeper:
        raise FailedPrecondition(
            "a single process has its log to itself: set STONECHAT_ZOOKEEPER and STONECHAT_KAFKA"
            " as the processes have them"
        )
    return settings


def _owner(claim: Claim | None) -> str:
    return claim.instance.address if claim is not None else ""


def failed(error: BaseException) -> None:
    """Something that a command relies on has died: so does the command."""
    raise error if isinstance(error, StonechatError) else SystemExit(f"stonechat: {error}")
