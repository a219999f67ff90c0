"""Running the cases: one after the other, each on all its surfaces at once."""

import asyncio
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import Case
from stonechat_conformance.device import Device
from stonechat_conformance.expect import shown
from stonechat_conformance.patience import unforeseen
from stonechat_conformance.people import People, Server, people
from stonechat_conformance.refusal import Broken, NoAnswer, Refused

_GIVES_UP_AFTER = 3
"""Cases in a row that a surface left without an answer; the others would only wait as long."""
_PAGE = 200
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Failure:
    """Why a case failed. `where` is the place in the suite that demanded it; `ran` is false when the case could not."""

    what: str
    expected: str = ""
    came: str = ""
    where: str = ""
    no_answer: bool = False
    ran: bool = True

    def __str__(self) -> str:
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{self.what}{expected}" + (f"; came {self.came}" if self.came else "")


@dataclass(frozen=True)
class Outcome:
    """What came of a case on a surface."""

    case: Case
    surface: str
    failure: Failure | None
    seconds: float = 0.0


async def run(
    server: Server, cases: Iterable[Case], surfaces: list[str], begins: Callable[[Case], None] = lambda _: None
) -> AsyncGenerator[tuple[Case, list[Outcome]], None]:
    """Each case with its outcomes on those of the surfaces that it has. Never raises what a server does."""
    unusable = await _try_surfaces(server, surfaces)
    silent = dict.fromkeys(surfaces, 0)
    try:
        for case in cases:
            begins(case)
            chosen = [name for name in surfaces if name not in case.without]
            outcomes = await asyncio.gather(*(_outcome(server, case, name, unusable) for name in chosen))
            for outcome in outcomes:
                name = outcome.surface
                silent[name] = silent[name] + 1 if outcome.failure and outcome.failure.no_answer else 0
                if silent[name] == _GIVES_UP_AFTER:
                    last = outcome.failure.what if outcome.failure else ""
                    unusable[name] = f"not run: {_GIVES_UP_AFTER} cases in a row got no answer here, the last: {last}"
            yield case, outcomes
    finally:
        for guests in server.guests:
            await leave(guests)


async def _try_surfaces(server: Server, surfaces: list[str]) -> dict[str, str]:
    """Why no case can run on a surface, for those where that is so: nobody can sign in there."""

    async def attempt(name: str) -> str:
        async def check(people: People) -> None:
            await people.sign_in(await people.register())

        failure = (await _outcome(server, Case("", "", check), name, {})).failure
        return f"not run: nobody can sign in here: {failure}" if failure else ""

    found = await asyncio.gather(*map(attempt, surfaces))
    return {name: why for name, why in zip(surfaces, found, strict=True) if why}


async def _outcome(server: Server, case: Case, surface: str, unusable: Mapping[str, str]) -> Outcome:
    if surface in unusable:
        return Outcome(case, surface, Failure(unusable[surface], ran=False))
    started = time.monotonic()
    failure = await _attempt(server, case, surface)
    return Outcome(case, surface, failure, time.monotonic() - started)


async def _attempt(server: Server, case: Case, surface: str) -> Failure | None:
    try:
        async with people(server, surface) as found:
            deadline = asyncio.timeout(server.patience.case_seconds)
            try:
                async with deadline:
                    await case.check(found)
            except TimeoutError as error:
                if not deadline.expired():
                    raise NoAnswer("what it waits for, in time", came=_place(error.__traceback__)) from error
                raise NoAnswer(f"the case ends within {server.patience.case_seconds:g} s") from error
            finally:
                await leave(found)
    except Broken as broken:
        where = _place(broken.__traceback__)
        expected, came = ("" if side is None else shown(side) for side in (broken.expected, broken.came))
        return Failure(broken.what, expected, came, where, isinstance(broken, NoAnswer))
    except Refused as refused:
        return Failure("it is not refused", "an answer", str(refused), _place(refused.__traceback__))
    except Exception as error:  # a server may do anything; a case that trips over it has failed, and the suite goes on
        return Failure("the case can be run to its end", "", unforeseen(error), _place(error.__traceback__))
    return None


async def leave(found: People) -> None:
    """Take back what can be: groups are left, devices signed out. Accounts stay, no call removes them."""
    with suppress(TimeoutError):
        async with asyncio.timeout(found.server.patience.seconds):
            await asyncio.gather(*(_sign_out(device, device.user_id in found.users) for device in found.devices))


async def _sign_out(device: Device, own: bool) -> None:
    """`own` is false for a user that other cases need still."""
    await device.stop()
    # Whatever a case has done to the device and its groups, the rest can only be tried.
    with suppress(Refused, Broken):
        while own and await _leave_groups(device) == _PAGE:
            pass
    with suppress(Refused, Broken):
        await device.call(users.RevokeDeviceRequest(device_id=device.device_id))


async def _leave_groups(device: Device) -> int:
    listed = await device.call(history.ListConversationsRequest(page_size=_PAGE))
    mine = [head.conversation_id for head in listed.conversations if head.conversation_id.startswith("g")]
    for group_id in mine:
        with suppress(Refused):  # another device of the user was faster
            await device.call(groups.LeaveGroupRequest(group_id=group_id))
    return len(mine)


def _place(trace: TracebackType | None) -> str:
    """The line of the suite that is nearest to what went wrong: in a case if there is one."""
    frames = [frame for frame in traceback.extract_tb(trace) if _HERE in Path(frame.filename).parents]
    cases = [frame for frame in frames if Path(frame.filename).parent.name in ("cases", "generated")]
    if not (frames := cases or frames):
        return ""
    frame = frames[-1]
    return f"{Path(frame.filename).relative_to(_HERE)}:{frame.lineno}: {frame.line}"
