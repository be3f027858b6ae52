"""What our encoder writes of a span is what the library's writes of it, field by field."""

import string

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind

from shared.otlp import FEW, encode
from shared.telemetry import Span, valid

RESOURCE = Resource.create({"service.name": "scheduling", "service.version": "1"})
traceparents = st.builds(
    "00-{:032x}-{:016x}-{}".format, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from(["00", "01"])
)
values = st.text(max_size=300) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
names = st.text(string.ascii_lowercase + ".", min_size=1, max_size=40)
attributes = st.builds(
    lambda some, few: some | few,
    st.dictionaries(names, values, max_size=9),
    st.dictionaries(st.sampled_from(sorted(FEW)), st.text(max_size=9), max_size=5),
)


class Home:
    """What a span asks of its telemetry."""

    resource = RESOURCE
    finished = print


@st.composite
def spans(draw):
    span = Span(
        Home(), draw(st.text(max_size=200)), draw(st.sampled_from(SpanKind)), draw(traceparents), draw(st.just("") | traceparents),
        draw(attributes), draw(st.lists(traceparents, max_size=2)),
    )  # fmt: skip
    span.start_time, span.end_time = draw(st.integers(0, 2**63)), draw(st.integers(0, 2**63))
    span.reason = draw(st.none() | st.text(max_size=20))
    return span


@given(st.lists(spans(), min_size=1, max_size=4))
def test_it_writes_what_the_librarys_encoder_writes(several):
    assert ExportTraceServiceRequest.FromString(encode(several)) == encode_spans([span.readable() for span in several])


@given(traceparents)
def test_a_traceparent_is_one_and_hardly_anything_else_is(one):
    assert valid(one)
    assert not any(valid(other) for other in ("", one[:-1], one + "0", one.replace("-", "_"), one.upper().replace("0", "G")))
    assert not valid(f"00-{0:032x}-{one[36:]}")
    assert not valid(f"{one[:36]}{0:016x}-01")
