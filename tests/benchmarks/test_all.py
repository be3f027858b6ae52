"""The measurements themselves, run small: what they find adds up, they leave nothing behind, and the report says what was."""

import math
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from benchmarks import all as figures
from benchmarks import hop, ingest, projections, relay
from benchmarks.figures import Figure, ratio
from benchmarks.picture import draw
from tests.benchmarks.conftest import left_behind

FOUND = {
    hop: [("hop", "× raw"), ("hop", "× naive"), ("hop", "× plain"), ("hop, traces 10 %", "× raw"), ("hop, traces 10 %", "× naive"),
          ("hop, traces 100 %", "× untraced")],
    projections: [("projections, traces 10 %", "× raw")],
    relay: [("relay", "× naive"), ("relay", "× raw produce")],
    ingest: [("ingest", "× COPY")],
}  # fmt: skip


@pytest.mark.parametrize("module", FOUND, ids=lambda module: module.NAME)
def test_a_measurement_gives_its_figures_and_leaves_nothing_behind(ground, module):
    said: list[str] = []
    found = module.measure(ground, said.append, quick=True, rounds=1)
    assert [(figure.name, figure.unit) for figure in found] == FOUND[module]
    assert all(figure.value > 0 and math.isfinite(figure.value) and "/s against " in figure.detail for figure in found)
    assert any(line.startswith("round 1/1") for line in said)
    assert left_behind(ground) == (set(), set())


def test_the_report_names_what_runs_here(ground):
    assert re.fullmatch(
        r"\d+ cores, \d+ GB of memory, Python 3\.\d+\.\d+, Kafka \d+\.\d+\.\d+, PostgreSQL \d+\.\d+; .* UTC, load [\d.]+ before",
        figures.machine(ground).text,
    )


def module(name: str, measure) -> SimpleNamespace:
    return SimpleNamespace(NAME=name, ABOUT=f"What {name} is.", measure=measure)


def test_a_figure_that_cannot_be_measured_is_named_and_the_others_go_on(tmp_path):
    def fails(platform, say, *, quick, rounds):
        raise ConnectionError("nobody | answers")

    def works(platform, say, *, quick, rounds):
        say(f"{rounds} rounds")
        return [ratio("relay", "naive", 30_000, 500, 75), Figure("latency", 12, "ms p99", 20, at_most=True)]

    said: list[str] = []
    found = figures.run(None, [module("start", fails), module("relay", works)], said.append, rounds=3)
    where = figures.Machine(2, 23, "3.11.9", "4.4.0", "18.4", datetime(2026, 3, 1, 12, 30, tzinfo=UTC), 0.1)
    written = figures.write(tmp_path / "figures.md", found, where, "./ithaca bench all")

    text = (tmp_path / "figures.md").read_text()
    assert "| start | | | **could not be measured** | ConnectionError: nobody \\| answers |" in text
    assert "| relay | 60 × naive | ≥ 75 | **missed** | 30,000/s against 500/s |" in text
    assert "| latency | 12 ms p99 | ≤ 20 | met |" in text
    assert "2 cores, 23 GB of memory, Python 3.11.9, Kafka 4.4.0, PostgreSQL 18.4; 2026-03-01 12:30 UTC, load 0.1 before" in text
    assert "1 of 2 goals are met; 1 could not be measured" in text
    assert "3 rounds" in said
    assert [file.name for file in written] == ["figures.md", "figures.svg"]
    assert figures.as_json(found, where)["failed"] == {"start": "ConnectionError: nobody | answers"}


def test_in_the_picture_a_goal_that_is_met_lies_right_of_the_line_and_one_that_is_missed_left():
    svg = ET.fromstring(
        draw(
            [
                Figure("a label of some length, such as there are, even longer", 2, "× b", 1),
                Figure("c", 40, "ms", 20, at_most=True),
                Figure("d", 10, "ms", 20, at_most=True),
            ]
        )
    )
    space = "{http://www.w3.org/2000/svg}"
    goal = next(float(line.get("x1")) for line in svg.iter(f"{space}line") if line.get("class") == "goal")
    bars = [(bar.get("class"), float(bar.get("x")), float(bar.get("width"))) for bar in svg.iter(f"{space}rect")]
    assert [kind for kind, _, _ in bars] == ["met", "missed", "met"]
    assert [x for kind, x, _ in bars if kind == "met"] == [goal, goal]
    assert all(x + width == pytest.approx(goal) for kind, x, width in bars if kind == "missed")
    labels = [text for text in svg.iter(f"{space}text") if text.get("class") == "end"]
    assert all(float(label.get("x")) > 7 * len(label.text) for label in labels), "a label is cut off"
    assert "prefers-color-scheme: dark" in ET.tostring(svg, encoding="unicode")


def test_an_unknown_figure_is_refused_with_the_names_there_are():
    with pytest.raises(LookupError, match=r"No figure is called relays\. There are: .*relay"):
        figures.modules(["relays"])
    assert [one.NAME for one in figures.modules(["ingest", "hop"])] == ["hop", "ingest"]
