"""The figures of simulated programs as Markdown, and the trade-off as a picture."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.picture import STYLE, write
from benchmarks.simulated.figures import BEFORE, Caught, Measured, by_cause
from benchmarks.simulated.latent import Cause
from services.scheduling.domain.risk import FLAGGED_FROM, POINTS, WELL_UP_TO

GOAL_CAUGHT, GOAL_FALSE = 0.8, 0.2
LEFT, TOP, SIDE = 62, 44, 360
SHADES = {0.5: "half", 1.0: "one", 2.0: "two"}
LABELS = {0.5: "shows half as much", 1.0: "as drawn", 2.0: "shows twice as much"}
CURVES = """
    .half { stroke: #86bbd8 } .one { stroke: #33658a; stroke-width: 3 } .two { stroke: #c2552d } polyline { fill: none; stroke-width: 2 }
    .aim { fill: #33658a; opacity: 0.12 } .dot { fill: #33658a }
    @media (prefers-color-scheme: dark) {
      .half { stroke: #55798c } .one { stroke: #86bbd8 } .two { stroke: #f0905f } .aim { fill: #86bbd8; opacity: 0.18 } .dot { fill: #86bbd8 }
    }
  """


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def text(found: Sequence[Measured], command: str) -> str:
    """All tables, of the programs in the order given."""
    lines = [
        "# At risk: what the flags catch of a simulated program",
        "",
        f"Made by `{command}`. What is simulated, and every distribution in it, stands in `benchmarks/simulated/latent.py` and `play.py`; the",
        f"flags are those of `services/scheduling/domain/risk.py`, from {FLAGGED_FROM} points on and down to {WELL_UP_TO}. An early end is every one but at the",
        f"agreed time, with the goal reached, or with the program. Caught: flagged on the day {BEFORE} days before it. False alarms: of those that didn’t end early,",
        "the share that was flagged at any time in up to two years; wrong: the share of all that were ever flagged that didn’t end early; days at risk: the share",
        "of all days of those that didn’t end early on which the flag stood.",
        "",
        "| program | seed | relationships | ended early | caught | false alarms | wrong | days at risk | days before the end, median |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(line(measured) for measured in found),
        "",
        "## By cause",
        "",
        known([measured for measured in found if measured.shows == 1 and not measured.training]),
        "",
        *causes([measured for measured in found if measured.shows == 1 and not measured.training]),
        "",
        "## By threshold",
        "",
        *thresholds([measured for measured in found if measured.shows == 1 and not measured.training]),
        "",
        "## Points",
        "",
        "| sign | points, as it grows |",
        "| --- | --- |",
        *(f"| {sign} | {', '.join(map(str, steps))} |" for sign, steps in by_sign().items()),
    ]
    return "\n".join(lines) + "\n"


def line(measured: Measured) -> str:
    now = measured.now
    early = sum(story.early for story in measured.stories)
    what = ("training, " if measured.training else "") + LABELS[measured.shows]
    shares = f"{percent(now.early)} | {percent(now.false)} | {percent(now.wrong)} | {percent(now.days)} | {now.lead:.0f}"
    return f"| {what} | {measured.seed} | {len(measured.stories):,} | {percent(early / len(measured.stories))} | {shares} |"


def known(found: Sequence[Measured]) -> str:
    """How much there was to know a week before: what one could catch who reads minds."""
    early = [story for measured in found for story in measured.stories if story.early]
    decided = sum(story.decided is not None and story.days - story.decided >= BEFORE for story in early)
    nobody = sum(story.decided is None for story in early)
    shares = percent(decided / max(1, len(early))), percent(nobody / max(1, len(early)))
    return (
        f"A week before the end somebody had decided to stop, or knew that they would leave, in {shares[0]} of the early endings; {shares[1]} more came of\n"
        "silence, or of signatures that nobody gave, without anybody’s decision. In the others there was nothing to know yet."
    )


def causes(found: Sequence[Measured]) -> Iterable[str]:
    """Of the held-out programs together."""
    yield "| why it ended early, as nobody but the simulation knows | ended | caught |"
    yield "| --- | ---: | ---: |"
    told = [by_cause(measured.stories) for measured in found]
    for cause in Cause:
        ended, seen = (sum(each[cause][n] for each in told) for n in (0, 1))
        yield f"| {cause} | {ended:,} | {percent(seen / max(1, ended))} |"


def thresholds(found: Sequence[Measured]) -> Iterable[str]:
    yield "| points | caught | false alarms | wrong | days at risk |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for each in zip(*(measured.curve for measured in found), strict=True):
        mean = [sum(getattr(one, name) for one in each) / len(each) for name in ("early", "false", "wrong", "days")]
        chosen = " (chosen)" if each[0].points == FLAGGED_FROM else ""
        yield f"| {each[0].points}{chosen} | {' | '.join(map(percent, mean))} |"


def by_sign() -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for (sign, _), points in sorted(
        POINTS.items(), key=lambda item: (-max(POINTS[item[0][0], n] for n in (item[0][1],)), item[0][0])
    ):
        found.setdefault(sign.value, []).append(points)
    return {sign: sorted(steps) for sign, steps in found.items()}


def draw(curves: Mapping[float, Sequence[Caught]], aim: Caught) -> str:
    """Caught against false alarms, a line for each of how much shows; `aim` is the threshold that was chosen."""
    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {LEFT + SIDE + 200} {TOP + SIDE + 56}",
        role="img",
        attrib={
            "aria-label": f"Early endings caught a week before against false alarms: {percent(aim.early)} at {percent(aim.false)} as drawn",
            "font-family": "system-ui, sans-serif",
            "font-size": "14",
        },
    )
    ET.SubElement(svg, "style").text = STYLE + CURVES
    write(svg, LEFT, 22, "Early endings caught a week before, and false alarms", "")
    goal = ET.SubElement(
        svg, "rect", x=f"{LEFT}", y=f"{TOP}", width=f"{SIDE * GOAL_FALSE:g}", height=f"{SIDE * (1 - GOAL_CAUGHT):g}"
    )
    goal.set("class", "aim")
    for step in range(6):
        at = step / 5
        ET.SubElement(svg, "line", x1=f"{LEFT}", x2=f"{LEFT + SIDE}", y1=f"{y(at)}", y2=f"{y(at)}").set("class", "grid")
        ET.SubElement(svg, "line", x1=f"{x(at)}", x2=f"{x(at)}", y1=f"{TOP}", y2=f"{TOP + SIDE}").set("class", "grid")
        write(svg, LEFT - 8, y(at) + 4, percent(at), "small end")
        write(svg, x(at), TOP + SIDE + 18, percent(at), "small middle")
    write(svg, LEFT + SIDE / 2, TOP + SIDE + 42, "false alarms, of those that don’t end early", "small middle")
    for n, (shows, points) in enumerate(sorted(curves.items(), reverse=True)):
        path = " ".join(f"{x(one.false)},{y(one.early)}" for one in points)
        ET.SubElement(svg, "polyline", points=path).set("class", SHADES[shows])
        ET.SubElement(
            svg, "polyline", points=f"{LEFT + SIDE + 16},{TOP + 40 + 26 * n} {LEFT + SIDE + 40},{TOP + 40 + 26 * n}"
        ).set("class", SHADES[shows])
        write(svg, LEFT + SIDE + 48, TOP + 45 + 26 * n, LABELS[shows], "small")
    ET.SubElement(svg, "circle", cx=f"{x(aim.false)}", cy=f"{y(aim.early)}", r="6").set("class", "dot")
    for n, words in enumerate(("dot: as it is set", "shaded: what is wanted"), len(curves)):
        write(svg, LEFT + SIDE + 16, TOP + 45 + 26 * n, words, "small")
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def x(share: float) -> float:
    return round(LEFT + SIDE * share, 1)


def y(share: float) -> float:
    return round(TOP + SIDE * (1 - share), 1)


def written(found: Sequence[Measured], out: Path, picture: Path | None, command: str) -> None:
    out.write_text(text(found, command))
    if picture is not None:
        curves = {measured.shows: measured.curve for measured in found if not measured.training}
        aim = next(measured.now for measured in reversed(found) if measured.shows == 1 and not measured.training)
        picture.write_text(draw(curves, aim))
