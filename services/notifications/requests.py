"""What mentees and mentors are told of requests, and of whom a mentee has named."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.notifications.domain import Person
from services.notifications.telling import message
from shared.cloudevents import rfc3339
from shared.decisions import NOTHING, Context, Handler, Outcome, awaited, new, on
from shared.errors import TryLater
from shared.events import (
    MentorRequest,
    MentorRequested,
    NominationEnded,
    RequestAccepted,
    RequestDeclined,
    RequestExpired,
    RequestQuestioned,
    RequestWithdrawn,
    Role,
    WithdrawalReason,
)


def mentor_requested(mentor: Person | None, event: MentorRequested, context: Context) -> Outcome:
    """It is this mentor's turn to answer, for the first time or after the mentee has told more."""
    reasons = [reason.model_dump(mode="json") for reason in event.reasons]
    data = {"who": str(event.mentee_id), "closes_at": rfc3339(event.closes_at), "told_more": event.told_more, "reasons": reasons}
    return _tell_one(context, mentor, event, Role.mentor, "request", data)


def request_questioned(mentee: Person | None, event: RequestQuestioned, context: Context) -> Outcome:
    """The mentor wants to know more; what they wrote stands behind the link."""
    return _tell_one(context, mentee, event, Role.mentee, "request_question", {"closes_at": rfc3339(event.closes_at)})


def request_accepted(mentee: Person | None, event: RequestAccepted, context: Context) -> Outcome:
    """A yes. The introduction comes with the agreement."""
    return _tell_one(context, mentee, event, Role.mentee, "request_accepted", {})


def request_declined(mentee: Person | None, event: RequestDeclined, context: Context) -> Outcome:
    """A no, worded kindly, and how it goes on."""
    data = {"why": event.reason.value, "last": event.last}
    return _tell_one(context, mentee, event, Role.mentee, "request_onwards", data)


def request_expired(mentee: Person | None, event: RequestExpired, context: Context) -> Outcome:
    """No answer came in time; how it goes on. The mentor isn't reminded of what they didn't do."""
    return _tell_one(context, mentee, event, Role.mentee, "request_onwards", {"why": "expired", "last": event.last})


ON_THE_MENTOR = frozenset({WithdrawalReason.no_capacity, WithdrawalReason.other})
"""Why a request was withdrawn that the mentee would still have wanted."""


def _told_of_withdrawal(event: RequestWithdrawn) -> tuple[UUID, ...]:
    if event.reason is WithdrawalReason.not_allowed:
        return (event.mentee_id, event.mentor_id)
    return (event.mentee_id if event.reason in ON_THE_MENTOR else event.mentor_id,)


def request_withdrawn(person: Person | None, event: RequestWithdrawn, context: Context) -> Outcome:
    """The mentor needn't answer any more; or, where they can't take anyone, the mentee hears how it goes on. Both hear of a rule
    that keeps them apart.
    """
    if event.reason in ON_THE_MENTOR or (person is not None and person.id == event.mentee_id):
        data = {"why": event.reason.value, "last": event.last}
        return _tell_one(context, person, event, Role.mentee, "request_onwards", data)
    return _tell_one(context, person, event, Role.mentor, "request_withdrawn", {"reason": event.reason.value})


def _tell_one(
    context: Context, person: Person | None, event: MentorRequest, role: Role, template: str, data: Mapping[str, Any]
) -> Outcome:
    """A message about a request to one of its two people."""
    if person is None:
        raise TryLater(awaited(Person, event.mentor_id if role is Role.mentor else event.mentee_id))
    if person.erased:
        return NOTHING
    said = {"request": str(event.request_id), "role": role.value, **data}
    return new(message(context, person.id, person.organization, event.program, template, said))


def nomination_ended(mentee: Person | None, event: NominationEnded, context: Context) -> Outcome:
    """Nobody comes of whom they named, worded kindly, and what else they may do."""
    if mentee is None:
        raise TryLater(awaited(Person, event.mentee_id))
    if mentee.erased:
        return NOTHING
    data = {"role": Role.mentee.value, "why": event.reason.value}
    return new(message(context, mentee.id, mentee.organization, event.program, "nomination_ended", data))


HANDLERS: list[Handler] = [
    on(MentorRequested, Person, by="mentor_id", do=mentor_requested),
    on(RequestQuestioned, Person, by="mentee_id", do=request_questioned),
    on(RequestAccepted, Person, by="mentee_id", do=request_accepted),
    on(RequestDeclined, Person, by="mentee_id", do=request_declined),
    on(RequestExpired, Person, by="mentee_id", do=request_expired),
    on(RequestWithdrawn, Person, by=_told_of_withdrawal, do=request_withdrawn),
    on(NominationEnded, Person, by="mentee_id", do=nomination_ended),
]
