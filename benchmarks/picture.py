"""The picture of a run: a bar for each figure, to the right of the goal's line where it is met, to the left where it is missed."""

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from benchmarks.figures import Figure, number

BARS, RIGHT, TOP, ROW, BAR = 440, 150, 64, 26, 14
LETTER = 7.6
"""Of a label's letters none is wider on the average of a label."""
STYLE = """
    text { fill: #16262e } .small { font-size: 12px; fill: #3f5866 } .end { text-anchor: end } .middle { text-anchor: middle }
    .met { fill: #33658a } .missed { fill: #c2552d } .grid { stroke: #d5dfe4 } .goal { stroke: #16262e; stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #eef4f6 } .small { fill: #b8cdd6 }
      .met { fill: #86bbd8 } .missed { fill: #f0905f } .grid { stroke: #33454f } .goal { stroke: #eef4f6 }
    }
  """


def draw(figures: Sequence[Figure]) -> str:
    """An SVG on a logarithmic scale of how many times as good as its goal each figure is."""
    reaches = [reach(figure) for figure in figures]
    low, high = (math.floor(min([-1.0, *reaches])), math.ceil(max([1.0, *reaches])))
    labels = [f"{figure.name}, {figure.unit}" for figure in figures]
    left = round(24 + LETTER * max(map(len, labels), default=0))
    width, bottom = left + BARS + RIGHT, TOP + ROW * len(figures)

    def x(doublings: float) -> float:
        return round(left + BARS * (doublings - low) / (high - low), 1)

    svg = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {bottom + 34}",
        role="img",
        attrib={
            "aria-label": "; ".join(figure.sentence for figure in figures),
            "font-family": "system-ui, sans-serif",
            "font-size": "14",
        },
    )
    ET.SubElement(svg, "style").text = STYLE
    write(svg, left, 22, "Each figure beside its goal: right of the line it is met, left of it missed", "")
    for step in range(low, high + 1, max(1, (high - low) // 8)):
        line(svg, x(step), bottom, "grid")
        write(svg, x(step), bottom + 18, "goal" if step == 0 else f"{number(2.0**step)} ×", "small middle")
    for n, (figure, label, doublings) in enumerate(zip(figures, labels, reaches, strict=True)):
        y = TOP + ROW * n
        ends = sorted((x(0), x(doublings)))
        bar = ET.SubElement(svg, "rect", x=f"{ends[0]}", y=f"{y}", width=f"{max(ends[1] - ends[0], 1):.1f}", height=f"{BAR}")
        bar.set("class", "met" if figure.met else "missed")
        ET.SubElement(bar, "title").text = figure.sentence
        write(svg, left - 12, y + 12, label, "end")
        write(svg, left + BARS + 12, y + 12, f"{number(figure.value)}, wanted {figure.wanted}", "small")
    line(svg, x(0), bottom, "goal")
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def reach(figure: Figure) -> float:
    """How many doublings above its goal, up to ten."""
    return max(-10.0, min(10.0, math.log2(max(figure.reach, 2.0**-10))))


def write(svg: ET.Element, x: float, y: float, text: str, kind: str) -> None:
    element = ET.SubElement(svg, "text", x=f"{x}", y=f"{y}")
    if kind:
        element.set("class", kind)
    element.text = text


def line(svg: ET.Element, x: float, bottom: float, kind: str) -> None:
    ET.SubElement(svg, "line", x1=f"{x}", x2=f"{x}", y1=f"{TOP - 12}", y2=f"{bottom}").set("class", kind)
