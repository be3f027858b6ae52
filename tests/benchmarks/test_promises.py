"""The measurements of what is promised beyond speed, run small: each gives its figures and leaves nothing behind."""

import math

import pytest

from benchmarks import growth, keys, latency, later, pending, scheduling, start
from tests.benchmarks.conftest import left_behind

FOUND = {
    growth: [
        ("CPU of an event after 5,000 events", "× that at 500"),
        ("WAL of an event after 5,000 events", "× that at 500"),
        ("repeats looked for after 5,000 events", "× that at 500"),
    ],
    keys: [("others beside a poisoned key", "× clean"), ("others beside a slow key", "× clean")],
    later: [("one in a hundred waits", "× clean")],
    latency: [("commit to next commit, 200 events/s", "ms p50"), ("commit to next commit, 200 events/s", "ms p99")],
    pending: [
        ("idle look, 2,000 pending", "ms p50"),
        ("timers fired, 2,000 pending", "× events untraced"),
        ("timers fired, 2,000 pending", "× the time at 100"),
    ],
    scheduling: [
        ("idle look, 2,000 relationships", "ms p50"),
        ("silence noticed, 2,000 relationships", "× the time at 1,000"),
        ("lateness at 1,000 due a second, 2,000 relationships", "ms p99"),
        ("times for two busy people over eight weeks", "ms p50"),
    ],
    start: [("start", "s")],
}


@pytest.mark.parametrize("module", FOUND, ids=lambda module: module.NAME)
def test_a_measurement_gives_its_figures_and_leaves_nothing_behind(ground, module):
    said: list[str] = []
    found = module.measure(ground, said.append, quick=True, rounds=1)
    assert [(figure.name, figure.unit) for figure in found] == FOUND[module]
    assert all(figure.value > 0 and math.isfinite(figure.value) and figure.detail for figure in found)
    assert any(line.startswith("round 1/1") for line in said)
    assert left_behind(ground) == (set(), set())
