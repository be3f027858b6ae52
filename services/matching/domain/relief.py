"""A mentor who declines, moves and calls off more and more is offered fewer places, or none until a day of their choice."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.matching.domain.model import REQUESTS_OF, REVIEW_PROPOSAL, Person, Rolling
from services.matching.domain.runs import offered
from shared.decisions import NOTHING, Context, Outcome, new
from shared.events import ChangeReason, MeetingCancelled, MeetingRescheduled, ReliefOffered, Role
from shared.timers import DueTimer

BACK = "back"
"""The timer at which someone takes people again."""
LATELY = timedelta(days=30)
"""What happened in this time is held against what happened in the same time before."""
NO_STRAIN = frozenset({ChangeReason.ill, ChangeReason.pair_ended, ChangeReason.person_paused})


def changed_plans(mentor: Person | None, event: MeetingRescheduled | MeetingCancelled, context: Context) -> Outcome:
    """Someone has moved a meeting or called it off."""
    rolling = context.get(Rolling, event.program)
    if mentor is None or rolling is None or event.reason in NO_STRAIN:
        return NOTHING
    return strained(mentor, event.program, rolling.policy.changes_before_relief, context)


def strained(mentor: Person, program: str, many: int, context: Context) -> Outcome:
    """One more change by a mentor. Where there have been so many lately, and more than before, they are offered relief: not again soon,
    and not where they take nobody anyway.
    """
    enrolment, now = mentor.enrolment(program), context.now
    if mentor.erased or enrolment is None or enrolment.role is not Role.mentor:
        return NOTHING
    known = mentor.relief_in(program)
    changes = tuple(at for at in (*known.changes, now) if at > now - 2 * LATELY)
    lately = sum(at > now - LATELY for at in changes)
    known = replace(known, changes=changes)
    not_again = known.offered_at is not None and known.offered_at > now - 2 * LATELY
    if lately < many or lately <= len(changes) - lately or not_again or program in mentor.unavailable:
        return new(mentor.with_relief(known))
    told = ReliefOffered(person_id=mentor.id, program=program, changes=lately)
    return new(mentor.with_relief(replace(known, offered_at=now))).then(told)


def at_most(program: str, most: int | None, mentor: Person | None, context: Context) -> Outcome:
    """The mentor takes at most so many at a time, or as many as before; whom they have they keep."""
    if mentor is None or mentor.erased:
        return NOTHING
    known = mentor.relief_in(program)
    return _free(mentor.there(program).with_relief(replace(known, most=most, until=None)), program, context)


def rest_until(program: str, until: datetime, mentor: Person | None, context: Context) -> Outcome:
    """The mentor takes nobody new until then; what is proposed to them, or asked of them, is looked at again."""
    if mentor is None or mentor.erased:
        return NOTHING
    known = replace(mentor.relief_in(program), until=until)
    outcome = new(mentor.away(program, gone=True).with_relief(known)).arm(BACK, f"{mentor.id} {program}", mentor.id, until)
    outcome = outcome.arm(REQUESTS_OF, mentor.id, mentor.id, context.now)
    for proposal in mentor.proposals(program):
        outcome = outcome.arm(REVIEW_PROPOSAL, proposal, proposal, context.now)
    return outcome


def back(mentor: Person | None, due: DueTimer, context: Context) -> Outcome:
    """The day has come; nothing where they have said something else meanwhile."""
    program = program_of(due)
    until = mentor.relief_in(program).until if mentor else None
    if mentor is None or until is None or until > context.now:
        return NOTHING
    return _free(mentor.there(program), program, context)


def program_of(due: DueTimer) -> str:
    return due.key.partition(" ")[2]


def _free(mentor: Person, program: str, context: Context) -> Outcome:
    return offered(new(mentor), (mentor,), (program,), context)
