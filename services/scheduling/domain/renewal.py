"""What the agreed months bring: half of them is over, a month before the end they may be renewed, a short relationship's goal is reached."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from services.scheduling.domain import check_ins, endings, slots, stages
from services.scheduling.domain.meetings import propose_again
from services.scheduling.domain.milestones import reach
from services.scheduling.domain.model import Meeting, Moment, Relationship, Renewal, side_of
from shared.decisions import NOTHING, Outcome
from shared.events import AgreementRevised, EndReason, Milestone, RenewalOffered, RevisionReason, Term

HALF, OFFER = "half_time", "renewal"
"""The timers."""
FEW_MONTHS, SHORTLY = 2, timedelta(days=7)
"""Of so few the offer comes so shortly before the end; of more, a month."""


def armed(relationship: Relationship, now: datetime) -> Outcome:
    """What hangs on the end of the months, at its time: the end itself, half time, what is asked of skills, and the offer to renew."""
    until = relationship.until
    assert until is not None
    outcome = NOTHING.arm("end", relationship.id, relationship.id, until)
    if relationship.meets_once:
        return outcome
    if relationship.stages:
        outcome = outcome.plus(stages.looked_at_again(relationship, now))
    if relationship.has_reached(Milestone.half_time):
        outcome = outcome.clear(HALF, relationship.id)
    else:
        outcome = outcome.arm(HALF, relationship.id, relationship.id, stages.middle(relationship))
    if relationship.term is not Term.long:
        return outcome.clear(OFFER, relationship.id)
    few = relationship.terms.months <= FEW_MONTHS
    offer_at = until - SHORTLY if few else slots.add_months(until, -1, relationship.time_zone)
    return outcome.arm(OFFER, relationship.id, relationship.id, offer_at)


def half_time(relationship: Relationship, moment: Moment) -> Outcome:
    """Half of the months are over: a milestone, and a good moment to look at the agreement again. Long after it nothing is said."""
    began, until = relationship.began, relationship.until
    if relationship.ended_at is not None or began is None or until is None or moment.now >= until - (until - began) / 4:
        return NOTHING
    relationship, reached = reach(relationship, Milestone.half_time, moment.now)
    return reached.also(relationship)


def offer(relationship: Relationship, moment: Moment) -> Outcome:
    """The months are nearly over: all are asked whether they go on for as long again, as soon as their program asks anything."""
    until = relationship.until
    if relationship.ended_at is not None or until is None or until <= moment.now or relationship.renewal is not None:
        return NOTHING
    if not relationship.rules.asks:
        return NOTHING.arm(OFFER, relationship.id, relationship.id, moment.now + timedelta(days=1))
    offered = RenewalOffered(
        **relationship.about,
        renewals=relationship.renewals,
        months=relationship.terms.months,
        until=until,
        renewed_until=as_long_again(relationship),
    )
    return NOTHING.then(offered).also(replace(relationship, renewal=Renewal()))


def renew(relationship: Relationship, person_id: UUID, moment: Moment) -> Outcome:
    """A member says yes to going on. With the last yes they do."""
    renewal = relationship.renewal
    if relationship.ended_at is not None or renewal is None or person_id in renewal.yes:
        return NOTHING
    relationship = replace(relationship, renewal=Renewal((*renewal.yes, person_id)))
    return renewed(relationship, moment) if all_go_on(relationship) else NOTHING.also(relationship)


def all_go_on(relationship: Relationship) -> bool:
    """Whether everyone who is in it has said yes."""
    renewal = relationship.renewal
    return renewal is not None and all(m.person_id in renewal.yes for m in relationship.members)


def renewed(relationship: Relationship, moment: Moment) -> Outcome:
    """The agreement as it holds goes on for as long again; a change that waits to be signed goes on waiting."""
    relationship = replace(
        relationship,
        renewed_from=relationship.until,
        until=as_long_again(relationship),
        renewals=relationship.renewals + 1,
        renewal=None,
    )
    told = AgreementRevised(
        **relationship.about,
        version=relationship.holds or relationship.version,
        terms=relationship.terms,
        reason=RevisionReason.renewed,
        until=relationship.until,
    )
    outcome = NOTHING.then(told).plus(armed(relationship, moment.now)).plus(check_ins.look_soon(relationship, moment))
    outcome = outcome.also(relationship)
    return outcome.plus(propose_again(relationship, moment))


def reached(relationship: Relationship, meeting: Meeting | None, person_id: UUID, moment: Moment) -> Outcome:
    """A member of a short relationship says that its goal is reached: it is over, as was planned, and that is celebrated."""
    member = relationship.member(person_id)
    if member is None or relationship.ended_at is not None or not may_be_reached(relationship):
        return NOTHING
    relationship, completed = reach(relationship, Milestone.completed, moment.now)
    return completed.plus(endings.end(relationship, meeting, EndReason.goal_attained, side_of(member.role), moment))


def may_be_reached(relationship: Relationship) -> bool:
    """Whether it is for one goal, and has begun."""
    return relationship.term is Term.short and relationship.agreed_at is not None and not relationship.meets_once


def as_long_again(relationship: Relationship) -> datetime:
    """Until when they go on, if they do."""
    assert relationship.until is not None
    return slots.add_months(relationship.until, relationship.terms.months, relationship.time_zone)
