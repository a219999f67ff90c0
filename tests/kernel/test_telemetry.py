"""One trace for each sampled message, logs that machines read, and no secret in either."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from svc.kernel import telemetry
from svc.kernel.settings import for_tests
from svc.kernel.telemetry import (
    TRACES_FILE,
    FileExporter,
    JsonFormatter,
    TextFormatter,
    start_logging,
    start_tracing,
    tracer_to,
)
from tests.fakes import FakeClock, MemoryLog
from tests.users.surface import PASSWORD, open_surface

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_the_spans_of_a_message_are_one_trace():
    """Each hop is the child of the one before; the first is the root."""
    exporter = InMemorySpanExporter()
    tracer = tracer_to(exporter)
    context = tracer.begin("")
    accept = tracer.span("accept", context, 1_000, 2_000, user="u1")
    tracer.span("order", accept, 2_000, 3_000, seq=7)
    relay = tracer.span("relay", accept, 3_000, 4_000)
    tracer.span("write", relay, 4_000, 5_000)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {span.context.trace_id for span in spans.values()} == {int(context.split("-")[1], 16)}
    for child, parent in (("order", "accept"), ("relay", "accept"), ("write", "relay")):
        assert spans[child].parent.span_id == spans[parent].context.span_id
    assert (spans["order"].start_time, spans["order"].end_time) == (2_000, 3_000)
    assert dict(spans["order"].attributes) == {"seq": 7}


def test_a_caller_that_traces_is_followed():
    """The first span is a child of the caller's."""
    exporter = InMemorySpanExporter()
    tracer = tracer_to(exporter, ratio=0.0)
    tracer.span("accept", tracer.begin(CALLER), 1, 2)
    (span,) = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["01", "03", "ff"])
def test_a_caller_s_sampled_bit_counts_whatever_stands_beside_it(flags: str):
    """The flags are a field of bits (W3C Trace Context, 3.2.2.5)."""
    assert tracer_to(InMemorySpanExporter(), ratio=0.0).begin(CALLER[:-2] + flags)


@pytest.mark.parametrize(
    "caller",
    [
        CALLER[:-2] + "00",
        CALLER[:-2] + "02",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        "nonsense",
        "00-x-y-01",
        CALLER + "-",
        CALLER.upper(),
        "-" * 55,
    ],
)
def test_what_is_not_sampled_makes_no_span(caller: str):
    """The caller decides against it, or says nothing that can be followed; then every hop is free."""
    exporter = InMemorySpanExporter()
    tracer = tracer_to(exporter)
    assert tracer.begin(caller) == ""
    assert tracer.span("accept", "", 1, 2) == ""
    assert tracer.span("accept", caller, 1, 2) == ""
    assert exporter.get_finished_spans() == ()


@given(st.text(max_size=60))
def test_any_text_of_a_caller_is_a_context_or_none(caller: str):
    """Never an error: it comes from outside."""
    tracer = tracer_to(InMemorySpanExporter(), ratio=0.0)
    assert tracer.begin(caller) in ("", caller)


def test_without_a_caller_the_ratio_decides():
    """None of them, all of them, or about so many; each its own trace."""
    exporter = InMemorySpanExporter()
    assert {tracer_to(exporter, ratio=0.0).begin("") for _ in range(1000)} == {""}
    assert len({tracer_to(exporter, ratio=1.0).begin("") for _ in range(1000)}) == 1000
    some = tracer_to(exporter, ratio=0.2)
    assert 100 < sum(bool(some.begin("")) for _ in range(1000)) < 320


def test_traces_are_kept_in_the_data_folder(tmp_path: Path):
    """One JSON object for each span, written at the latest when the process stops."""
    tracer = start_tracing(for_tests(tmp_path, trace_ratio=1.0))
    context = tracer.begin("")
    accept = tracer.span("accept", context, 10, 20, user="u1")
    tracer.span("store", accept, 20, 30)
    tracer.shutdown()
    first, second = [json.loads(line) for line in (tmp_path / TRACES_FILE).read_text().splitlines()]
    assert first == {
        "trace": context.split("-")[1],
        "span": accept.split("-")[2],
        "parent": "",
        "name": "accept",
        "start_ns": 10,
        "end_ns": 20,
        "user": "u1",
    }
    assert (second["trace"], second["parent"], second["name"]) == (first["trace"], first["span"], "store")


def test_the_file_of_traces_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two files, of which the older is overwritten."""
    monkeypatch.setattr(telemetry, "_TRACES_BYTES", 1000)
    tracer = tracer_to(FileExporter(tmp_path / "traces.jsonl"))
    for number in range(100):
        tracer.span(f"hop {number}", tracer.begin(""), 1, 2)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["traces.jsonl", "traces.old.jsonl"]
    assert all(file.stat().st_size < 1500 for file in files)
    assert "hop 99" in files[0].read_text()


def test_traces_that_cannot_be_written_stop_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """That is said in the log."""
    tracer = tracer_to(FileExporter(tmp_path / "missing" / "traces.jsonl"))
    assert tracer.span("hop", tracer.begin(""), 1, 2)
    assert "traces are not written" in caplog.text


def record(message: str, **extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "svc.test", "levelname": "INFO", "msg": message, "created": 1_750_000_000.25})
    made.msecs = 250
    vars(made).update(extra)
    return made


def test_a_log_line_is_one_json_object():
    """Time in UTC, level, logger, message, and what was said beside; empty things are left out."""
    line = JsonFormatter().format(record("stored", seq=7, user="u1", trace=""))
    assert json.loads(line) == {
        "time": "2025-06-15T15:06:40.250Z",
        "level": "INFO",
        "logger": "svc.test",
        "message": "stored",
        "seq": 7,
        "user": "u1",
    }


@given(st.text(), st.dictionaries(st.text("abc", min_size=1), st.one_of(st.text(), st.integers(), st.binary())))
def test_whatever_is_logged_stays_one_line_that_parses(message: str, extra: dict[str, Any]):
    """Line breaks and odd characters included."""
    line = JsonFormatter().format(record(message.replace("%", ""), **extra))
    assert "\n" not in line
    assert json.loads(line)["message"] == message.replace("%", "")
    line.encode()


def test_an_exception_stands_in_its_line():
    """With its traceback."""
    try:
        raise KeyError("inside")
    except KeyError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "KeyError: 'inside'" in json.loads(line)["exception"]
    assert "\n" not in line


def test_people_get_text():
    """The same, without the punctuation."""
    text = TextFormatter().format(record("stored", seq=7, user="u1"))
    assert text.endswith("INFO    stored  seq=7 user=u1")


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was logged since the last look; how logs are set up is put back afterwards."""
    root, names = logging.getLogger(), ("aiosqlite", "hpack", "asyncio", "stonechat.calls")
    handlers, level, levels = root.handlers[:], root.level, {name: logging.getLogger(name).level for name in names}
    root.handlers.clear()
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_logs_go_to_stderr_as_json_when_it_is_no_terminal(stderr: Callable[[], str], tmp_path: Path):
    """From the level that was chosen."""
    start_logging(for_tests(tmp_path, log_level="WARNING"))
    logging.getLogger("svc.test").info("hidden")
    logging.getLogger("svc.test").warning("seen", extra={"seq": 1})
    (line,) = stderr().splitlines()
    assert json.loads(line) | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "svc.test",
        "message": "seen",
        "seq": 1,
    }


def test_at_a_terminal_the_line_of_each_call_is_left_out(stderr: Callable[[], str], tmp_path: Path):
    """People want to see what changes, not what always happens."""
    start_logging(for_tests(tmp_path, log_format="text"))
    logging.getLogger("stonechat.calls").info("call")
    logging.getLogger("svc.test").info("ready")
    (line,) = stderr().splitlines()
    assert line.endswith("ready")


async def test_no_secret_is_ever_logged(stderr: Callable[[], str], tmp_path: Path):
    """Passwords and tokens, good and bad ones, at the most talkative level."""
    start_logging(for_tests(tmp_path, log_level="DEBUG", log_format="json"))
    async with open_surface(tmp_path, FakeClock(), MemoryLog()) as surface:
        await surface.register("alice")
        signed_in = await surface.sign_in("alice")
        refreshed = await surface.refresh(signed_in.refresh_token)
        with pytest.raises(Exception, match="fit together"):
            await surface.sign_in("alice", "a wrong password")
        with pytest.raises(Exception, match=r".+"):
            await surface.refresh(signed_in.refresh_token[:-4] + "AAAA")
    logged = stderr()
    assert '"method": "/stonechat.users.v1.UserService/SignIn"' in logged
    secrets = [PASSWORD, "a wrong password", signed_in.refresh_token, signed_in.access_token]
    secrets += [refreshed.refresh_token, refreshed.access_token]
    assert [secret for secret in secrets if secret in logged] == []
