"""Own contacts: a mentee of a program that goes by request names a mentor by mail address, and who isn't known is invited by mail.

Every decision holds the row of what the mentee has named, so that the same address sent twice, or two answers, are decided one after
the other.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from services.gateway.domain.kept import Nomination, Nominations, NominationStatus, Organization, Person, Program, together
from services.gateway.domain.named import Named
from services.gateway.domain.people import erase, person_enrolled, person_fact
from shared.decisions import NOTHING, Context, Outcome, changed
from shared.errors import Rejected
from shared.events import (
    Contact,
    Format,
    MentorNominated,
    MentorRequest,
    NominationEnd,
    NominationEnded,
    PersonInvited,
    PersonStatus,
    Profile,
    Role,
    partner,
)
from shared.timers import DueTimer

INVITATION_ENDS = "invitation_ends"
"""The timer of an invitation, by the invited person's id."""
OPEN_FOR = timedelta(days=30)
"""An invitation; and so long whoever was named takes one of the mentee's places for names, unless there is an answer."""
NOT_AGAIN_FOR = timedelta(days=365)
"""After an answer the same mentee can't have the same address asked."""
STANDS = {NominationStatus.invited: OPEN_FOR, NominationStatus.not_invited: OPEN_FOR, NominationStatus.expired: timedelta()}
"""How long the same address isn't asked again, where that isn't `NOT_AGAIN_FOR`."""
WAITS = frozenset({NominationStatus.passed_on, NominationStatus.not_invited, NominationStatus.invited})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a mentee asks for: this person, at this address, in this program. `known` are the people whose address it is."""

    program: str
    mentee: UUID
    name: str
    email: str
    address: str
    known: tuple[UUID, ...] = ()


def may_name(mentee: Person | None, program: Program | None) -> bool:
    """Whether this mentee may name whom they would like: as a mentor for the two of them, as by request."""
    if mentee is None or mentee.status is not PersonStatus.active or program is None:
        return False
    enrolment = mentee.enrolment(program.id)
    if (
        enrolment is None
        or enrolment.role is not Role.mentee
        or Format.one_to_one not in (enrolment.formats or [Format.one_to_one])
    ):
        return False
    return program.policy.by_request and not program.closed


def names_left(nominations: Nominations | None, program: Program, now: datetime) -> int:
    """How many more the mentee may name there just now."""
    named = nominations.named if nominations else ()
    waits = sum(one.program == program.id and one.status in WAITS and now - one.at < OPEN_FOR for one in named)
    return max(0, program.policy.requests_at_a_time - waits)


def named_already(nominations: Nominations, wish: Wish, now: datetime) -> bool:
    """Whether this address had its turn: it isn't asked twice, and for a year not again after an answer."""

    def stands(one: Nomination) -> bool:
        here = one.program == wish.program or one.status is NominationStatus.declined  # a no is for every program
        return here and now - one.at < STANDS.get(one.status, NOT_AGAIN_FOR)

    return any(one.address == wish.address and stands(one) for one in nominations.named)


def nominate(wish: Wish, nominations: Nominations | None, context: Context) -> Outcome:
    """A mentor of the program is passed on to matching; whoever nobody knows is invited. The mentee sees the same either way."""
    mentee, program = context.get(Person, wish.mentee), context.get(Program, wish.program)
    if mentee is None or program is None or not may_name(mentee, program):
        raise Rejected("not_open", "You can’t name a mentor in this program just now.", status=409)
    nominations = nominations or Nominations(mentee.id, mentee.organization)
    if named_already(nominations, wish, context.now):
        return NOTHING
    if not names_left(nominations, program, context.now):
        raise Rejected(
            "too_many", "You have named as many as you may at once. We write to you when there is an answer.", status=409
        )
    known = [person for key in wish.known if (person := context.get(Person, key)) and not person.erased]
    about = {"program": program.id, "mentee_id": mentee.id}
    for person in known:
        enrolment = person.enrolment(program.id)
        if enrolment is not None and enrolment.role is Role.mentor:
            audience = together(program.organization, mentee.organization, person.organization)
            fact = MentorNominated(**about, mentor_id=person.id, mentor_revision=person.revision, audience=audience)
            return _named(nominations, wish, NominationStatus.passed_on, context, person.id).then(fact)
    if known:
        audience = together(program.organization, mentee.organization)
        ended = NominationEnded(**about, reason=NominationEnd.not_invited, audience=audience)
        return _named(nominations, wish, NominationStatus.not_invited, context).then(ended)
    return _invited(nominations, wish, mentee, context)


def _named(
    nominations: Nominations, wish: Wish, status: NominationStatus, context: Context, invited: UUID | None = None
) -> Outcome:
    kept = (one for one in nominations.named if context.now - one.at < NOT_AGAIN_FOR)
    one = Nomination(wish.address, wish.program, status, context.now, invited)
    return changed(nominations, named=(*kept, one))


def _invited(nominations: Nominations, wish: Wish, mentee: Person, context: Context) -> Outcome:
    """A person who takes part in nothing, and whom no organization hears of before they say yes."""
    assert mentee.profile is not None
    assert mentee.contact is not None
    key, closes_at = context.new_id(), context.now + OPEN_FOR
    person = Person(
        key,
        mentee.organization,
        f"invited-{key}",
        PersonStatus.invited,
        None,
        Profile(time_zone=mentee.profile.time_zone),
        Contact(name=wish.name, email=wish.email, locale=mentee.contact.locale),
        revision=1,
    )
    fact = person_fact(PersonInvited, person, (), about=wish.program, audience=(), invited_by=mentee.id, closes_at=closes_at)
    named = _named(nominations, wish, NominationStatus.invited, context, key)
    return named.also(person).arm(INVITATION_ENDS, key, mentee.id, closes_at).then(fact)


def not_to_be(nominations: Nominations | None, event: MentorRequest, _: Context) -> Outcome:
    """It won't be with a mentor of the program whom they named: of those that they may name at once this is one less."""
    if nominations is None:
        return NOTHING

    def after(one: Nomination) -> Nomination:
        passed_on = one.status is NominationStatus.passed_on and (one.invited, one.program) == (event.mentor_id, event.program)
        return replace(one, status=NominationStatus.over) if passed_on else one

    named = tuple(map(after, nominations.named))
    return NOTHING if named == nominations.named else changed(nominations, named=named)


# ---- the invited person ------------------------------------------------------------------------------------------------


def is_over(mentee: Person | None, program: Program | None, *, matched: bool) -> bool:
    """Whether the one who asks no longer needs an answer. `matched`: they have found a mentor."""
    return matched or not may_name(mentee, program)


@dataclass(frozen=True, slots=True)
class Answer:
    """An invited person's yes, with what is to be known of them. `home` is the organization to which they will belong."""

    person: UUID
    said: partner.PersonEnrolled
    program: str
    home: Organization
    matched: bool = False


def accept(answer: Answer, nominations: Nominations | None, context: Context) -> Outcome:
    """They become a mentor of the program, for this mentee; where the invitation is over nothing changes, and the page says so."""
    person, program = context.get(Person, answer.person), context.get(Program, answer.program)
    mentee = context.get(Person, nominations.id) if nominations else None
    if person is None or person.status is not PersonStatus.invited or nominations is None or mentee is None or program is None:
        return NOTHING
    if is_over(mentee, program, matched=answer.matched):
        return NOTHING
    member = program.membership(person.organization)
    if member is not None and member.people >= member.seats:
        text = "There is no place left in this program just now. Who named you can ask their coordinator for one."
        raise Rejected("no_seat", text, status=409)
    fact = MentorNominated(
        program=program.id,
        mentee_id=mentee.id,
        mentor_id=person.id,
        mentor_revision=person.revision + 1,
        said_yes=True,
        audience=together(program.organization, mentee.organization, person.organization),
    )
    return (
        person_enrolled(answer.said, Named(answer.home, program.id, person.id), context)
        .also(nominations.answered(person.id, NominationStatus.joined, context.now))
        .clear(INVITATION_ENDS, person.id)
        .then(fact)
    )


def decline(person: UUID, nominations: Nominations | None, context: Context) -> Outcome:
    """A no: name and address are gone at once, and the mentee is told kindly."""
    return _ended(person, nominations, NominationStatus.declined, NominationEnd.declined, context)


def invitation_ended(nominations: Nominations | None, due: DueTimer, context: Context) -> Outcome:
    """No answer came: name and address are gone."""
    return _ended(UUID(due.key), nominations, NominationStatus.expired, NominationEnd.expired, context)


def _ended(
    key: UUID, nominations: Nominations | None, status: NominationStatus, reason: NominationEnd, context: Context
) -> Outcome:
    """The mentee hears of it, unless they were erased meanwhile."""
    person = context.get(Person, key)
    if person is None or person.status is not PersonStatus.invited:
        return NOTHING
    outcome = erase(person, person.revision, (), context).clear(INVITATION_ENDS, key)
    one = nominations.of(key) if nominations else None
    if nominations is None or one is None:
        return outcome
    audience = together(one.program.partition(".")[0], nominations.organization)
    ended = NominationEnded(program=one.program, mentee_id=nominations.id, reason=reason, audience=audience)
    return outcome.also(nominations.answered(key, status, context.now)).then(ended)
