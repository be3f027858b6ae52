"""OTLP's spans as protobuf, written by hand: a fifth of what the exporter's own encoder takes, which is most of what a span costs.

Everything else is the library's: addresses, headers, certificates, compression, retries, and the words for resource and scope. A test
compares each field with what its encoder writes. Source: opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto, 1.9.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from shared.telemetry import AttributeValue, Span

fromhex = bytes.fromhex
TIMES = Struct("<cQcQ").pack
FLAGS = Struct("<I").pack
DOUBLE = Struct("<cd").pack
KINDS = {kind: bytes((0x30, kind.value + 1)) for kind in SpanKind}
FROM_HERE, FROM_ELSEWHERE = FLAGS(0x100), FLAGS(0x300)
"""Whether a parent is of another process is known, and whether it is."""
FAILED = bytes((0x18, StatusCode.ERROR.value))
MORE = 0x80
FEW = frozenset({
    "messaging.system", "messaging.operation.type", "messaging.destination.name", "messaging.destination.partition.id", "ithaca.organization",
})  # fmt: skip
"""Attributes of text whose values come again and again: each is written once."""


class OtlpExporter(OTLPSpanExporter):
    """The library's exporter with an encoder of our own."""

    def export(self, spans: Sequence[Span]) -> SpanExportResult:  # type: ignore[override]
        sent = self._client.export(encode(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def encode(spans: Sequence[Span]) -> bytes:
    """An ExportTraceServiceRequest of spans that share their resource and scope, as one `Telemetry`'s do."""
    words = encode_spans([spans[0].readable()]).resource_spans[0]
    scope = framed(b"\x0a", words.scope_spans[0].scope.SerializeToString())
    body = b"".join([scope, *(framed(b"\x12", encode_span(span)) for span in spans)])
    return framed(b"\x0a", framed(b"\x0a", words.resource.SerializeToString()) + framed(b"\x12", body))


def encode_span(span: Span) -> bytes:
    """Span: ids 1, 2, parent 4, name 5, kind 6, times 7, 8, attributes 9, links 13, status 15, flags 16."""
    parent, status = span.parent, b"\x7a\x00"
    if span.reason is not None:
        status = framed(b"\x7a", (named(b"\x12", span.reason) if span.reason else b"") + FAILED)
    return b"".join(
        (
            ids(span.traceparent),
            b"\x22\x08" + fromhex(parent[36:52]) if parent else b"",
            named(b"\x2a", span.name),
            KINDS[span.kind],
            TIMES(b"\x39", span.start_time, b"\x41", span.end_time),
            *[pair(name, value) for name, value in span.attributes.items()],
            *[framed(b"\x6a", ids(link) + b"\x35" + FROM_ELSEWHERE) for link in span.links],
            status,
            b"\x85\x01",
            FROM_ELSEWHERE if parent else FROM_HERE,
        )
    )


def ids(traceparent: str) -> bytes:
    return b"\x0a\x10" + fromhex(traceparent[3:35]) + b"\x12\x08" + fromhex(traceparent[36:52])


def pair(name: str, value: AttributeValue) -> bytes:
    """KeyValue, a span's: key 1, value 2."""
    if name in FEW:
        return few(name, value)
    return framed(b"\x4a", named(b"\x0a", name) + framed(b"\x12", any_value(value)))


@lru_cache(maxsize=4096)
def few(name: str, value: AttributeValue) -> bytes:
    return framed(b"\x4a", named(b"\x0a", name) + framed(b"\x12", any_value(value)))


def any_value(value: AttributeValue) -> bytes:
    """AnyValue: string 1, bool 2, int 3, double 4."""
    if isinstance(value, str):
        return framed(b"\x0a", value.encode())
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    return DOUBLE(b"\x21", value)


def framed(tag: bytes, body: bytes) -> bytes:
    """A length-delimited field."""
    size = len(body)
    return tag + (bytes((size,)) if size < MORE else varint(size)) + body


@lru_cache(maxsize=4096)
def named(tag: bytes, value: str) -> bytes:
    """A string field that comes again and again."""
    return framed(tag, value.encode())


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; a negative number as its 64-bit two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    parts = bytearray()
    while number >= MORE:
        parts.append(number & 0x7F | MORE)
        number >>= 7
    parts.append(number)
    return bytes(parts)
