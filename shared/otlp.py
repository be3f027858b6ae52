"""OTLP's spans as protobuf, written by hand: a fifth of what the exporter's own encoder takes, which is most of what a span costs.

Everything else is the library's: addresses, headers, certificates, compression, retries, and the words for resource and scope. A test
compares each field with what its encoder writes. Source: opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto, 1.9.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

IDS = Struct(">2sQQ2sQ").pack
PARENT = Struct(">2sQ").pack
TIMES = Struct("<cQcQ").pack
FLAGS = Struct("<I").pack
DOUBLE = Struct("<cd").pack
KINDS = {kind: bytes((0x30, kind.value + 1)) for kind in SpanKind}
REMOTE_KNOWN, REMOTE = 0x100, 0x200
MORE = 0x80


class OtlpExporter(OTLPSpanExporter):
    """The library's exporter with an encoder of our own."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        sent = self._client.export(encode(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def encode(spans: Sequence[ReadableSpan]) -> bytes:
    """An ExportTraceServiceRequest of spans that share their resource and scope, as one `Telemetry`'s do."""
    words = encode_spans(spans[:1]).resource_spans[0]
    scope = framed(b"\x0a", words.scope_spans[0].scope.SerializeToString())
    body = b"".join([scope, *(framed(b"\x12", encode_span(span)) for span in spans)])
    return framed(b"\x0a", framed(b"\x0a", words.resource.SerializeToString()) + framed(b"\x12", body))


def encode_span(span: ReadableSpan) -> bytes:
    """Span: ids 1, 2, parent 4, name 5, kind 6, times 7, 8, attributes 9, links 13, status 15, flags 16."""
    context, parent = span.context, span.parent
    assert context is not None
    status = b"\x7a\x00"
    if span.status.status_code is not StatusCode.UNSET:
        reason = span.status.description
        status = framed(b"\x7a", (named(b"\x12", reason) if reason else b"") + b"\x18" + varint(span.status.status_code.value))
    return b"".join(
        (
            ids(context),
            PARENT(b"\x22\x08", parent.span_id) if parent is not None else b"",
            named(b"\x2a", span.name),
            KINDS[span.kind],
            TIMES(b"\x39", span.start_time or 0, b"\x41", span.end_time or 0),
            attributes(b"\x4a", span.attributes),
            b"".join(framed(b"\x6a", encode_link(link)) for link in span.links),
            status,
            b"\x85\x01" + flags(parent),
        )
    )


def encode_link(link: Link) -> bytes:
    """Link: ids 1, 2, attributes 4, flags 6."""
    return ids(link.context) + attributes(b"\x22", link.attributes) + b"\x35" + flags(link.context)


def ids(context: SpanContext) -> bytes:
    return IDS(b"\x0a\x10", context.trace_id >> 64, context.trace_id & 0xFFFF_FFFF_FFFF_FFFF, b"\x12\x08", context.span_id)


def flags(context: SpanContext | None) -> bytes:
    return FLAGS(REMOTE_KNOWN | (REMOTE if context is not None and context.is_remote else 0))


def attributes(tag: bytes, values: Attributes) -> bytes:
    """Repeated KeyValue: key 1, value 2."""
    pairs: Mapping[str, AttributeValue] = values or {}
    return b"".join([framed(tag, named(b"\x0a", name) + framed(b"\x12", any_value(value))) for name, value in pairs.items()])


def any_value(value: AttributeValue) -> bytes:
    """AnyValue: string 1, bool 2, int 3, double 4, array 5."""
    if isinstance(value, str):
        return framed(b"\x0a", value.encode())
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return DOUBLE(b"\x21", value)
    assert isinstance(value, Sequence)
    return framed(b"\x2a", b"".join(framed(b"\x0a", any_value(one)) for one in value))


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
