"""The picture of one match run: how good its pairs are, who is covered, and how fair it is, on people as the demo makes them.

`.ithaca/venv/bin/python -m benchmarks.matched docs/matching.svg` draws it; the same people give the same picture.
"""

import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.picture import write
from deploy.cli.fairness import name_of, report_of
from deploy.demo.sample import KESTREL, NOBODY_OFFERS, NORTHWIND, SEED, person
from services.matching.domain.model import AuditedGroup
from services.matching.domain.plan import Candidate, Plan, plan
from shared.events import Audited, Policy, Profile, Role
from shared.events.partner import PersonEnrolled

MENTEES, MENTORS = 180, 120
WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)
BINS = 15
PANEL, GAP, TOP, HEIGHT = 310, 70, 74, 200
STYLE = """
    text { fill: #16262e } .small { font-size: 12px; fill: #3f5866 } .end { text-anchor: end } .middle { text-anchor: middle }
    .head { font-weight: 600 } .axis { stroke: #7d8c93 } .grid { stroke: #d5dfe4 } .bar { fill: #33658a } .rest { fill: #d9a441 }
    .span { stroke: #33658a; stroke-width: 3 } .dot { fill: #33658a }
    @media (prefers-color-scheme: dark) {
      text { fill: #eef4f6 } .small { fill: #b8cdd6 } .axis { stroke: #7f929a } .grid { stroke: #33454f } .bar { fill: #86bbd8 }
      .rest { fill: #e0b662 } .span { stroke: #86bbd8 } .dot { fill: #86bbd8 }
    }
  """


def people() -> list[Candidate]:
    """Of the demo's two employers, more than the demo has; one mentee in thirty wants what nobody offers."""
    rng, found = random.Random(SEED), []
    for n in range(MENTEES + MENTORS):
        role = Role.mentee if n < MENTEES else Role.mentor
        employer = NORTHWIND if n % 5 < 3 else KESTREL
        data = person(rng, employer, f"p{n:03}", "", role.value)
        if role is Role.mentee and n % 30 == 0:
            data["skills_wanted"] = [NOBODY_OFFERS]
        profile = PersonEnrolled.read(data | {"name": data["person"]}).profile(Profile(time_zone="UTC"))
        found.append(Candidate(data["person"], employer.id, role, profile))
    return found


def draw(everyone: Sequence[Candidate], found: Plan, report: Sequence[AuditedGroup]) -> str:
    """An SVG of three panels: the pairs' scores, who is covered, and shares and scores by group with 95 % intervals."""
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {3 * PANEL + 2 * GAP + 80} {TOP + HEIGHT + 62}",
        role="img",
        attrib={"aria-label": told(everyone, found, report), "font-family": "system-ui, sans-serif", "font-size": "14"},
    )
    ET.SubElement(svg, "style").text = STYLE
    least = math.floor(10 * min(pair.score for pair in found.pairs) / found.unit) / 10
    scores(svg, 40, found, least)
    coverage(svg, 40 + PANEL + GAP, everyone, found)
    fairness(svg, 40 + 2 * (PANEL + GAP), report, found.unit, least)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def told(everyone: Sequence[Candidate], found: Plan, report: Sequence[AuditedGroup]) -> str:
    """The picture in words."""
    values = sorted(pair.score / found.unit for pair in found.pairs)
    shares = "; ".join(f"{g.role.value}s from {name_of(g)} {g.matched} of {g.people}" for g in report)
    return (
        f"{len(found.pairs)} pairs of {len(everyone)} people, scores {values[0]:.2f} to {values[-1]:.2f}, "
        f"median {values[len(values) // 2]:.2f}; {len(found.left)} wait; matched: {shares}"
    )


def scores(svg: ET.Element, left: float, found: Plan, least: float) -> None:
    """A bar for each fifteenth of the scores from `least` to 1."""
    step = (1 - least) / BINS
    counts = Counter(min(int((pair.score / found.unit - least) / step), BINS - 1) for pair in found.pairs)
    most, width = max(counts.values()), PANEL / BINS
    head(svg, left, "Scores of the pairs", "1 is the best that these people’s statements can give")
    for n, count in sorted(counts.items()):
        height = HEIGHT * count / most
        title = f"{least + n * step:.2f} to {least + (n + 1) * step:.2f}: {count}"
        rect(svg, left + n * width + 1, TOP + HEIGHT - height, width - 2, height, "bar", title)
        write(svg, round(left + (n + 0.5) * width, 1), round(TOP + HEIGHT - height - 5, 1), str(count), "small middle")
    line(svg, (left, TOP + HEIGHT), (left + PANEL, TOP + HEIGHT), "axis")
    ticks = round((1 - least) * 10)
    for n in range(ticks + 1):
        write(svg, round(left + PANEL * n / ticks, 1), TOP + HEIGHT + 20, f"{least + n / 10:.1f}", "small middle")


def coverage(svg: ET.Element, left: float, everyone: Sequence[Candidate], found: Plan) -> None:
    """A bar for each side: those with a partner, and why others wait."""
    head(svg, left, "Who has a partner", "and what keeps the others from one")
    y = TOP + 12
    for role in (Role.mentee, Role.mentor):
        whole = sum(one.role is role for one in everyone)
        matched = len({pair.mentee if role is Role.mentee else pair.mentor for pair in found.pairs})
        write(svg, left, y, f"{matched} of {whole} {role.value}s", "")
        bar, start = y + 8, PANEL * matched / whole
        rect(svg, left, bar, start, 22, "bar", f"{matched} with a partner")
        y += 30
        for reason, count in Counter(one.reason for one in found.left if one.role is role).most_common():
            rect(svg, left + start + 1, bar, PANEL * count / whole - 1, 22, "rest", f"{count}: {reason.value}")
            start += PANEL * count / whole
            y += 20
            write(svg, left, y, f"{count} wait: {reason.value.replace('_', ' ')}", "small")
        y += 42


def fairness(svg: ET.Element, left: float, report: Sequence[AuditedGroup], unit: int, least: float) -> None:
    """For each group the share with a partner, and the mean score, each with its interval."""
    head(svg, left, "By country", "share with a partner · mean score; 95 % intervals")
    label, between = 84, 44
    axis = (PANEL - label - between) / 2
    starts = left + label, left + label + axis + between
    for n in range(3):
        for start, text in zip(starts, (f"{50 * n} %", f"{least + (1 - least) * n / 2:.2g}"), strict=True):
            x = round(start + axis * n / 2, 1)
            line(svg, (x, TOP), (x, TOP + HEIGHT), "grid")
            write(svg, x, TOP + HEIGHT + 20, text, "small middle")
    for n, group in enumerate(report):
        y = round(TOP + HEIGHT * (n + 0.5) / len(report), 1)
        write(svg, left, y - 3, f"{group.role.value}s", "small")
        write(svg, left, y + 12, f"{name_of(group)}, {group.people}", "small")
        mark(svg, starts[0], axis, y, (group.rate, *group.rate_interval))
        if group.mean_score is not None and group.mean_score_interval is not None:
            values = (group.mean_score, *group.mean_score_interval)
            mark(svg, starts[1], axis, y, [(value / unit - least) / (1 - least) for value in values])


def mark(svg: ET.Element, left: float, width: float, y: float, where: Sequence[float]) -> None:
    """A dot and the span about it, as shares of the axis."""
    middle, low, high = (left + width * share for share in where)
    line(svg, (low, y), (high, y), "span")
    ET.SubElement(svg, "circle", {"cx": f"{middle:.1f}", "cy": f"{y:.1f}", "r": "5", "class": "dot"})


def head(svg: ET.Element, left: float, text: str, under: str) -> None:
    write(svg, left, 26, text, "head")
    write(svg, left, 46, under, "small")


def rect(svg: ET.Element, x: float, y: float, width: float, height: float, kind: str, title: str) -> None:
    sizes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}", "class": kind}
    ET.SubElement(ET.SubElement(svg, "rect", sizes), "title").text = title


def line(svg: ET.Element, one: tuple[float, float], other: tuple[float, float], kind: str) -> None:
    (x1, y1), (x2, y2) = one, other
    ET.SubElement(svg, "line", {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}", "class": kind})


def picture() -> str:
    """Of a run on all these people by the default policy."""
    everyone = people()
    found = plan(everyone, Policy(), WHEN)
    return draw(everyone, found, report_of(everyone, found, (Audited.country,)))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture(), "utf-8")
