"""Why people meet, in words: a line for a list, and what one would tell them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.matching.domain.plan import Pair
    from services.matching.domain.score import Spoken


def _heavy(spoken: "Sequence[Spoken]") -> "list[Spoken]":
    """What speaks for it, the weightiest first."""
    return sorted((part for part in spoken if part.points > 0), key=lambda part: -part.points)


def short(spoken: "Sequence[Spoken]") -> str:
    return "; ".join(f"{part.code.replace('_', ' ')} {', '.join(part.items) or f'{part.number:g}'}" for part in _heavy(spoken))


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def explained(pair: "Pair", unit: int) -> str:
    """Why these two, as one would tell the mentor."""
    head = f"{pair.mentee} for {pair.mentor} ({pair.score / unit:.10g})"
    nothing = "nothing that either has said speaks for it; no rule forbids it, and both would otherwise be alone"
    return _reasons(head, pair.spoken, SENTENCES, unit, nothing)


def explained_peers(members: Sequence[str], score: int, spoken: "Sequence[Spoken]", unit: int) -> str:
    """Why these meet, as one would tell them all."""
    head = f"{listing(members)} ({score / unit:.10g})"
    nothing = "nothing that they have said speaks for it; no rule forbids it, and they would otherwise be alone"
    return _reasons(head, spoken, AMONG_PEERS, unit, nothing)


def explained_group(mentors: Sequence[str], mentees: Sequence[str], score: int, spoken: "Sequence[Spoken]", unit: int) -> str:
    """Why these mentees, as one would tell the mentors."""
    head = f"{listing(mentees)} for {listing(mentors)} ({score / unit:.10g})"
    nothing = "nothing that they have said speaks for it; no rule forbids it, and they would otherwise be alone"
    return _reasons(head, spoken, SENTENCES, unit, nothing)


def _reasons(head: str, spoken: "Sequence[Spoken]", sentences: dict[str, str], unit: int, nothing: str) -> str:
    lines = [head]
    for part in _heavy(spoken):
        named, say = listing(part.items), sentences.get(part.code)
        near = listing(tuple(dict.fromkeys(part.near)))
        text = (
            say.format(items=named, number=part.number, near=near)
            if say
            else f"{part.code.replace('_', ' ')}: {named or f'{part.number:+g}'}"
        )
        lines.append(f"  - {text} (+{part.points / unit:.4g})")
    return "\n".join(lines if len(lines) > 1 else [*lines, f"  - {nothing}"])


SENTENCES = {
    "skills": "They want to learn {items}, which you offer.",
    "related_skills": "They want to learn {items}; close to that, you offer {near}.",
    "has_made_the_move": "They want to become {items}, which you are or were.",
    "adjacent_role": "They want to become {items}; close to that, you are or were {near}.",
    "goals": "You share a goal: {items}.",
    "values": "You both hold dear: {items}.",
    "interests": "You are both interested in {items}.",
    "language": "You both speak {items}.",
    "industry": "You both know the industry: {items}.",
    "function": "You work in the same function: {items}.",
    "location": "You are in the same place: {items}.",
    "experience": "You are {number:g} years ahead of them at work.",
    "waiting": "They have waited {number:g} days.",
    "overlap_hours": "You are both free for {number:g} hours a week.",
}

AMONG_PEERS = {
    "skills": "What one of you wants to learn, another can do: {items}.",
    "related_skills": "What one of you wants to learn, {items}, is close to what another can do: {near}.",
    "has_made_the_move": "What one of you wants to become, another is or was: {items}.",
    "adjacent_role": "What one of you wants to become, {items}, is close to what another is or was: {near}.",
    "goals": "You share goals: {items}.",
    "values": "You hold dear: {items}.",
    "interests": "You are interested in {items}.",
    "language": "You speak {items}.",
    "industry": "You know the industry: {items}.",
    "function": "You work in {items}.",
    "location": "You are in {items}.",
    "experience": "You are {number:g} years apart at work.",
    "overlap_hours": "You are free together for {number:g} hours a week.",
}
