"""Traces: parents and links are right in batches too, all services keep the same share, large fans have traces of their own."""

import json
from types import SimpleNamespace

import orjson
import pytest
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from shared.cloudevents import new_id
from shared.telemetry import SMALL_FAN_OUT, Readable, Telemetry, new_traceparent
from shared.web import Observed
from tests.core import ledger


@pytest.fixture
async def traced(copies):
    """A copy whose spans are kept, all of them; `spans()` gives them by name."""
    exporter = InMemorySpanExporter()

    def build(settings, topics):
        service = ledger.build(settings, topics)
        telemetry = Telemetry("scheduling", exporter=Readable(exporter), rate=1.0)
        service.telemetry = service.work.telemetry = service.consumer.telemetry = telemetry
        return service

    rig = await copies(build=build)

    def spans():
        rig.service.telemetry.processor.force_flush()
        return exporter.get_finished_spans()

    rig.spans = spans
    yield rig
    rig.service.telemetry.stop()


def trace(traceparent):
    return traceparent.split("-")[1], traceparent.split("-")[2]


def ids(span):
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def parents_of(facts):
    return [trace(orjson.loads(f["headers"])["traceparent"]) for f in facts]


async def test_in_a_batch_each_event_goes_on_with_its_own_trace(traced):
    pairs = [await traced.pair() for _ in range(5)]
    callers = [new_traceparent(sampled=True) for _ in pairs]
    at = traced.consumer.start["scheduling", 0]
    await traced.give(
        *(
            traced.record(ledger.meeting_held(p, 1), at + n, traceparent=c)
            for n, (p, c) in enumerate(zip(pairs, callers, strict=True))
        )
    )
    spans = [s for s in traced.spans() if s.name == "process MeetingHeld"]
    assert [(f"{s.context.trace_id:032x}", f"{s.parent.span_id:016x}") for s in spans] == [trace(c) for c in callers]
    assert parents_of(await traced.facts()) == [ids(s) for s in spans], "what follows has the processing for its parent"
    assert [s.attributes["ithaca.key"] for s in spans] == [str(p) for p in pairs]
    assert {(s.attributes["messaging.operation.type"], s.kind.name) for s in spans} == {("process", "CONSUMER")}


async def test_a_batch_that_runs_again_keeps_its_span_and_parent(traced, monkeypatch):
    pair, caller = await traced.pair(), new_traceparent(sampled=True)
    real, fails = traced.work._save, [ConnectionResetError(), ConnectionResetError()]

    async def flaky(*args):
        if fails:
            raise fails.pop()
        return await real(*args)

    monkeypatch.setattr(traced.work, "_save", flaky)
    await traced.give(traced.record(ledger.meeting_held(pair, 1), 0, traceparent=caller))
    (span,) = [s for s in traced.spans() if s.name == "process MeetingHeld"]
    assert f"{span.parent.span_id:016x}" == trace(caller)[1], "not chained onto an attempt that was given up"
    assert parents_of(await traced.facts()) == [ids(span)]


async def test_more_than_twenty_effects_are_traces_of_their_own_with_a_link(traced):
    pairs = [await traced.pair() for _ in range(SMALL_FAN_OUT + 1)]
    caller = new_traceparent(sampled=True)
    await traced.give(traced.record(ledger.ProgramClosed(program=ledger.PROGRAM), 0, traceparent=caller))
    facts = parents_of(await traced.facts())
    assert len({trace_id for trace_id, _ in facts}) == len(pairs)
    (process,) = [s for s in traced.spans() if s.name == "process ProgramClosed"]
    created = [s for s in traced.spans() if s.name == "create MeetingMissed"]
    assert sorted(ids(s) for s in created) == sorted(facts)
    assert {(s.links[0].context.trace_id, s.links[0].context.span_id) for s in created} == {
        (process.context.trace_id, process.context.span_id)
    }
    assert {s.attributes["caused_by_trace"] for s in created} == {trace(caller)[0]}
    assert {s.parent for s in created} == {None}


async def test_up_to_twenty_effects_stay_in_their_causes_trace(traced):
    for _ in range(SMALL_FAN_OUT):
        await traced.pair()
    caller = new_traceparent(sampled=True)
    await traced.give(traced.record(ledger.ProgramClosed(program=ledger.PROGRAM), 0, traceparent=caller))
    assert {trace_id for trace_id, _ in parents_of(await traced.facts())} == {trace(caller)[0]}


async def test_a_late_retry_is_a_trace_of_its_own_with_a_link(traced):
    soon, late = new_id(), new_id()
    callers = {pair: new_traceparent(sampled=True) for pair in (soon, late)}
    for pair, ahead in ((soon, 0), (late, 600)):
        await traced.give(traced.record(ledger.meeting_held(pair, 1), 0, traceparent=callers[pair]))
        await traced.pair(pair)
        traced.database.clock._ahead += ahead
        await traced.retry()
    (retried,) = [s for s in traced.spans() if s.name == "retry MeetingHeld"]
    assert retried.attributes["caused_by_trace"] == trace(callers[late])[0]
    assert f"{retried.links[0].context.span_id:016x}" == trace(callers[late])[1]
    facts = {f["key"]: t for f, t in zip(await traced.facts(), parents_of(await traced.facts()), strict=True)}
    assert facts[str(soon)][0] == trace(callers[soon])[0]
    assert facts[str(late)] == ids(retried)


async def test_every_service_keeps_the_same_share():
    traces = [new_traceparent(sampled=False) for _ in range(20_000)]
    kept = {}
    for name, rate in {"a": 0.1, "b": 0.1, "more": 0.5, "none": 0.0, "all": 1.0}.items():
        telemetry = Telemetry(name, exporter=Readable(InMemorySpanExporter()), rate=rate)
        kept[name] = {t for t in traces if telemetry.samples(t)}
        telemetry.stop()
    assert kept["a"] == kept["b"]
    assert 0.09 < len(kept["a"]) / len(traces) < 0.11
    assert kept["a"] < kept["more"] < kept["all"], "a larger share holds the smaller one"
    assert (len(kept["none"]), len(kept["all"])) == (0, 20_000)


async def test_an_unsampled_event_hands_its_trace_on_unchanged(rig):
    pair, caller = await rig.pair(), new_traceparent(sampled=False)
    await rig.give(rig.record(ledger.meeting_held(pair, 1), 0, traceparent=caller))
    assert parents_of(await rig.facts()) == [trace(caller)]


@pytest.mark.parametrize(
    "bad", ["x" * 55, "00-" + "g" * 32 + "-" + "1" * 16 + "-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "nonsense"]
)
async def test_a_callers_traceparent_that_is_none_goes_nowhere(traced, bad):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["ithaca.traceparent"])

    scope = {"type": "http", "path": "/x", "method": "GET", "headers": [(b"traceparent", bad.encode())]}
    await Observed(app, SimpleNamespace(telemetry=traced.service.telemetry))(scope, None, None)
    assert bad not in seen


def test_zipkin_takes_what_its_exporter_writes_of_a_span():
    """A tag that is null makes it refuse the whole batch."""
    kept = InMemorySpanExporter()
    telemetry = Telemetry("scheduling", exporter=Readable(kept), rate=1.0)
    span, _ = telemetry.start(
        "timer missed", SpanKind.INTERNAL, "", {"ithaca.key": "a", "n": 1}, cause=new_traceparent(sampled=True)
    )
    span.set_attribute("more", True)
    span.fail("TryLater")
    span.end()
    telemetry.stop()
    exporter = ZipkinExporter()
    (written,) = json.loads(exporter.encoder.serialize(kept.get_finished_spans(), exporter.local_node))
    assert all(isinstance(value, str) for value in written["tags"].values()), written["tags"]
    assert (written["tags"]["more"], written["tags"]["error"]) == ("true", "TryLater")
