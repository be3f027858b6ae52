"""By request: a mentee names mentors in order, who are asked one after the other until one of them accepts.

Every decision on a request holds the mentee's `Wishes` first, then the program, both people and the requests of the round. So two
answers, or an answer and the end of its time, are decided one after the other, and nobody gets more partners than they have places.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.matching.domain import relief
from services.matching.domain.model import MONTH, REQUESTS_OF, REVIEW_PROPOSAL, Person, Program, Relationship, RelationshipStatus
from services.matching.domain.personal import together
from services.matching.domain.pool import candidates, free_spans, monday_of
from services.matching.domain.rules import Lines, kept_from, rule_against
from services.matching.domain.runs import audience_of, match_fact, members_of, seated
from shared.decisions import NOTHING, Context, Outcome, awaited, changed, new
from shared.errors import Raced, Rejected, TryLater
from shared.events import (
    DeclineReason,
    MentorNominated,
    MentorRequested,
    PairCreated,
    Reason,
    ReasonCode,
    RequestAccepted,
    RequestDeclined,
    RequestExpired,
    RequestQuestioned,
    RequestWithdrawn,
    Role,
    WithdrawalReason,
    owner_of,
)
from shared.links import wishes_id
from shared.timers import DueTimer

WINDOW, REVIEW = "request_window", "request_review"
"""Timers: a mentor's time is over; a mentee's round is looked at again."""
LONGEST_TEXT = 2000
OWN_CONTACT = Reason(code=ReasonCode.own_contact, number=1)
"""Of a mentor whom the mentee named by themselves."""


class RequestStatus(StrEnum):
    """Where a request stands."""

    queued = "queued"
    """Its turn hasn't come; nobody but the mentee knows of it."""
    asked = "asked"
    questioned = "questioned"
    """The mentor wants to know more; the mentee's turn."""
    accepted = "accepted"
    declined = "declined"
    expired = "expired"
    withdrawn = "withdrawn"
    other = "other"


OPEN = frozenset({RequestStatus.asked, RequestStatus.questioned})


@dataclass(frozen=True, slots=True)
class Wishes:
    """Whom a mentee asks in a program: the requests of the newest round, in their order. At most one of them is open."""

    id: UUID
    organization: str
    program: str
    mentee_id: UUID
    version: int = 0
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A mentee's request to one mentor."""

    id: UUID
    organization: str
    audience: tuple[str, ...]
    program: str
    wishes_id: UUID
    mentee_id: UUID
    mentor_id: UUID
    choice: int
    """1 is the mentee's first."""
    status: RequestStatus
    version: int
    score: int
    reasons: tuple[Reason, ...]
    asked_at: datetime | None = None
    closes_at: datetime | None = None
    question: str = ""
    """What the mentor asked and the mentee answered: for these two alone, and only while the request is open."""
    reply: str = ""
    relationship_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What was found of a mentee and a mentor, and of which revisions of them and of the program that holds."""

    mentor_id: UUID
    mentor_revision: int
    mentee_revision: int
    program_revision: int
    allowed: bool
    """By the program's rules."""
    score: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """A mentee's wishes with what was loaded for a decision on them."""

    wishes: Wishes
    program: Program | None
    mentee: Person | None
    requests: tuple[Request, ...]

    @property
    def open(self) -> Request | None:
        return next((request for request in self.requests if request.status in OPEN), None)

    @property
    def pending(self) -> bool:
        """Whether somebody is asked, or still to be asked."""
        return any(request.status in OPEN or request.status is RequestStatus.queued for request in self.requests)


def round_of(wishes: Wishes, context: Context) -> Round | None:
    """None where another round has begun since it was looked up what to load."""
    found = [context.get(Request, UUID(request)) for request in wishes.requests]
    if not all(found):
        return None
    loaded = tuple(request for request in found if request)
    return Round(wishes, context.get(Program, wishes.program), context.get(Person, wishes.mentee_id), loaded)


# ---- who may be asked --------------------------------------------------------------------------------------------------


def seeks(mentee: Person | None, program: Program) -> bool:
    """Whether this mentee takes part and has no mentor."""
    enrolment = mentee.enrolment(program.id) if mentee else None
    return bool(mentee and enrolment and enrolment.role is Role.mentee and mentee.places_left(program.id, program.policy))


def can_take(mentor: Person | None, mentee: Person, program: Program, now: datetime) -> bool:
    """Whether this mentor takes part, has a place left and hasn't just been this mentee's. The other rules are in `Fit.allowed`."""
    enrolment = mentor.enrolment(program.id) if mentor else None
    if mentor is None or enrolment is None or enrolment.role is not Role.mentor:
        return False
    if not mentor.places_left(program.id, program.policy):
        return False
    return mentor.id not in mentee.apart(program.id, now - program.policy.no_repeat_months * MONTH)


def may_be_asked(mentor: Person | None, mentee: Person, program: Program, now: datetime) -> bool:
    """Whether this mentor can take this mentee, and no rule of one of the two keeps them apart."""
    return mentor is not None and can_take(mentor, mentee, program, now) and together((mentor, mentee), program.id)


# ---- the mentee --------------------------------------------------------------------------------------------------------


def choose(
    program_id: str, mentee_id: UUID, fits: Sequence[Fit], version: int, wishes: Wishes | None, context: Context
) -> Outcome:
    """A mentee names mentors, the most wanted first, and the first of them is asked.

    What was sent twice, or from a page of before the last change, changes nothing.
    """
    wishes = wishes or Wishes(wishes_id(program_id, mentee_id), owner_of(program_id), program_id, mentee_id)
    before = round_of(wishes, context)
    if before is None:
        return NOTHING.returning(Raced)
    if wishes.version != version or before.pending:
        return NOTHING
    program, mentee = before.program, before.mentee
    if program is None or program.closed or not program.policy.by_request:
        raise Rejected("not_open", "In this program mentors can’t be chosen just now.", status=409)
    if mentee is None or not seeks(mentee, program):
        raise Rejected("not_seeking", "You have a mentor already, or take no part in this program just now.", status=409)
    mentors = [context.get(Person, fit.mentor_id) for fit in fits]
    if not all(may_be_asked(mentor, mentee, program, context.now) for mentor in mentors):
        raise Rejected("no_longer_free", "One of these mentors can’t take anyone any more. Please choose again.", status=409)
    if not 1 <= len({fit.mentor_id for fit in fits}) == len(fits) <= program.policy.requests_at_a_time:
        most = program.policy.requests_at_a_time
        raise Rejected("too_many", f"Choose one to {most} mentors, each once.")
    made = tuple(
        _queued(wishes, mentee, mentor, n, fit.score, fit.reasons, context)
        for n, (fit, mentor) in enumerate(zip(fits, filter(None, mentors), strict=True), 1)
    )
    fresh = replace(wishes, version=version + 1, requests=tuple(str(request.id) for request in made))
    return new(fresh, *made[1:]).plus(_asked(made[0], program, context))


def _queued(
    wishes: Wishes, mentee: Person, mentor: Person, choice: int, score: int, reasons: tuple[Reason, ...], context: Context
) -> Request:
    """One whose turn is to come."""
    return Request(
        id=context.new_id(),
        organization=wishes.organization,
        audience=audience_of(wishes.program, mentee.organization, mentor.organization),
        program=wishes.program,
        wishes_id=wishes.id,
        mentee_id=mentee.id,
        mentor_id=mentor.id,
        choice=choice,
        status=RequestStatus.queued,
        version=0,
        score=score,
        reasons=reasons,
    )


def take_back(version: int, wishes: Wishes | None, context: Context) -> Outcome:
    """The mentee has thought again: whoever is asked need not answer, and nobody else is asked."""
    if wishes is None or wishes.version != version:
        return NOTHING
    found = round_of(wishes, context)
    if found is None:
        return NOTHING.returning(Raced)
    request = found.open
    if request is None:
        return NOTHING
    return changed(wishes, version=version + 1).plus(_withdrawn(found, request, WithdrawalReason.changed_mind))


# ---- one request -------------------------------------------------------------------------------------------------------

Decide = Callable[[Round, Request, Context], Outcome]


def on_request(request_id: UUID, version: int, do: Decide, wishes: Wishes | None, context: Context) -> Outcome:
    """Decide on a request that is as its reader saw it. Where it isn't, nothing changes: the page shows how it stands."""
    if wishes is None or str(request_id) not in wishes.requests:
        return NOTHING
    found = round_of(wishes, context)
    if found is None:
        return NOTHING.returning(Raced)
    request = next(request for request in found.requests if request.id == request_id)
    if request.status not in OPEN or request.version != version:
        return NOTHING
    return do(found, request, context)


def accept(fit: Fit, found: Round, request: Request, context: Context) -> Outcome:
    """The mentor says yes: if all rules still hold, the relationship begins and the mentee's other requests are withdrawn.

    Both have said yes, so no coordinator is asked, whatever the policy's match mode.
    """
    given_up = _hopeless(found, request, context)
    if given_up is not None:
        return given_up
    program, mentee, mentor = found.program, found.mentee, context.get(Person, request.mentor_id)
    assert program is not None
    assert mentee is not None
    assert mentor is not None
    if (fit.program_revision, fit.mentee_revision, fit.mentor_revision) != (
        program.revision,
        mentee.revision,
        mentor.revision,
    ):
        return NOTHING.returning(Raced)
    if not fit.allowed:
        return _over(found, request, RequestStatus.withdrawn, context, RequestWithdrawn, reason=WithdrawalReason.other)
    known = tuple(reason for reason in request.reasons if reason == OWN_CONTACT)
    return _begun(found, replace(request, score=fit.score, reasons=(*known, *fit.reasons)), program, mentor, mentee, context)


def _begun(found: Round, request: Request, program: Program, mentor: Person, mentee: Person, context: Context) -> Outcome:
    """The relationship begins, and nobody else is asked."""
    relationship = Relationship(
        id=context.new_id(),
        organization=request.organization,
        audience=request.audience,
        program=request.program,
        people=(str(mentor.id), str(mentee.id)),
        members=members_of(mentor, mentee),
        status=RelationshipStatus.active,
        score=request.score,
        reasons=request.reasons,
        run_id=None,
        round=0,
    )
    done = _closed(request, RequestStatus.accepted, relationship_id=relationship.id)
    people = seated(relationship, (mentor, mentee), program, context.now, proposed=False)
    outcome = (
        new(done, relationship, *people, *_dropped(found))
        .clear(WINDOW, request.id)
        .then(
            RequestAccepted(**_named(request), relationship_id=relationship.id),
            match_fact(PairCreated, relationship, program, request.id),
        )
    )
    if not people[0].places_left(program.id, program.policy):
        outcome = outcome.arm(REQUESTS_OF, mentor.id, mentor.id, context.now)
    return outcome


def decline(reason: DeclineReason, found: Round, request: Request, context: Context, *, unavailable: bool = False) -> Outcome:
    """The mentor says no, and takes nobody else either if they say so; the next choice is asked."""
    outcome = _over(found, request, RequestStatus.declined, context, RequestDeclined, reason=reason, now_unavailable=unavailable)
    mentor = context.get(Person, request.mentor_id)
    if mentor is None or mentor.erased:
        return outcome
    if not unavailable:
        tired = reason is DeclineReason.no_time and found.program is not None
        many = found.program.policy.changes_before_relief if found.program else 0
        return outcome.plus(relief.strained(mentor, request.program, many, context)) if tired else outcome
    outcome = outcome.also(mentor.away(request.program, gone=True)).arm(REQUESTS_OF, mentor.id, mentor.id, context.now)
    for proposal in mentor.proposals(request.program):
        outcome = outcome.arm(REVIEW_PROPOSAL, proposal, proposal, context.now)
    return outcome


def question(text: str, found: Round, request: Request, context: Context) -> Outcome:
    """The mentor wants to know more: the mentee's turn, and a whole window from now."""
    if request.status is not RequestStatus.asked or found.program is None:
        return NOTHING
    closes_at = _window(found.program, context)
    return (
        changed(
            request, status=RequestStatus.questioned, version=request.version + 1, question=text, reply="", closes_at=closes_at
        )
        .arm(WINDOW, request.id, request.wishes_id, closes_at)
        .then(RequestQuestioned(**_named(request), closes_at=closes_at))
    )


def reply(text: str, found: Round, request: Request, context: Context) -> Outcome:
    """The mentee has told more: the mentor's turn again."""
    if request.status is not RequestStatus.questioned or found.program is None:
        return NOTHING
    return _asked(replace(request, reply=text), found.program, context, told_more=True)


def available(program: str, mentor: Person | None, _: Context) -> Outcome:
    """The mentor takes someone again."""
    if mentor is None or program not in mentor.unavailable:
        return NOTHING
    return new(mentor.there(program))


# ---- whom the mentee knows ---------------------------------------------------------------------------------------------


def nominated(wishes: Wishes | None, event: MentorNominated, context: Context) -> Outcome:
    """A mentee named someone they know, who is asked like any other: first, or behind those who were named before.

    Who has said yes to the mentee already isn't asked again: their relationship begins. No rule is passed over for it.
    """
    program, mentee, mentor = _arrived(event, context)
    wishes = wishes or Wishes(wishes_id(program.id, mentee.id), owner_of(program.id), program.id, mentee.id)
    found = round_of(wishes, context)
    assert found is not None  # looked up under the lock of the wishes
    before = found.requests if found.pending else ()
    paired = mentor.id in mentee.partners(program.id)
    if mentee.erased or mentor.erased or paired or any(r.mentor_id == mentor.id for r in before):
        return NOTHING
    request = _queued(wishes, mentee, mentor, len(before) + 1, 0, (OWN_CONTACT,), context)
    against = _against(found, request, context) or _rule_against(program, mentee, mentor, event, context)
    if against is not None:
        return _turned_away(request, against, event, last=not before)
    if event.said_yes:
        wishes = replace(wishes, version=wishes.version + 1, requests=(str(request.id),))
        over = _withdrawn(found, found.open, WithdrawalReason.another_accepted) if found.open else NOTHING
        return over.also(wishes).plus(_begun(replace(found, requests=()), request, program, mentor, mentee, context))
    wishes = replace(wishes, version=wishes.version + 1, requests=tuple(str(r.id) for r in (*before, request)))
    return new(wishes).plus(new(request) if before else _asked(request, program, context))


def _arrived(event: MentorNominated, context: Context) -> tuple[Program, Person, Person]:
    """The program, the mentee and the mentor, all known here as of then."""
    program, mentee = context.get(Program, event.program), context.get(Person, event.mentee_id)
    mentor = context.get(Person, event.mentor_id)
    if program is None:
        raise TryLater(awaited(Program, event.program))
    if mentee is None:
        raise TryLater(awaited(Person, event.mentee_id))
    if mentor is None or mentor.revision < event.mentor_revision:
        raise TryLater(awaited(Person, event.mentor_id))
    return program, mentee, mentor


def _rule_against(
    program: Program, mentee: Person, mentor: Person, event: MentorNominated, context: Context
) -> WithdrawalReason | None:
    """What these two alone show of the program's rules. A longer line of managers is looked at when a mentor who is asked accepts;
    whoever was invited is new, and in nobody's line.
    """
    one, other = candidates((mentee, mentor), program, context.now)
    monday = monday_of(context.now)
    free = free_spans(one.profile, monday), free_spans(other.profile, monday)
    apart = kept_from(one, program.policy, Lines((one, other)))
    if rule_against(one, other, program.policy, apart, free) is None:
        return None
    return WithdrawalReason.not_allowed if event.said_yes else WithdrawalReason.other


def _turned_away(request: Request, reason: WithdrawalReason, event: MentorNominated, *, last: bool) -> Outcome:
    """It won't be with this mentor. Where it is for the mentor to know who hasn't heard of it, there is nothing to say."""
    if not event.said_yes and reason not in {WithdrawalReason.no_capacity, WithdrawalReason.other}:
        return NOTHING
    told = RequestWithdrawn(**_named(request), reason=reason, last=last)
    return new(_closed(request, RequestStatus.withdrawn)).then(told)


# ---- time, and what happens elsewhere ----------------------------------------------------------------------------------


def window_closed(wishes: Wishes | None, due: DueTimer, context: Context) -> Outcome:
    """The mentor didn't answer in time, or the mentee didn't tell more: the next choice is asked."""
    found = round_of(wishes, context) if wishes else None
    request = found.open if found else None
    if found is None or request is None or str(request.id) != due.key:
        return NOTHING
    return _hopeless(found, request, context) or _over(found, request, RequestStatus.expired, context, RequestExpired)


def look_again(request: Request | None, _: Any, context: Context) -> Outcome:
    """Someone in it, or its program, is no longer what it was: its round is looked at under its own lock."""
    return NOTHING if request is None else NOTHING.arm(REVIEW, request.wishes_id, request.wishes_id, context.now)


def review(wishes: Wishes | None, _: DueTimer, context: Context) -> Outcome:
    """A request falls when its program is closed, its mentee has left or found someone, or its mentor takes nobody any more."""
    found = round_of(wishes, context) if wishes else None
    if found is None or found.open is None:
        return NOTHING
    return _hopeless(found, found.open, context) or NOTHING


def _hopeless(found: Round, request: Request, context: Context) -> Outcome | None:
    """What follows where this request can come to nothing any more; None where it can."""
    reason = _against(found, request, context) or _kept_apart(found, request, context)
    if reason in {WithdrawalReason.no_capacity, WithdrawalReason.other}:
        return _over(found, request, RequestStatus.withdrawn, context, RequestWithdrawn, reason=reason)
    return _withdrawn(found, request, reason) if reason else None


def _kept_apart(found: Round, request: Request, context: Context) -> WithdrawalReason | None:
    """By a rule of one of the two, of which nobody is told."""
    people = tuple(filter(None, (found.mentee, context.get(Person, request.mentor_id))))
    return None if together(people, request.program) else WithdrawalReason.other


def _against(found: Round, request: Request, context: Context) -> WithdrawalReason | None:
    """Why this request can come to nothing, the program's other rules apart; None where it can."""
    program, mentee = found.program, found.mentee
    if program is None or program.closed:
        return WithdrawalReason.program_closed
    if mentee is None or not seeks(mentee, program):
        matched = mentee is not None and mentee.takes_part(program.id) and mentee.taken(program.id) > 0
        return WithdrawalReason.another_accepted if matched else WithdrawalReason.person_left
    if not can_take(context.get(Person, request.mentor_id), mentee, program, context.now):
        return WithdrawalReason.no_capacity
    return None


# ---- steps -------------------------------------------------------------------------------------------------------------


def _named(request: Request) -> dict[str, Any]:
    return {
        "request_id": request.id,
        "program": request.program,
        "mentee_id": request.mentee_id,
        "mentor_id": request.mentor_id,
        "audience": request.audience,
    }


def _window(program: Program, context: Context) -> datetime:
    return context.now + timedelta(days=program.policy.request_window_days)


def _asked(request: Request, program: Program, context: Context, *, told_more: bool = False) -> Outcome:
    closes_at = _window(program, context)
    asked_at = request.asked_at or context.now
    return (
        changed(request, status=RequestStatus.asked, version=request.version + 1, asked_at=asked_at, closes_at=closes_at)
        .arm(WINDOW, request.id, request.wishes_id, closes_at)
        .then(
            MentorRequested(
                **_named(request), choice=request.choice, closes_at=closes_at, reasons=request.reasons, told_more=told_more
            )
        )
    )


def _closed(request: Request, status: RequestStatus, relationship_id: UUID | None = None) -> Request:
    """With an answer, and without what was written."""
    return replace(
        request,
        status=status,
        version=request.version + 1,
        closes_at=None,
        question="",
        reply="",
        relationship_id=relationship_id,
    )


def _dropped(found: Round) -> list[Request]:
    """Those whose turn never comes. Nobody has heard of them, so nobody is told."""
    return [_closed(request, RequestStatus.withdrawn) for request in found.requests if request.status is RequestStatus.queued]


def _withdrawn(found: Round, request: Request, reason: WithdrawalReason) -> Outcome:
    """The whole round is over."""
    return (
        new(_closed(request, RequestStatus.withdrawn), *_dropped(found))
        .clear(WINDOW, request.id)
        .then(RequestWithdrawn(**_named(request), reason=reason, last=True))
    )


def _over(
    found: Round,
    request: Request,
    status: RequestStatus,
    context: Context,
    kind: type[RequestDeclined] | type[RequestExpired] | type[RequestWithdrawn],
    **said: Any,
) -> Outcome:
    """It won't be with this mentor; the next one who can is asked."""
    follows = _next(found, context)
    told = kind(**_named(request), last=not follows.events, **said)
    return new(_closed(request, status)).clear(WINDOW, request.id).then(told).plus(follows)


def _next(found: Round, context: Context) -> Outcome:
    """The next choice who can still take this mentee is asked; those before are passed over in silence."""
    outcome = NOTHING
    for request in found.requests:
        if request.status is not RequestStatus.queued:
            continue
        program, mentee, mentor = found.program, found.mentee, context.get(Person, request.mentor_id)
        if (
            program
            and not program.closed
            and mentee
            and seeks(mentee, program)
            and may_be_asked(mentor, mentee, program, context.now)
        ):
            return outcome.plus(_asked(request, program, context))
        outcome = outcome.also(_closed(request, RequestStatus.withdrawn))
    return outcome
