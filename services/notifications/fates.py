"""What becomes of a mail, and of all messages in it: sent, tried again later, given up, or not sent on purpose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.notifications.channels import TAKEN, Handed
from services.notifications.domain import MAIL_DELAYS, Delivery, Person, State, after_try
from shared.decisions import NOTHING, Action, Context, Outcome, changed
from shared.events import Failure, NotificationFailed, NotificationSent

ABSENT_AGAIN = timedelta(seconds=15)


@dataclass(slots=True)
class Mail:
    """A message, and the questions that go in the same mail."""

    first: Delivery
    joined: Sequence[Delivery] = ()
    hindered: Mapping[UUID, Failure] = field(default_factory=dict)
    """Those of them that it doesn't say after all, and why."""

    @property
    def all(self) -> list[Delivery]:
        return [self.first, *self.joined]


Change = Callable[[Delivery, Person | None, Context], Outcome]


def noted(mail: Mail, change: Change, traceparent: str = "") -> Action:
    """The action that writes down what became of a mail, with its person's row held for the order of their events. Once it is
    sent or given up, so are the questions that joined it.
    """
    delivery = mail.first

    def do(held: Delivery | None, context: Context) -> Outcome:
        if held is None or held.state is not State.waits:
            return NOTHING
        person = context.get(Person, held.person_id)
        outcome = change(held, person, context)
        after = outcome.changed[0]
        if after.state is State.waits:
            return outcome
        if after.state is State.sent and held.id in mail.hindered:
            outcome = dropped(mail.hindered[held.id])(held, person, context)
        for joined in filter(None, (context.get(Delivery, one.id) for one in mail.joined)):
            hindered = mail.hindered.get(joined.id)
            become = went_with(after) if hindered is None else dropped(hindered)
            outcome = outcome.plus(become(joined, person, context))
        return outcome

    return Action(
        Delivery,
        delivery.id,
        do,
        delivery.organization,
        delivery.program,
        traceparent or delivery.traceparent,
        {Person: [delivery.person_id], Delivery: [one.id for one in mail.joined]},
        id=delivery.fact_id,
        correlation=delivery.correlation,
        causes=True,
    )


def told(delivery: Delivery) -> dict[str, Any]:
    """What the events about a message have in common."""
    return {
        "audience": delivery.audience,
        "person_id": delivery.person_id,
        "delivery_id": delivery.id,
        "program": delivery.program,
        "template": delivery.template,
        "channel": delivery.channel,
        "fact_id": delivery.fact_id,
        "fact_type": delivery.fact_type,
    }


def tried(handed: Handed) -> Change:
    """Sent, tried again later, or given up."""

    def change(delivery: Delivery, person: Person | None, context: Context) -> Outcome:
        attempts, now = delivery.attempts + 1, context.now
        if handed is TAKEN:
            sent = changed(delivery, state=State.sent, attempts=attempts, failure=None, finished_at=now)
            return sent.then(NotificationSent(**told(delivery), attempt=attempts)) if person else sent
        assert handed.failure is not None
        wait = None if handed.final else after_try(attempts, MAIL_DELAYS)
        if wait is None:
            outcome = changed(delivery, state=State.failed, attempts=attempts, failure=handed.failure, finished_at=now)
        else:
            outcome = changed(delivery, attempts=attempts, failure=handed.failure, due_at=now + wait, begun=0, again_at=None)
        failed = NotificationFailed(**told(delivery), attempt=attempts, failure=handed.failure, final=wait is None)
        return outcome.then(failed) if person else outcome

    return change


def dropped(failure: Failure) -> Change:
    """Not sent, on purpose: no address, unsubscribed, erased, or no longer true. What was begun before may have been sent by a copy
    that didn't live to tell: that counts as tries.
    """

    def change(delivery: Delivery, person: Person | None, context: Context) -> Outcome:
        attempts = max(0, delivery.attempts + delivery.begun - 1)
        outcome = changed(delivery, state=State.dropped, failure=failure, attempts=attempts, finished_at=context.now)
        failed = NotificationFailed(**told(delivery), attempt=attempts + 1, failure=failure, final=True)
        return outcome.then(failed) if person else outcome

    return change


def went_with(mail: Delivery) -> Change:
    """What became of the mail that it was part of."""

    def change(delivery: Delivery, person: Person | None, _: Context) -> Outcome:
        outcome = changed(delivery, state=mail.state, attempts=mail.attempts, failure=mail.failure, finished_at=mail.finished_at)
        if person is None:
            return outcome
        if mail.failure is None:
            return outcome.then(NotificationSent(**told(delivery), attempt=mail.attempts))
        return outcome.then(NotificationFailed(**told(delivery), attempt=mail.attempts, failure=mail.failure, final=True))

    return change


def postponed(delivery: Delivery, now: datetime) -> Action:
    """Its person isn't known yet: facts of different topics come in any order."""
    return noted(Mail(delivery), lambda held, _, __: changed(held, due_at=now + ABSENT_AGAIN, begun=0, again_at=None))
