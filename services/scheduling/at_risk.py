"""What coordinators see of relationships at risk: the signs in words, what would help, and a way to say that they have written to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import Request

from services.scheduling.domain import risk
from services.scheduling.domain.model import Relationship
from shared import web
from shared.decisions import Action, Context, Outcome
from shared.events import RiskSign
from shared.service import Service
from shared.words import plural

WORDS: Mapping[RiskSign, Callable[[int], str]] = {
    RiskSign.unsigned: lambda days: f"not signed by everyone for {plural(days, 'day')}",
    RiskSign.no_first_meeting: lambda days: f"signed {plural(days, 'day')} ago, and no first meeting",
    RiskSign.misses: lambda missed: f"{missed} of the last meetings missed",
    RiskSign.quiet: lambda days: f"nothing heard for {plural(days, 'day')}",
    RiskSign.moved: lambda times: f"meetings moved or called off {times} times in two months",
    RiskSign.slow: lambda times: f"no time picked for {times} of the last three meetings",
    RiskSign.low_score: lambda _: "scores are low",
    RiskSign.falling_score: lambda _: "scores are falling",
    RiskSign.fit: lambda _: "doubts whether it fits",
    RiskSign.apart: lambda _: "something is seen differently",
    RiskSign.no_goals: lambda days: f"no goal {plural(days, 'day')} after signing",
    RiskSign.unanswered: lambda _: "questions go unanswered",
    RiskSign.other: lambda _: "another sign",
}
"""Whose score, doubt or silence it is stays unsaid: answers are for nobody's eyes."""

HELP: Mapping[RiskSign, str] = {
    RiskSign.unsigned: "Ask what keeps them from signing. Fewer months, or fewer meetings, may be easier to agree to.",
    RiskSign.no_first_meeting: "Offer to find the first time with them, or to be there for its first ten minutes.",
    RiskSign.misses: "Ask whether another hour of the day, or a call, would be easier to keep.",
    RiskSign.quiet: "Write to each of them alone: how are they, and do they want to go on?",
    RiskSign.moved: "Ask whether meeting less often would suit them; the agreement can be changed by one of them.",
    RiskSign.slow: "Ask whether the hours they gave still hold.",
    RiskSign.low_score: "Ask each of them alone what would make it worth more.",
    RiskSign.falling_score: "Ask each of them alone what has changed.",
    RiskSign.fit: "Offer each of them a talk about another partner. Nobody is to blame.",
    RiskSign.apart: "Suggest that they look at their agreement together.",
    RiskSign.no_goals: "Offer the mentee ten minutes to find a first goal.",
    RiskSign.unanswered: "Call instead of writing: mails may not reach them.",
    RiskSign.other: "Ask how they are.",
}


@dataclass(frozen=True, slots=True)
class RiskLine:
    """A relationship at risk, in words."""

    id: UUID
    called: str
    since: str
    signs: list[tuple[str, str]]
    """(what is seen, what would help), the heaviest first."""


def signs_of(relationship: Relationship, now: datetime) -> list[tuple[RiskSign, str]]:
    """The signs that its coordinator was told of, in words, with the numbers as they are now."""
    numbers = {f.sign: f.number for f in risk.seen_without_answers(relationship, now)}
    known = [RiskSign(sign) for sign in relationship.risk]
    return [(sign, WORDS[sign](numbers.get(sign, 0))) for sign in known if sign in numbers or sign in risk.SAID]


def risk_line(relationship: Relationship, called: str, since: str, now: datetime) -> RiskLine:
    return RiskLine(relationship.id, called, since, [(words, HELP[sign]) for sign, words in signs_of(relationship, now)])


async def wrote(service: Service, request: Request, owner: str, program: str, relationship_id: UUID) -> None:
    """A coordinator has written to them about it."""

    def decided(relationship: Relationship | None, context: Context) -> Outcome:
        if relationship is None or relationship.program != program:
            raise web.nowhere()
        return risk.wrote(relationship, context)

    traceparent = web.traceparent_of(request)
    await service.work.act(
        Action(Relationship, relationship_id, decided, organization=owner, program=program, traceparent=traceparent)
    )
