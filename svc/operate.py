"""Commands for operators: dead letters and traces of a server on this machine, and whether it kept its promises."""

import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from stonechat.delivery.v1 import delivery_service_pb2 as api
from stonechat.delivery.v1 import record_pb2
from stonechat.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from svc.backends.opening import open_agreement
from svc.kernel import settings as settings_module
from svc.kernel.channels import Channels
from svc.kernel.clock import SystemClock
from svc.kernel.errors import NotFound, StonechatError, Unavailable
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.settings import Settings
from svc.kernel.telemetry import TRACES_FILE
from svc.verify import report, wiring
from svc.verify.progress import ProgressLine

_SECONDS = 10.0
_COULD_NOT_LOOK = 2


async def dead_letters(action: str, dead_letter_id: str) -> int:
    """`list`, `show` or `replay`; returns the exit code. Raises what the server says, or that there is none."""
    match action:
        case "list":
            return await _list()
        case "show":
            return await _show(dead_letter_id)
        case _:
            return await _replay(dead_letter_id)


@asynccontextmanager
async def _delivery() -> AsyncIterator[tuple[Channels, DeliveryServiceStub]]:
    """A delivery instance: of the installation, or of the process on this machine."""
    settings = settings_module.load()
    async with AsyncExitStack() as stack:
        if settings.zookeeper:
            agreement = await stack.enter_async_context(open_agreement(settings, _failed))
            channels = Channels(agreement.registry, settings.inner_token)
        else:
            channels = Channels(*await _of_this_machine(settings))
        stack.push_async_callback(channels.close)
        yield channels, DeliveryServiceStub(channels.to("delivery"))


async def _of_this_machine(settings: Settings) -> tuple[ProcessRegistry, str]:
    try:
        inner = json.loads(settings.inner_file().read_text())
    except OSError as error:
        raise Unavailable(
            f"no server has run in {settings.data_dir}: start it with `make run`, or set STONECHAT_DATA_DIR to its data folder"
        ) from error
    registry = ProcessRegistry()
    await registry.register("delivery", Instance(inner["address"], ""))
    return registry, inner["token"]


def _failed(error: BaseException) -> None:
    raise error


async def _list() -> int:
    token, count = "", 0
    async with _delivery() as (channels, stub):
        while True:
            page = await channels.call(stub.ListDeadLetters, api.ListDeadLettersRequest(page_token=token), _SECONDS)
            for parked in page.dead_letters:
                letter = parked.dead_letter
                when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(letter.time_us / 1e6))
                where = f"{letter.conversation_id} #{letter.seq}" if letter.conversation_id else "no conversation"
                print(f"{parked.dead_letter_id:<10} {when}  {where}  {letter.error}")
            count += len(page.dead_letters)
            token = page.next_page_token
            if not token:
                break
    print(f"{count} dead letter{'' if count == 1 else 's'}")
    return 0


async def _show(dead_letter_id: str) -> int:
    async with _delivery() as (channels, stub):
        request = api.GetDeadLetterRequest(dead_letter_id=dead_letter_id)
        letter = (await channels.call(stub.GetDeadLetter, request, _SECONDS)).dead_letter.dead_letter
    print(f"error         {letter.error}")
    print(f"parked        {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(letter.time_us / 1e6))} UTC")
    print(f"conversation  {letter.conversation_id or '-'}   seq {letter.seq or '-'}")
    print(f"log position  partition {letter.partition}, offset {letter.offset}")
    try:
        print(f"record\n{record_pb2.Record.FromString(letter.record)}")
    except Exception as error:  # whatever it is: it is shown as it lies
        print(f"record        {len(letter.record)} bytes that are no record ({error}):\n{letter.record.hex(' ')}")
    return 0


async def _replay(dead_letter_id: str) -> int:
    async with _delivery() as (channels, stub):
        request = api.ReplayDeadLetterRequest(dead_letter_id=dead_letter_id)
        done = await channels.call(stub.ReplayDeadLetter, request, _SECONDS)
    print(f"appended again: partition {done.partition}, offset {done.offset}")
    return 0


def verify(
    data_dir: Path | None, ledgers: Sequence[Path], only: Sequence[str], settled: bool, keep: int, as_json: bool
) -> int:
    """Print the verdict on what is stored and on what clients wrote down; returns the exit code: 0 nothing is wrong, 1
    something is, 2 it could not look, and said why."""
    try:
        with closing(ProgressLine()) as progress:
            settings = settings_module.load()
            verdict = wiring.verify(settings, data_dir, ledgers, only, settled, keep, SystemClock(), progress.told)
    except StonechatError as error:
        print(f"stonechat: {error.message}", file=sys.stderr)
        return _COULD_NOT_LOOK
    print(json.dumps(report.to_dict(verdict, settled), indent=1) if as_json else report.to_text(verdict))
    return report.exit_code(verdict)


def trace(message: str) -> int:
    """Print the hops of a message's trace; returns the exit code. Raises NotFound when it was not traced."""
    path = settings_module.load().data_dir / TRACES_FILE
    spans = _read(path.with_suffix(".old.jsonl")) + _read(path)
    record, _, seq = message.removeprefix("m").partition(".")
    traces = {
        span["trace"]
        for span in spans
        if span["trace"] == message or (seq and span.get("record") == record)
    }  # fmt: skip
    found = sorted((span for span in spans if span["trace"] in traces), key=lambda span: span["start_ns"])
    if not found:
        raise NotFound(
            f"{message} was not traced: a share of messages is (STONECHAT_TRACE_RATIO),"
            " and every one sent with a sampled `traceparent`"
        )
    began = found[0]["start_ns"]
    print(f"trace {found[0]['trace']}   {found[0].get('conversation', '')}")
    print(f"{'hop':<8} {'from ms':>9} {'took ms':>9}")
    for span in found:
        start, took = (span["start_ns"] - began) / 1e6, (span["end_ns"] - span["start_ns"]) / 1e6
        print(f"{span['name']:<8} {start:9.3f} {took:9.3f}  {span.get('user', '')}")
    return 0


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
