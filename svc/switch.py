"""`stonechat switch`: what may be left out so that messages go on."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from svc.backends.opening import open_hot
from svc.kernel import settings as settings_module
from svc.kernel.clock import SystemClock
from svc.kernel.errors import FailedPrecondition, NotFound
from svc.kernel.switches import BOARD_SECONDS, FEATURES, Board


async def show() -> int:
    """Print every feature and whether it is switched off by hand; returns the exit code."""
    async with _board() as board:
        off = await board.read()
    width = max(map(len, FEATURES))
    for name, what in FEATURES.items():
        print(f"{name:<{width}}  {'off' if name in off else 'on':<3}  {what}")
    return 0


async def turn(name: str, on: bool) -> int:
    """Switch a feature off or on in all processes; returns the exit code."""
    if name not in FEATURES:
        raise NotFound(f"there is no {name} to switch: there are {', '.join(FEATURES)}")
    async with _board() as board:
        await board.set(name, on)
    print(f"{name} is {'on' if on else 'off'}: processes that run follow within {2 * BOARD_SECONDS:g} s")
    return 0


@asynccontextmanager
async def _board() -> AsyncIterator[Board]:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="stonechat: %(message)s")
    settings = settings_module.load()
    if not settings.redis and not settings.data_dir.is_dir():
        raise FailedPrecondition(
            f"no server has run in {settings.data_dir}: set STONECHAT_DATA_DIR to its data folder, or STONECHAT_REDIS as the"
            " processes have it"
        )
    async with open_hot(settings, SystemClock(), {}) as hot:
        yield hot.board
