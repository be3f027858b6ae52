"""What people are told of check-ins, of what they see differently, and of feedback."""

from typing import Any

from services.notifications.domain import Delivery, Relationship
from services.notifications.store import STILL_TO_ASK
from services.notifications.telling import known_one, tell
from shared.cloudevents import rfc3339
from shared.decisions import Context, Handler, Outcome, changed, on
from shared.events import CheckInAnswered, CheckInAsked, FeedbackAsked, FeedbackGiven, MisalignmentDetected


def check_in_asked(known: Relationship | None, event: CheckInAsked, context: Context) -> Outcome:
    """A few short questions, with the link to their page; those that are due at about the same time go in one mail."""
    data: dict[str, Any] = {"kind": event.kind.value, "about": str(event.check_in_id)}
    if event.due_at is not None:
        data["due_at"] = rfc3339(event.due_at)
    return tell(context, known_one(known, event.relationship_id), "check_in", data, to=(event.person_id,))


def misalignment_detected(known: Relationship | None, event: MisalignmentDetected, context: Context) -> Outcome:
    """Both get a point to talk about, and neither reads who answered what."""
    return tell(context, known_one(known, event.relationship_id), "misaligned", {"kind": event.kind.value})


def feedback_asked(known: Relationship | None, event: FeedbackAsked, context: Context) -> Outcome:
    """One would like to hear how another sees it."""
    data = {"who": str(event.asked_by), "about": str(event.feedback_id)}
    return tell(context, known_one(known, event.relationship_id), "feedback_asked", data, to=(event.person_id,))


def feedback_given(known: Relationship | None, event: FeedbackGiven, context: Context) -> Outcome:
    """There is something to read, on the page alone."""
    data = {"who": str(event.given_by)}
    return tell(context, known_one(known, event.relationship_id), "feedback_given", data, to=(event.person_id,))


def answered(question: Delivery, _event: CheckInAnswered | FeedbackGiven, _: Context) -> Outcome:
    """Who has answered already needn't be asked any more."""
    return changed(question, data=dict(question.data) | {"answered": True})


HANDLERS: list[Handler] = [
    on(CheckInAsked, Relationship, by="relationship_id", do=check_in_asked),
    on(CheckInAnswered, Delivery, by=STILL_TO_ASK, do=answered),
    on(MisalignmentDetected, Relationship, by="relationship_id", do=misalignment_detected),
    on(FeedbackAsked, Relationship, by="relationship_id", do=feedback_asked),
    on(FeedbackGiven, Delivery, by=STILL_TO_ASK, do=answered),
    on(FeedbackGiven, Relationship, by="relationship_id", do=feedback_given),
]
