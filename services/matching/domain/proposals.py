"""What becomes of a proposal: it is approved or rejected, is scored anew when its people or policy change, or holds no longer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from services.matching.domain.model import (
    REVIEW_PROPOSAL,
    Against,
    Person,
    Program,
    Relationship,
    RelationshipStatus,
    revisions_of,
)
from services.matching.domain.runs import begins, everyone, freed, match_fact, members_against, seated
from shared.decisions import NOTHING, Context, Outcome, changed
from shared.errors import Rejected
from shared.events import MatchApproved, MatchProposed, MatchRejected, Reason, RejectionReason
from shared.timers import DueTimer

RULES = {
    Against.closed: "the program is closed",
    Against.takes_part: "someone in it no longer takes part in this way",
    Against.formats: "the program doesn’t bring people together in this way any more",
    Against.places: "someone in it has no place left",
    Against.kept_apart: "one is in the other’s line of managers, or they met not long ago",
    Against.organizations: "the program’s rule on organizations",
    Against.ranks: "the program’s rule on ranks",
    Against.years: "the program’s rule on years of experience",
    Against.language: "no language in common",
    Against.overlap: "too few hours a week in which both are free",
    Against.least_score: "the score is below the program’s least",
    Against.other: "its people may not be brought together in this program",
}
UNTOLD = {
    Against.kept_apart,
    Against.organizations,
    Against.ranks,
    Against.years,
    Against.language,
    Against.overlap,
}
"""Rules between two people. Where people may have rules of their own none is told of: a wish would stand out."""


def standing(relationship: Relationship, people: Sequence[Person], program: Program | None, now: datetime) -> Against | None:
    """What keeps a proposal from beginning, as far as its program and each of its people by themselves tell; None where it can begin."""
    if program is None or program.closed:
        return Against.closed
    if relationship.format not in program.policy.formats:
        return Against.formats
    if len(people) < len(relationship.members):
        return Against.takes_part
    return members_against(relationship, [person.begun() for person in people], program, now)


def approve(by: str, relationship: Relationship | None, context: Context) -> Outcome:
    """A coordinator approves a proposal: the relationship begins. Approved already: the same answer.

    One whose people or policy have just changed waits until it is scored anew, so that nobody approves what they haven't seen.
    """
    if relationship is None:
        raise Rejected("not_found", "There is no such proposal.", status=404)
    if relationship.status is RelationshipStatus.active:
        return NOTHING.returning(relationship.status)
    program, people = context.get(Program, relationship.program), everyone(relationship, context)
    if relationship.against is not None:
        raise Rejected("no_longer_holds", no_longer(relationship.against), status=409)
    if relationship.status is not RelationshipStatus.proposed:
        raise Rejected("no_longer_proposed", f"This match is {relationship.status.value}.", status=409)
    against = standing(relationship, people, program, context.now)
    if program is None or against is not None:
        raise Rejected("no_longer_holds", no_longer(against or Against.closed), status=409)
    if out_of_date(relationship, people, program):
        raise Rejected(
            "scored_anew", "Its people or the program have just changed: it is being scored anew. Look again shortly.", status=409
        )
    approved = MatchApproved(
        relationship_id=relationship.id,
        program=relationship.program,
        run_id=relationship.run_id,
        approved_by=by,
        audience=relationship.audience,
    )
    members = seated(relationship, people, program, context.now, proposed=False)
    outcome = (
        changed(relationship, status=RelationshipStatus.active)
        .also(*members)
        .then(approved, match_fact(begins(relationship), relationship, program))
        .returning(RelationshipStatus.active)
    )
    for member in members:
        for place in member.places:  # what they have no place for any more, since they offered more when it was proposed
            at_this = place.proposed and place.program == program.id
            if at_this and not member.begun().room(program.id, program.policy, place.format, context.now):
                outcome = outcome.arm(REVIEW_PROPOSAL, place.relationship_id, place.relationship_id, context.now)
    return outcome


def no_longer(against: Against) -> str:
    """In a sentence."""
    return f"This match no longer holds: {RULES[against]}."


def out_of_date(relationship: Relationship, people: Sequence[Person], program: Program) -> bool:
    """Whether this proposal's score is of before the last change of its people or program."""
    proposed = relationship.status is RelationshipStatus.proposed
    return proposed and bool(relationship.scored_for) and relationship.scored_for != revisions_of(people, program)


def reject(reason: RejectionReason, by: str, relationship: Relationship | None, context: Context) -> Outcome:
    """A proposal will not come about: its people are free again, and not proposed to each other for a while."""
    if relationship is None:
        raise Rejected("not_found", "There is no such proposal.", status=404)
    if relationship.against is not None:  # withdrawn, it keeps nobody apart: who rejects it must know
        raise Rejected("no_longer_holds", no_longer(relationship.against), status=409)
    if relationship.status is RelationshipStatus.rejected:
        return NOTHING.returning(relationship.status)
    if relationship.status is not RelationshipStatus.proposed:
        raise Rejected("no_longer_proposed", f"This match is {relationship.status.value}.", status=409)
    return _ends(relationship, reason, by, context).returning(RelationshipStatus.rejected)


def _ends(
    relationship: Relationship, reason: RejectionReason, by: str | None, context: Context, against: Against | None = None
) -> Outcome:
    rejected = MatchRejected(
        relationship_id=relationship.id,
        program=relationship.program,
        run_id=relationship.run_id,
        reason=reason,
        rejected_by=by,
        audience=relationship.audience,
    )
    over = replace(relationship, status=RelationshipStatus.rejected, against=against)
    return freed(over, context, apart=against is None).then(rejected)


def _withdrawn(relationship: Relationship, against: Against, context: Context) -> Outcome:
    """Nobody has said no: where it holds again, a run may find the same match again."""
    program = context.get(Program, relationship.program)
    told = against if program is None else told_of(against, program)
    return _ends(relationship, RejectionReason.no_longer_holds, None, context, told)


def told_of(against: Against, program: Program) -> Against:
    """The rule as others may read of it."""
    return Against.other if against in UNTOLD and program.untold else against


def review(relationship: Relationship | None, _: DueTimer | None, context: Context) -> Outcome:
    """A proposal falls when its program is closed, or someone in it no longer takes part or has no place left."""
    if relationship is None or relationship.status is not RelationshipStatus.proposed:
        return NOTHING
    program = context.get(Program, relationship.program)
    against = standing(relationship, everyone(relationship, context), program, context.now)
    return NOTHING if against is None else _withdrawn(relationship, against, context)


# ---- scored anew -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Anew:
    """What a run of today would say of a proposal, and of which revisions of its people and program that holds."""

    id: UUID
    scored_for: tuple[int, ...]
    score: int = 0
    reasons: tuple[Reason, ...] = ()
    about: tuple[str, ...] = ()
    against: Against | None = None
    """Why it would not propose it at all."""


def score_anew(program: Program | None, _: Any, context: Context) -> Outcome:
    """Some of the program's proposals have changed people or another policy: the service looks for them and asks the ranker."""
    return NOTHING if program is None or program.closed else changed(program, rescore_at=context.now)


def looked_at(until: datetime, program: Program | None, _: Context) -> Outcome:
    """All changes of before `until` have been seen. What has changed since is looked for again."""
    return NOTHING if program is None or program.rescore_at != until else changed(program, rescore_at=None)


def rescored(anew: Anew, relationship: Relationship | None, context: Context) -> Outcome:
    """The proposal gets the score and reasons of today, or is withdrawn where no run would propose it.

    Decided meanwhile: nothing. Changed meanwhile: nothing either, since that change has armed the timer again.
    """
    if relationship is None or relationship.status is not RelationshipStatus.proposed:
        return NOTHING
    program, people = context.get(Program, relationship.program), everyone(relationship, context)
    if program is None or program.closed or not people or revisions_of(people, program) != anew.scored_for:
        return NOTHING
    against = standing(relationship, people, program, context.now) or anew.against
    if against is not None:
        return _withdrawn(relationship, against, context)
    fresh = replace(relationship, score=anew.score, reasons=anew.reasons, about=anew.about, scored_for=anew.scored_for)
    if (fresh.score, fresh.reasons, fresh.about) == (relationship.score, relationship.reasons, relationship.about):
        return NOTHING if fresh == relationship else changed(fresh)
    before = relationship.score
    first = before if relationship.proposed_score is None else relationship.proposed_score
    fresh = replace(fresh, proposed_score=first, rescored_at=context.now)
    return changed(fresh).then(match_fact(MatchProposed, fresh, program, score_before=before))
