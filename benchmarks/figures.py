"""What a measurement found: one number in the field's words, beside its goal."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of one run. Ratios count, since machines differ."""

    name: str
    """What was measured, such as `relay`."""
    value: float
    """In `unit`."""
    unit: str
    """Such as `× naive` or `ms p99`."""
    goal: float
    at_most: bool = False
    """Whether the goal is an upper bound."""
    detail: str = ""
    """The absolute figures behind it, such as `23,390/s against 401/s`."""

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def reach(self) -> float:
        """How many times as good as the goal; 1 is the goal, whichever bound it is."""
        if self.at_most:
            return self.goal / self.value if self.value else float("inf")
        return self.value / self.goal

    @property
    def wanted(self) -> str:
        """`≥ 0.35`"""
        return f"{'≤' if self.at_most else '≥'} {number(self.goal)}"

    @property
    def sentence(self) -> str:
        return f"{self.name}: {number(self.value)} {self.unit}, wanted {self.wanted}: {'met' if self.met else 'missed'}"


def number(value: float) -> str:
    """Three digits that count: `0.352`, `64.1`, `1,250`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(name: str, peer: str, ours: float, theirs: float, goal: float) -> Figure:
    """So many times a peer's events per second."""
    return Figure(name, ours / theirs, f"× {peer}", goal, detail=f"{ours:,.0f}/s against {theirs:,.0f}/s")
