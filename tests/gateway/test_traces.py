"""One event goes on in its caller's trace; in a batch each begins its own, linked to the request."""

from types import SimpleNamespace

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.gateway import intake
from services.gateway.domain import Posted
from shared.cloudevents import new_id
from shared.events import partner
from shared.telemetry import Readable, Telemetry

CALLER = f"00-{'ab' * 16}-{'cd' * 8}-01"


def traced(*, batch: bool, dry_run: bool = False):
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("gateway", exporter=Readable(exporter), rate=1.0)
    said = partner.PersonResumed.read({"person": "p"})
    posted = [Posted(n, "/a", str(n), said, None, "") for n in range(3)]
    request = intake.Request("northwind", posted, batch, dry_run, CALLER, ids={p.n: new_id() for p in posted})
    for span in intake._traces(SimpleNamespace(telemetry=telemetry), request):
        span.end()
    telemetry.stop()
    return request.traces, exporter.get_finished_spans()


def test_a_single_event_continues_the_request():
    traces, spans = traced(batch=False)
    assert set(traces.values()) == {CALLER}
    assert not spans


def test_each_event_of_a_batch_begins_a_trace_linked_to_the_request():
    traces, spans = traced(batch=True)
    assert len({t[3:35] for t in traces.values()} | {CALLER[3:35]}) == 4
    assert {span.attributes["caused_by_trace"] for span in spans} == {CALLER[3:35]}
    assert {span.links[0].context.span_id for span in spans} == {int("cd" * 8, 16)}
    assert all("person" not in str(span.attributes) for span in spans)


def test_a_dry_run_leaves_no_trace_of_its_own():
    assert not traced(batch=True, dry_run=True)[1]
