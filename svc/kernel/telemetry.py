"""Metrics, traces and logs: set-up, names, and the few helpers that the rest uses.

Metrics are prometheus_client's (0.3 µs an increment; OpenTelemetry's cost twenty times that). Traces are OpenTelemetry's: one
trace for each sampled message, its context carried in the record and the relay item; a message that is not sampled carries no
context and costs nothing. Logs are JSON lines with trace ids, or text on a terminal.
"""

import functools
import json
import logging
import os
import random
import re
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from prometheus_client import Counter, Gauge, Histogram

from svc.kernel.settings import Settings

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

CALLS = Counter("stonechat_calls", "Calls by method and status code.", ["method", "code"])
CALL_SECONDS = Histogram("stonechat_call_seconds", "Seconds a call took.", ["method"], buckets=BUCKETS)
OPEN_STREAMS = Gauge("stonechat_open_streams", "Streams open now.", ["method"])
SESSIONS = Gauge("stonechat_sessions", "Sessions held by this node.")
SESSION_OVERFLOWS = Counter("stonechat_session_overflows", "Session queues that were replaced by Behind.")
SENDS = Counter("stonechat_sends", "Requests to number an event, by outcome.", ["outcome"])
SEND_SECONDS = Histogram("stonechat_send_seconds", "Seconds from acceptance to answer.", buckets=BUCKETS)
ROUNDS = Counter("stonechat_delivery_rounds", "Rounds of the owner.")
VERDICTS = Counter("stonechat_delivery_verdicts", "Verdicts on records.", ["outcome"])
ROUND_SECONDS = Histogram(
    "stonechat_delivery_round_seconds", "Seconds a round took, by step.", ["step"], buckets=BUCKETS
)
PARTITIONS = Gauge("stonechat_delivery_partitions", "Partitions that this instance owns.")
LAG = Gauge("stonechat_delivery_lag", "Records stored in the log and not read yet.")
BACK_END_UP = Gauge("stonechat_back_end_up", "1 while a back end answers.", ["back_end"])
BACK_END_REFUSED = Gauge(
    "stonechat_back_end_refused", "1 while calls of a back end are refused at once, but for probes.", ["back_end"]
)
BACK_END_SECONDS = Histogram(
    "stonechat_back_end_seconds", "Seconds a call of a back end took.", ["back_end", "operation"], buckets=BUCKETS
)
BACK_END_FAILURES = Counter(
    "stonechat_back_end_failures", "Calls that a back end did not answer.", ["back_end", "operation"]
)
SWITCHED_OFF = Gauge(
    "stonechat_switched_off", "1 while this process leaves a feature out, by hand or by pressure.", ["feature"]
)
WAITING = Gauge("stonechat_delivery_waiting", "1 while the owner waits for a back end to answer again.")
DEAD_LETTERS = Counter("stonechat_dead_letters", "Records parked.")
CLOCK_SKEW = Gauge("stonechat_log_clock_skew_seconds", "The log's append time less this node's clock.")
RELAY_OVERFLOWS = Counter("stonechat_relay_overflows", "Relay queues that were replaced by Moved.")


@functools.cache
def sends(outcome: str) -> Counter:
    """The series of SENDS with this outcome: looking it up costs more than counting."""
    return SENDS.labels(outcome)


TRACES_FILE = "traces.jsonl"
_TRACES_BYTES = 32 << 20


class Tracer:
    """Writes the spans of sampled messages. `traceparent` is W3C Trace Context; empty means not sampled."""

    def __init__(self, provider: TracerProvider, ratio: float) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("stonechat")
        self._ratio = ratio

    def begin(self, caller: str) -> str:
        """The trace of a new message: the caller's when it is sampled, a new one by the ratio, or empty."""
        if caller:
            return caller if _context(caller) is not None else ""
        if random.random() >= self._ratio:  # noqa: S311 - a sample, not a secret
            return ""
        return f"00-{secrets.token_hex(16)}-{'0' * 16}-01"

    def span(self, name: str, parent: str, start_ns: int, end_ns: int, **attributes: str | int) -> str:
        """Record one hop of a sampled message, after the fact; returns the context to hand on. Times: ns since 1970."""
        context = _context(parent)
        if context is None:
            return ""
        span = self._tracer.start_span(
            name, context=context, kind=SpanKind.INTERNAL, start_time=start_ns, attributes=attributes
        )
        span.end(end_ns)
        own = span.get_span_context()
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-01"

    def shutdown(self) -> None:
        """Write what is left."""
        self._provider.shutdown()


def _context(traceparent: str) -> Context | None:
    """What a sampled traceparent says; None for any other text."""
    parts = _TRACEPARENT.fullmatch(traceparent)
    if parts is None or not int(parts[3], 16) & TraceFlags.SAMPLED:
        return None
    trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
    if trace_id == 0:
        return None
    # A trace that begins here has no parent span yet: the root's parent id is not written (see _line).
    parent = SpanContext(trace_id, span_id or _ROOT, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


_ROOT = 1
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class FileExporter(SpanExporter):
    """Spans as JSON lines in the data folder: what `stonechat trace` reads. Two files, the older one is overwritten."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            if self._path.exists() and self._path.stat().st_size > _TRACES_BYTES:
                self._path.replace(self._path.with_suffix(".old.jsonl"))
            with open(self._path, "a", encoding="utf-8", opener=_private) as file:
                file.writelines(_line(span) for span in spans)
        except OSError as error:
            logging.getLogger(__name__).warning("traces are not written: %s", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _line(span: ReadableSpan) -> str:
    context, parent = span.get_span_context(), span.parent
    assert context is not None  # noqa: S101 - a finished span has one
    return (
        json.dumps(
            {
                "trace": f"{context.trace_id:032x}",
                "span": f"{context.span_id:016x}",
                "parent": "" if parent is None or parent.span_id == _ROOT else f"{parent.span_id:016x}",
                "name": span.name,
                "start_ns": span.start_time,
                "end_ns": span.end_time,
                **dict(span.attributes or {}),
            }
        )
        + "\n"
    )


def start_tracing(settings: Settings) -> Tracer:
    """A tracer that writes to the data folder and, when set, to an OTLP collector."""
    provider = TracerProvider(resource=Resource.create({"service.name": "stonechat"}), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(FileExporter(settings.data_dir / TRACES_FILE), schedule_delay_millis=500)
    )
    if settings.otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracer(provider, settings.trace_ratio)


def tracer_to(exporter: SpanExporter, ratio: float = 1.0) -> Tracer:
    """A tracer that hands each span to one exporter at once."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracer(provider, ratio)


_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, what `extra` holds, and the exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _PLAIN and value != ""}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for people at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _PLAIN and value != "")
        line = (
            f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {record.levelname:<7} {record.getMessage()}"
        )
        line = f"{line}  {extra}" if extra else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def start_logging(settings: Settings) -> None:
    """Send all logs to stderr in the chosen form. On a terminal the line of each call is left out."""
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    if as_text:
        logging.getLogger("stonechat.calls").setLevel(max(logging.WARNING, logging.getLogger().level))
    for noisy in ("aiosqlite", "hpack", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
