"""What people are told when it goes quiet between them, and when it is alive again."""

from datetime import datetime, timedelta

from services.notifications.domain import Relationship, others
from services.notifications.telling import known_one, tell
from shared.decisions import NOTHING, Context, Handler, Outcome, at, changed, on
from shared.events import (
    ContactLogged,
    Format,
    MemberAsked,
    PairFrozen,
    PairRecovered,
    PairStalled,
    PairWarned,
    StallReason,
)
from shared.timers import DueTimer

IN_TOUCH = "in_touch"


def ask_later(relationship: Relationship, context: Context) -> Outcome:
    """After the agreed interval those who write to each other are asked whether they do."""
    if relationship.terms is None or relationship.ended:
        return NOTHING
    asks_at = context.now + timedelta(weeks=relationship.terms.every_weeks)
    return NOTHING.arm(IN_TOUCH, relationship.id, relationship.id, asks_at)


def ask_in_touch(relationship: Relationship | None, _due: DueTimer, context: Context) -> Outcome:
    """One tap says that they are in touch; nobody is asked about what they were told has gone quiet."""
    if relationship is None or relationship.ended:
        return NOTHING
    asked = NOTHING if relationship.quiet else tell(context, relationship, IN_TOUCH, {}, fact=(context.id, "timer"))
    return asked.plus(ask_later(relationship, context))


def contact_logged(known: Relationship | None, event: ContactLogged, context: Context) -> Outcome:
    """They were in touch: no need to ask for a while."""
    relationship = known_one(known, event.relationship_id)
    return ask_later(relationship, context) if relationship.format is Format.e_mentoring else NOTHING


def pair_stalled(known: Relationship | None, event: PairStalled, context: Context) -> Outcome:
    """A kind word that it has gone quiet, with what one can do. Not where they read of their missed meetings already, or where one of
    them is asked.
    """
    relationship = known_one(known, event.relationship_id)
    quiet = changed(relationship, quiet=True)
    if event.reason in {StallReason.misses, StallReason.said_silent}:
        return quiet
    return quiet.plus(tell(context, relationship, "nudge", {"since": _instant(event.quiet_since)}))


def pair_warned(known: Relationship | None, event: PairWarned, context: Context) -> Outcome:
    """A second word, with the day from which nothing more is proposed."""
    data = {"since": _instant(event.quiet_since), "freezes_at": event.freezes_at.isoformat()}
    return tell(context, known_one(known, event.relationship_id), "warned", data)


def pair_frozen(known: Relationship | None, event: PairFrozen, context: Context) -> Outcome:
    """The last word before the end: one tap brings it back."""
    relationship = known_one(known, event.relationship_id)
    told = tell(context, relationship, "frozen", {"ends_at": _instant(event.ends_at)})
    return changed(relationship, frozen=True).plus(told)


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def member_asked(known: Relationship | None, event: MemberAsked, context: Context) -> Outcome:
    """One member is asked whether they go on; nobody else hears of it."""
    relationship = known_one(known, event.relationship_id)
    told = tell(context, relationship, "asked", {"answer_by": event.answer_by.isoformat()}, to=(event.person_id,))
    return changed(relationship, asked=event.person_id).plus(told)


def pair_recovered(known: Relationship | None, event: PairRecovered, context: Context) -> Outcome:
    """Alive again; where one was asked and answered, the others read that they go on."""
    relationship = known_one(known, event.relationship_id)
    recovered = changed(relationship, quiet=False, frozen=False, asked=None)
    if event.answered_by is None:
        return recovered
    rest = {m.person_id for m in others(relationship, event.answered_by)}
    return recovered.plus(tell(context, relationship, "answered", {"who": str(event.answered_by)}, to=rest))


HANDLERS: list[Handler] = [
    on(ContactLogged, Relationship, by="relationship_id", do=contact_logged),
    on(PairStalled, Relationship, by="relationship_id", do=pair_stalled),
    on(PairWarned, Relationship, by="relationship_id", do=pair_warned),
    on(PairFrozen, Relationship, by="relationship_id", do=pair_frozen),
    on(MemberAsked, Relationship, by="relationship_id", do=member_asked),
    on(PairRecovered, Relationship, by="relationship_id", do=pair_recovered),
    at(IN_TOUCH, Relationship, do=ask_in_touch),
]
