"""The simulated program, small: the same from the same seed, played by the platform's own rules, and its causes out of the rules' sight."""

import ast
import inspect
from dataclasses import fields, replace
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from benchmarks.simulated import figures, report
from benchmarks.simulated.latent import Cause
from benchmarks.simulated.play import Look, Play, Story
from services.scheduling.domain import risk
from services.scheduling.domain.check_ins import Answers
from services.scheduling.domain.model import Member, Relationship
from services.scheduling.domain.risk import FLAGGED_FROM, WELL_UP_TO


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return figures.program(5, figures.QUICK)


def test_a_seed_draws_the_same_program_again_in_whatever_order(stories):
    for number in (0, 7, 31):
        assert figures.play(5, 1.0, number) == stories[number]
    assert figures.play(6, 1.0, 7) != stories[7]


def test_what_becomes_of_it_is_in_the_range_of_what_is_published(stories):
    early = [story for story in stories if story.early]
    assert 0.2 < len(early) / len(stories) < 0.42
    assert 0.5 < sum(story.by_mentor for story in early) / len(early) < 0.85
    assert len({story.cause for story in early}) >= 5
    assert {"completed", "silent", "person_withdrawn", "no_time"} <= {story.reason for story in stories}
    assert all(story.cause is None for story in stories if not story.early)
    whole = [story.held for story in stories if story.reason == "completed"]
    assert 6 < sum(whole) / len(whole) < 30


def test_no_rule_can_see_a_cause():
    """A look is given the relationship and its answers; neither they nor the rules know of the simulation, and the hidden lives nothing of flags."""
    assert list(inspect.signature(risk.findings).parameters) == ["relationship", "answers", "now"]
    hidden = {"chemistry", "strain", "load", "drive", "quick", "mild", "decided", "cause", "manner"}
    for kind in (Relationship, Member, Answers):
        assert not hidden & {field.name for field in fields(kind)}
    imported = {node.module or "" for node in ast.walk(ast.parse(inspect.getsource(risk))) if isinstance(node, ast.ImportFrom)}
    assert not any("benchmarks" in module for module in imported)
    assert "risk" not in inspect.getsource(inspect.getmodule(Cause))


def test_the_flags_are_those_that_production_would_tell(stories):
    """What is worked out from the looks for other bounds agrees, at the bounds that hold, with the PairFlagged that came."""
    for story in stories:
        assert figures.flags(figures.weighed(story), FLAGGED_FROM, WELL_UP_TO) == list(story.flags)


def test_the_figures_add_up(stories):
    curve = figures.curve(stories)
    assert all(low.false >= high.false for low, high in pairwise(curve)), "more points, fewer alarms"
    now = figures.caught(stories)
    assert now == next(one for one in curve if one.points == FLAGGED_FROM)
    assert 0.1 < now.early < 0.95
    assert 0 < now.days < now.false < 0.6
    assert sum(ended for ended, _ in figures.by_cause(stories).values()) == sum(story.early for story in stories)


def story(days, early, *looks, **more):
    seen = tuple(Look(day, levels) for day, levels in looks)
    return Story(0, days, "x", early, Cause.load if early else None, True, None, 0, seen, (), **more)


def test_caught_is_what_stands_a_week_before_the_end():
    quiet, well = (("quiet", 3),), ()
    late = story(30, True, (24, quiet), (26, quiet))
    caught = story(30, True, (20, well), (22, quiet), (24, quiet))
    over = story(30, True, (10, quiet), (20, well), (25, quiet))
    good, alarmed = story(100, False, (50, well)), story(100, False, (50, quiet), (60, well))
    found = figures.caught([late, caught, over, good, alarmed])
    assert (found.early, found.false, found.lead) == (1 / 3, 1 / 2, 8)
    assert found.wrong == 1 / 4
    assert found.days == 10 / 200
    paused = replace(good, looks=(Look(50, quiet, paused=True),))
    assert figures.caught([caught, paused]).false == 0


def test_the_report_has_its_tables_and_its_picture(tmp_path, stories):
    few = stories[:60]
    found = [
        figures.Measured(seed, shows, few, figures.caught(few), figures.curve(few))
        for seed, shows in ((figures.TRAINING, 1.0), *((figures.HELD_OUT, shows) for shows in figures.SHOWS))
    ]
    report.written(found, tmp_path / "out.md", tmp_path / "out.svg", "./ithaca bench simulated")
    text = (tmp_path / "out.md").read_text()
    assert f"| {FLAGGED_FROM} (chosen) |" in text
    assert all(str(cause) in text for cause in Cause)
    assert "| training, as drawn | 1 | 60 |" in text
    svg = ET.fromstring((tmp_path / "out.svg").read_text())
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}polyline"))) == 2 * len(figures.SHOWS)


def test_the_platforms_own_rules_play_it():
    play = Play.drawn(5, 3)
    assert {kind for kind, _ in play.timers} == {"unsigned", "risk"}
    assert play.run() == figures.play(5, 1.0, 3)
