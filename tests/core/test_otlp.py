"""What our encoder writes of a span is what the library's writes of it, field by field."""

import string

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared.otlp import encode
from shared.telemetry import SCOPE

RESOURCE = Resource.create({"service.name": "scheduling", "service.version": "1"})
contexts = st.builds(
    SpanContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.just(TraceFlags(TraceFlags.SAMPLED))
)
values = st.one_of(
    st.text(max_size=300),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(st.text(max_size=5), max_size=3),
)
attributes = st.dictionaries(st.text(string.ascii_lowercase + ".", min_size=1, max_size=40), values, max_size=9)
spans = st.builds(
    ReadableSpan,
    name=st.text(max_size=200),
    context=contexts,
    parent=st.none() | contexts,
    resource=st.just(RESOURCE),
    attributes=attributes,
    links=st.lists(st.builds(Link, contexts, attributes), max_size=2),
    kind=st.sampled_from(SpanKind),
    status=st.just(Status())
    | st.text(max_size=20).map(lambda reason: Status(StatusCode.ERROR, reason))
    | st.just(Status(StatusCode.OK)),
    start_time=st.integers(0, 2**63),
    end_time=st.integers(0, 2**63),
    instrumentation_scope=st.just(SCOPE),
)


@given(st.lists(spans, min_size=1, max_size=4))
def test_it_writes_what_the_librarys_encoder_writes(several):
    assert ExportTraceServiceRequest.FromString(encode(several)) == encode_spans(several)
