"""What people are told of what is passed on, of introductions, and of circles of co-mentees. What was written stands behind the link alone."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from services.notifications.domain import Person, Relationship
from services.notifications.telling import asking, known_one, message, tell
from shared.cloudevents import rfc3339
from shared.decisions import NOTHING, Context, Handler, Outcome, awaited, new, on
from shared.errors import TryLater
from shared.events import CircleProposed, IntroductionMade, MatchRejected, OpportunityShared, RecommendationAsked


def opportunity_shared(known: Relationship | None, event: OpportunityShared, context: Context) -> Outcome:
    """Whom it is for hears that there is something, and of what kind. The answer stands on the mentor's own page."""
    relationship = known_one(known, event.relationship_id)
    if event.taken_up is not None:
        return NOTHING
    to = {event.person_id} if event.person_id else {m.person_id for m in relationship.members} - {event.shared_by}
    data = {"kind": event.kind.value, "by": str(event.shared_by)}
    return tell(context, relationship, "opportunity", data, to=to)


def recommendation_asked(known: Relationship | None, event: RecommendationAsked, context: Context) -> Outcome:
    """The mentor is asked for a letter."""
    relationship = known_one(known, event.relationship_id)
    return tell(context, relationship, "letter_asked", {"who": str(event.asked_by)}, to={event.person_id})


def introduction_made(known: Relationship | None, event: IntroductionMade, context: Context) -> Outcome:
    """Both are asked, each by name of the other. With a yes of all they get each other's address; else the mentor hears that it isn't the
    moment, and not by whom.
    """
    relationship = known_one(known, event.relationship_id)
    pair = [event.person_id, *([event.to_person_id] if event.to_person_id else [])]
    data = {"introduction": str(event.introduction_id), "by": str(event.introduced_by), "outside": event.to_person_id is None}
    told = NOTHING
    if event.accepted is not False:
        template = "introduced" if event.accepted else "introduction_asked"
        for one in pair:
            other = next((p for p in pair if p != one), None)
            who = {"who": str(other)} if other else {}
            told = told.also(_to(one, relationship, template, data | who, context))
    if event.accepted is None:
        return asking(told, context)
    template = "introduced" if event.accepted else "not_now"
    return told.also(_to(event.introduced_by, relationship, template, data | {"who": str(event.person_id)}, context))


def _to(person: UUID, relationship: Relationship, template: str, data: Mapping[str, object], context: Context) -> object:
    """A message about a relationship to somebody who needn't be in it: it goes to no partner but the program's owner."""
    home = next((m.organization for m in relationship.members if m.person_id == person), relationship.organization)
    return replace(message(context, person, home, relationship.program, template, data), relationship_id=relationship.id)


def circle_proposed(person: Person | None, event: CircleProposed, context: Context) -> Outcome:
    """Each of the others is asked whether they would be part of it."""
    who = {"who": str(event.proposed_by), "circle": str(event.circle_id), "role": "mentee"}
    return asking(_of_circle(person, event, "circle_asked", who | {"answer_by": rfc3339(event.answer_by)}, context), context)


def circle_rejected(person: Person | None, event: MatchRejected, context: Context) -> Outcome:
    """Too few of those who agreed to a circle could still come."""
    data = {"circle": str(event.relationship_id), "role": "mentee"}
    return _of_circle(person, event, "circle_off", data, context)


def _of_circle(
    person: Person | None, event: CircleProposed | MatchRejected, template: str, data: Mapping[str, object], context: Context
) -> Outcome:
    if person is None:
        raise TryLater(awaited(Person, next(p for p in event.people if context.get(Person, p) is None)))
    if person.erased:
        return NOTHING
    return new(message(context, person.id, person.organization, event.program, template, data))


HANDLERS: list[Handler] = [
    on(OpportunityShared, Relationship, by="relationship_id", do=opportunity_shared),
    on(RecommendationAsked, Relationship, by="relationship_id", do=recommendation_asked),
    on(IntroductionMade, Relationship, by="relationship_id", do=introduction_made),
    on(CircleProposed, Person, by=lambda event: event.people, do=circle_proposed),
    on(MatchRejected, Person, by=lambda event: event.people, do=circle_rejected),
]
