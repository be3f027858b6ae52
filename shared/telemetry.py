"""Traces, metrics and logs. Our own instrumentation of messaging: the stock one loses parents and links in batches.

The sampler decides by the trace id alone, so every service decides alike and an unsampled event costs one comparison.
Exporters come from the standard OTEL_* variables: OTEL_TRACES_EXPORTER (otlp, zipkin, none), OTEL_TRACES_SAMPLER_ARG (0…1).
"""

import logging
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from shared.cloudevents import Received

AttributeValue = str | int | float | bool
Attributes = Mapping[str, AttributeValue]
SCOPE = InstrumentationScope("ithaca", "")  # without a version Zipkin's exporter writes null, which Zipkin refuses
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SMALL_FAN_OUT = 20
"""One cause with more effects than this starts a trace for each, linked: a thousand events in one trace can't be read."""


def new_traceparent(*, sampled: bool) -> str:
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-{'01' if sampled else '00'}"


TRACEPARENT = re.compile("[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII).fullmatch
"""W3C Trace Context, level 1: version, trace id, span id, flags. https://www.w3.org/TR/trace-context/"""


def valid(traceparent: str) -> bool:
    return TRACEPARENT(traceparent) is not None


def _remote(traceparent: str) -> SpanContext:
    flags = TraceFlags(int(traceparent[53:], 16))
    return SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), is_remote=True, trace_flags=flags)


def _exporter(kind: str) -> "Exporter | None":
    match kind:
        case "none" | "":
            return None
        case "zipkin":
            from opentelemetry.exporter.zipkin.json import ZipkinExporter  # noqa: PLC0415 - each exporter is dear to import

            return Readable(ZipkinExporter())
        case "otlp":
            from shared.otlp import OtlpExporter  # noqa: PLC0415

            return OtlpExporter()
        case _:
            raise ValueError(f"OTEL_TRACES_EXPORTER={kind}: use otlp, zipkin or none")


class Span:
    """A span: what its handler may write of it, and what an exporter needs. Ids are hexadecimal, as traceparents have them.

    The SDK's own costs ten times as much to start and end, in locks and checks for what doesn't happen here, and half of what its
    `ReadableSpan` costs is made of contexts that only other exporters than ours read.
    """

    __slots__ = (
        "_finished",
        "attributes",
        "end_time",
        "kind",
        "links",
        "name",
        "parent",
        "reason",
        "resource",
        "start_time",
        "traceparent",
    )

    context = SpanContext(1, 1, is_remote=False, trace_flags=SAMPLED)
    """For the SDK's processor, which asks whether it is sampled: only those that are get here."""

    def __init__(
        self,
        telemetry: "Telemetry",
        name: str,
        kind: SpanKind,
        traceparent: str,
        parent: str,
        attributes: Attributes,
        links: Sequence[str],
    ) -> None:
        self.name, self.kind, self.traceparent, self.parent = name, kind, traceparent, parent
        self.attributes, self.links, self.reason = attributes, links, None
        self.resource, self._finished = telemetry.resource, telemetry.finished
        self.start_time = self.end_time = time.time_ns()

    name: str
    kind: SpanKind
    traceparent: str
    parent: str
    """The traceparent it goes on from; empty at the start of a trace."""
    attributes: Attributes
    links: Sequence[str]
    """Traceparents of other traces that led here."""
    reason: str | None
    """Why it failed, perhaps no more than the empty text; None where it didn't."""
    resource: Resource
    start_time: int
    end_time: int
    """Both in nanoseconds since the epoch."""

    def update_name(self, name: str) -> None:
        self.name = name

    def set_attribute(self, name: str, value: str | float | bool) -> None:
        self.attributes = {**self.attributes, name: value}

    def fail(self, reason: str = "") -> None:
        self.reason = reason

    def end(self) -> None:
        self.end_time = time.time_ns()
        self._finished(self)

    def readable(self) -> ReadableSpan:
        """As the SDK's exporters take it."""
        own = _remote(self.traceparent)
        return ReadableSpan(
            self.name,
            SpanContext(own.trace_id, own.span_id, is_remote=False, trace_flags=own.trace_flags),
            _remote(self.parent) if self.parent else None,
            self.resource,
            self.attributes,
            links=[Link(_remote(link)) for link in self.links],
            kind=self.kind,
            instrumentation_scope=SCOPE,
            status=Status() if self.reason is None else Status(StatusCode.ERROR, self.reason or None),
            start_time=self.start_time,
            end_time=self.end_time,
        )


class Exporter(Protocol):
    """Where spans go."""

    def export(self, spans: Sequence[Span]) -> SpanExportResult: ...

    def shutdown(self) -> None: ...


class Readable:
    """One of the SDK's exporters."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[Span]) -> SpanExportResult:
        return self._exporter.export([span.readable() for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Telemetry:
    """One service's tracer and meters."""

    def __init__(self, service: str, *, exporter: Exporter | str | None = None, rate: float | None = None) -> None:
        kind = os.environ.get("OTEL_TRACES_EXPORTER", "none") if exporter is None else exporter
        built: Any = _exporter(kind) if isinstance(kind, str) else kind
        share = float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1")) if rate is None else rate
        self.service = service
        self._bound = f"{min(int(share * 2**64), 2**64 - 1):016x}" if built is not None and share > 0 else ""
        self.processor: BatchSpanProcessor | None = None
        if self._bound and built is not None:
            self.resource = Resource.create({"service.name": service})
            self.processor = BatchSpanProcessor(
                built, max_queue_size=50_000, max_export_batch_size=500, schedule_delay_millis=500
            )
            self.finished: Callable[[Any], None] = self.processor.on_end
        self.metrics = Metrics()

    def stop(self) -> None:
        if self.processor is not None:
            self.processor.shutdown()  # type: ignore[no-untyped-call]

    def samples(self, traceparent: str) -> bool:
        """Whether spans of this trace are kept: by the lower half of the trace id."""
        return bool(self._bound) and traceparent[19:35] <= self._bound

    def root(self) -> str:
        """The traceparent of a new trace."""
        fresh = new_traceparent(sampled=False)
        return f"{fresh[:-2]}01" if self.samples(fresh) else fresh

    def start(
        self, name: str, kind: SpanKind, parent: str, attributes: Attributes, *, cause: str = ""
    ) -> tuple[Span | None, str]:
        """A span under `parent` (a traceparent; empty starts a trace), and the traceparent for what it causes.

        `cause` is the traceparent of another trace that led here: written as a link and, since Zipkin shows none, as an attribute.
        """
        traceparent = parent or self.root()
        if not self.samples(traceparent):
            return None, traceparent
        links: tuple[str, ...] = ()
        if cause and valid(cause):
            links = (cause,)
            attributes = {**attributes, "caused_by_trace": cause[3:35]}
        if not valid(traceparent):
            parent, traceparent = "", new_traceparent(sampled=True)
        own = f"00-{traceparent[3:35]}-{random.getrandbits(64) or 1:016x}-01"
        return Span(self, name, kind, own, parent, attributes, links), own

    def begin(self, received: "Received") -> None:
        """Start the processing span of a received event, once: a batch that runs again keeps it."""
        if not self._bound or received.span is not None or received.problem is not None:
            return
        traceparent = received.traceparent
        if not traceparent or traceparent[19:35] > self._bound:
            return
        received.span, received.traceparent = self.start(
            f"process {received.type[7:]}",
            SpanKind.CONSUMER,
            traceparent,
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": received.topic,
                "messaging.destination.partition.id": str(received.partition),
                "messaging.kafka.offset": received.offset,
                "messaging.message.id": received.id_text,
                "ithaca.key": received.key,
                "ithaca.organization": received.organization,
            },
        )

    @contextmanager
    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, parent: str = "", **attributes: str | float | bool
    ) -> Iterator[str]:
        """A span around a block; yields the traceparent to hand on."""
        span, traceparent = self.start(name, kind, parent, attributes)
        try:
            yield traceparent
        except BaseException as error:
            if span is not None:
                span.fail(type(error).__name__)
            raise
        finally:
            if span is not None:
                span.end()


class Metrics:
    """What each service counts, for Prometheus; one registry per service so that tests may run several in a process."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.handled = Counter("ithaca_events_handled_total", "Events handled", ["type"], registry=r)
        self.failed = Counter(
            "ithaca_events_failed_total", "Events that could not be handled when they came", ["type", "kind"], registry=r
        )
        self.duplicates = Counter("ithaca_events_duplicate_total", "Events seen before", registry=r)
        self.fenced = Counter("ithaca_batches_fenced_total", "Batches given up because another copy owns a partition", registry=r)
        self.passing = Counter("ithaca_passing_failures_total", "Failures that went away by themselves", ["where"], registry=r)
        self.batch_seconds = Histogram("ithaca_batch_seconds", "Seconds per transaction of a batch", registry=r)
        self.handler_seconds = Counter("ithaca_handler_seconds_total", "Seconds spent deciding", ["type"], registry=r)
        self.lag_events = Gauge("ithaca_lag_events", "Events on the topics that were not read yet", registry=r)
        self.lag_seconds = Gauge("ithaca_lag_seconds", "Age of the newest event handled while there are more", registry=r)
        self.outbox_rows = Gauge("ithaca_outbox_rows", "Events that were decided and are not on Kafka yet", registry=r)
        self.outbox_age = Gauge("ithaca_outbox_age_seconds", "Age of the oldest of them", registry=r)
        self.timers_due = Gauge("ithaca_timers_due", "Timers whose time has come", registry=r)
        self.timers_late = Gauge("ithaca_timers_late_seconds", "How late the oldest of them is", registry=r)
        self.held = Gauge("ithaca_held_keys", "Keys with held events", ["state"], registry=r)
        self.requests = Histogram("ithaca_http_request_seconds", "Seconds per request", ["method", "route", "status"], registry=r)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message and whatever was given as `extra={"ids": {...}}`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "ids", {}))
        if record.exc_info and record.exc_info[1] is not None:
            from shared.errors import describe  # noqa: PLC0415 - errors imports nothing of ours

            line["error"] = describe(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


class AtMost(logging.Filter):
    """Lets through so many lines a minute of a library that logs a thousand in an outage."""

    def __init__(self, lines: int = 20) -> None:
        super().__init__()
        self.lines, self.minute, self.seen = lines, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(record.created // 60)
        if minute != self.minute:
            self.minute, self.seen = minute, 0
        self.seen += 1
        return self.seen <= self.lines


def log_to_stderr(service: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=os.environ.get("ITHACA_LOG_LEVEL", "INFO").upper(), handlers=[handler], force=True)
    for noisy in ("aiokafka", "faststream", "kafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
        handler.addFilter(AtMostOf(noisy))
    for quiet in ("httpx", "uvicorn.access"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


class AtMostOf(AtMost):
    """`AtMost` for one family of loggers."""

    def __init__(self, family: str, lines: int = 20) -> None:
        super().__init__(lines)
        self.family = family

    def filter(self, record: logging.LogRecord) -> bool:
        return super().filter(record) if record.name.startswith(self.family) else True
