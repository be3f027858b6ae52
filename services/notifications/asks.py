"""Questions to a person: those that are due go together, in one mail, and no more often than their program wants."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.notifications.domain import Delivery, Person, Relationship, State, check_in_page, obstacle
from shared.decisions import NOTHING, Context, Outcome, new
from shared.timers import DueTimer

ASK = "ask"
"""The timer at which it is looked what someone is to be asked."""
AT_ONCE = frozenset({"did_you_meet", "asked", "letter_asked", "introduction_asked", "circle_asked"})
"""About a meeting that is just over, or where somebody waits for the answer: they don't wait, and no program pauses them."""
ON_THEIR_DAYS = frozenset({"unsigned"})
"""Their days are the program's own setting."""
ASKS = (
    AT_ONCE | ON_THEIR_DAYS | {"in_touch", "nudge", "warned", "renewal", "lighter", "check_in", "feedback_asked", "goal_reached"}
)
"""The messages that are questions."""
NOT_PRESSING = frozenset({"check_in", "feedback_asked", "goal_reached"})
"""Where another question is in the mail it is that one's subject that is read."""
IN_TOUCH = frozenset({"in_touch", "nudge", "warned"})
"""Which ask the same: whether they are in touch."""
ANSWER_BY = {"warned": "freezes_at", "renewal": "until", "check_in": "due_at"}
"""Until when there is an answer to give."""
GATHERED = timedelta(hours=1)
"""So long a question stays for others that are due at about the same time."""
NEAR = timedelta(hours=48)
"""A meeting, or the last day for an answer, that is so near lets a question go."""
PAUSED = timedelta(days=1)
"""After which it is looked whether a program asks again."""


@dataclass(frozen=True, slots=True)
class Question:
    """A message that waits to be asked, and what its program and its relationship's calendar say."""

    delivery_id: UUID
    paused: bool
    days: int
    """Between two mails with questions."""
    meets_at: datetime | None = None
    """The next meeting."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What a person is to be asked, oldest first. The id is theirs."""

    id: UUID
    waiting: tuple[Question, ...]


def ask(person: Person | None, due: DueTimer, context: Context) -> Outcome:
    """When the first of the questions may go, all go with it; until then, the timer comes again. What holds no longer goes to the
    sender, which says why it isn't sent; so does all where the person isn't known yet.
    """
    known = context.get(Questions, due.owner)
    found = [(q, context.get(Delivery, q.delivery_id)) for q in known.waiting] if known else []
    waiting = [(q, d) for q, d in found if d is not None and d.state is State.to_ask]
    outcome, open_ones = NOTHING, []
    for question, delivery in waiting:
        if person is None or _hindered(delivery, person, context):
            outcome = outcome.also(replace(delivery, state=State.waits, due_at=context.now))
        else:
            open_ones.append((question, delivery))
    if person is None:
        return outcome
    asked = [(q, d) for q, d in open_ones if not q.paused or d.template in AT_ONCE]
    looks = [may_go(q, d, person) for q, d in asked]
    if looks and min(looks) <= context.now:
        first, *others = sorted((d for _, d in asked), key=_pressing)
        outcome = outcome.plus(new(replace(first, state=State.waits, due_at=context.now)))
        outcome = outcome.also(*(replace(d, state=State.joined, joins=first.id) for d in others))
        outcome, looks = outcome.also(replace(person, asked_at=context.now)), []
    if len(asked) < len(open_ones):
        looks.append(context.now + PAUSED)
    return outcome.arm(ASK, person.id, person.id, min(looks)) if looks else outcome


def _pressing(delivery: Delivery) -> tuple[bool, bool, bool, datetime, UUID]:
    """The order of questions in a mail: the first gives it its subject."""
    asks = delivery.template
    return (asks not in AT_ONCE, asks in NOT_PRESSING, asks not in ANSWER_BY, delivery.created_at, delivery.id)


def _hindered(delivery: Delivery, person: Person, context: Context) -> bool:
    """Whether it wouldn't be sent; of what goes at once the sender sees it."""
    if delivery.template in AT_ONCE:
        return False
    relationship = context.get(Relationship, delivery.relationship_id) if delivery.relationship_id else None
    return obstacle(delivery, person, relationship, None, context.now) is not None


def may_go(question: Question, delivery: Delivery, person: Person) -> datetime:
    """From when a question may go by itself: so many days after the last mail with one, sooner where something is near."""
    if delivery.template in AT_ONCE:
        return delivery.created_at
    gathered = delivery.created_at + GATHERED
    if person.asked_at is None or delivery.template in ON_THEIR_DAYS:
        return gathered
    near = [person.asked_at + timedelta(days=question.days)]
    if question.meets_at is not None:
        near.append(question.meets_at - NEAR)
    if answer_by := delivery.data.get(ANSWER_BY.get(delivery.template, "")):
        near.append(datetime.fromisoformat(answer_by) - NEAR)
    return max(gathered, min(near))


def distinct(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Each question once: of several that ask the same about a relationship only the newest, in the place of the first."""
    newest: dict[Any, Delivery] = {}
    for delivery in deliveries:
        about = "in_touch" if delivery.template in IN_TOUCH else delivery.template
        if delivery.template == "check_in":
            about = check_in_page(delivery.data.get("kind", ""))
        whom = next((delivery.data[name] for name in ("introduction", "circle", "who") if name in delivery.data), None)
        key = (about, delivery.relationship_id, delivery.meeting_id, whom)
        if key not in newest or newest[key].created_at <= delivery.created_at:
            newest[key] = delivery
    return list(newest.values())
