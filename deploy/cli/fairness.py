"""The fairness report of `./ithaca match`: who found a partner, and with what score, by what the policy audits or the command names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from services.matching.domain.model import AuditedGroup
    from services.matching.domain.plan import Candidate, Plan
    from shared.events import Audited


def audited(named: str) -> "tuple[Audited, ...]":
    """Of `country,function`. Raises BadParameter where one isn't an attribute."""
    from shared.events import Audited  # noqa: PLC0415

    known = {one.value: one for one in Audited if one is not Audited.other}
    names = [name.strip().replace("-", "_") for name in named.split(",") if name.strip()]
    if not names or not known.keys() >= set(names):
        raise typer.BadParameter(f"use {', '.join(known)}; several with commas between", param_hint="--fairness")
    return tuple(known[name] for name in dict.fromkeys(names))


def report_of(people: "Sequence[Candidate]", found: "Plan", audit: "Sequence[Audited]") -> "list[AuditedGroup]":
    """Of a plan, as a run's."""
    from services.matching.domain.fairness import counted, groups, report  # noqa: PLC0415
    from shared.events import Role  # noqa: PLC0415

    scores: dict[tuple[Role, str], list[int]] = {}
    for pair in found.pairs:
        scores.setdefault((Role.mentor, pair.mentor), []).append(pair.score)
        scores.setdefault((Role.mentee, pair.mentee), []).append(pair.score)
    return report(counted(groups(people, audit), scores))


def as_numbers(group: "AuditedGroup", unit: int) -> dict[str, Any]:
    """A line of the report for `--json`; scores in the policy's own units."""
    mean, interval = group.mean_score, group.mean_score_interval
    return {
        "role": group.role.value,
        "attribute": group.attribute.value,
        "value": group.value,
        "merged": group.merged,
        "people": group.people,
        "matched": group.matched,
        "rate": round(group.rate, 4),
        "rate_interval": [round(end, 4) for end in group.rate_interval],
        "mean_score": None if mean is None else round(mean / unit, 4),
        "mean_score_interval": None if interval is None else [round(end / unit, 4) for end in interval],
    }


def name_of(group: "AuditedGroup") -> str:
    if group.merged > 1:
        return f"others ({group.merged} groups)"
    return group.value or "not said"


def lines(report: "Sequence[AuditedGroup]", unit: int) -> list[str]:
    """The report as a table in text."""
    if not report:
        return ["Fairness: nothing to tell of fewer than five people"]
    rows = []
    for group in report:
        mean, interval = group.mean_score, group.mean_score_interval
        score = "" if mean is None else f"{mean / unit:.3g}"
        if interval is not None:
            score += f" ({interval[0] / unit:.3g} to {interval[1] / unit:.3g})"
        low, high = group.rate_interval
        rate = f"{group.rate:4.0%} ({low:.0%} to {high:.0%})"
        rows.append((f"{group.role.value}s", group.attribute.value.replace("_", " "), name_of(group),
                     f"{group.people:,}", f"{group.matched:,}", rate, score))  # fmt: skip
    head = ("fairness", "by", "", "people", "matched", "share (95 %)", "mean score (95 %)")
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    right = {3, 4}
    return [
        "  ".join(
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
