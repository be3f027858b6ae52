"""Which organizations' endpoints hear of which events, and in what form. The last lines are the index."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.notifications.domain import Call, Person, State, Subscriber, call_id, shown_to
from shared.cloudevents import rfc3339
from shared.decisions import NOTHING, Context, Handler, Lookup, Outcome, new, on
from shared.events import (
    CATALOGUE,
    TOPICS,
    Event,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonRecord,
    PersonResumed,
    PersonWithdrawn,
    ProfileChanged,
)


def pass_on(subscriber: Subscriber | None, event: Event, context: Context) -> Outcome:
    """An organization's endpoints hear of every event whose audience it is in; of people only if they are its own."""
    if subscriber is None:
        return NOTHING
    hooks = [hook for hook in subscriber.hooks if not hook.types or event.TYPE in hook.types]
    person_id = event.person_id if isinstance(event, PersonRecord | PersonErased) else None
    if not hooks or (person_id is not None and not _is_news_to(subscriber.id, event, context.get(Person, person_id), context)):
        return NOTHING
    body = cloudevent(event, subscriber.id, context)
    return new(*(call(hook.id, subscriber.id, context, event.TYPE, body, person_id) for hook in hooks))


def _is_news_to(organization: str, event: Any, known: Person | None, context: Context) -> bool:
    """The daily tick that keeps a compacted topic tidy repeats what is known."""
    if isinstance(event, PersonErased):
        home = known.organization if known is not None else context.organization
        return home == organization and not (known is not None and known.erased)
    return bool(event.organization == organization) and (known is None or known.revision < event.revision)


def cloudevent(event: Event, organization: str, context: Context) -> dict[str, Any]:
    """The event in structured form (CloudEvents 1.0, JSON), as this organization may see it."""
    attributes = {
        "specversion": "1.0",
        "id": str(context.id),
        "type": event.TYPE,
        "source": context.text("ce_source"),
        "time": rfc3339(context.time),
        "recordedtime": context.text("ce_recordedtime"),
        "organization": context.organization,
        "program": context.program,
        "correlationid": str(context.correlation),
        "causationid": context.text("ce_causationid"),
        "partitionkey": event.key,
        "datacontenttype": "application/json",
    }
    data = shown_to(organization, context.program, event.model_dump(mode="json"))
    return {name: value for name, value in attributes.items() if value} | {"data": data}


def call(
    endpoint: UUID,
    organization: str,
    context: Context,
    fact_type: str,
    body: dict[str, Any],
    person: UUID | None,
) -> Call:
    return Call(
        id=call_id(context.id, endpoint),
        organization=organization,
        endpoint_id=endpoint,
        person_id=person,
        fact_id=context.id,
        fact_type=fact_type,
        program=context.program,
        body=body,
        state=State.waits,
        attempts=0,
        created_at=context.now,
        due_at=context.now,
        correlation=context.correlation,
        traceparent=context.traceparent,
    )


def forget_call(waiting: Call, _: PersonErased, __: Context) -> Outcome:
    """What still waits to be sent about an erased person isn't sent any more."""
    return NOTHING.forget(waiting)


# ---- the index ---------------------------------------------------------------------------------------------------------

PEOPLE: Sequence[type[PersonRecord]] = (PersonEnrolled, ProfileChanged, PersonPaused, PersonResumed, PersonWithdrawn)
PASSED_ON: Sequence[type[Event]] = [
    event
    for event in CATALOGUE.values()
    if "notifications" in TOPICS[event.topic].readers and event.topic not in {"access", "people"}
]

CALLS_ABOUT = "select person_id, id from calls where person_id = any($1::uuid[]) and state = 'waits'"


def _about_home(event: PersonRecord) -> tuple[str, ...]:
    return (event.organization,)


def _audience(event: Event) -> tuple[str, ...]:
    return event.audience


HANDLERS: list[Handler] = [
    *(on(event, Subscriber, by=_audience, do=pass_on) for event in PASSED_ON),
    *(on(event, Subscriber, by=_about_home, do=pass_on, reads={Person: "person_id"}) for event in PEOPLE),
    on(PersonErased, Call, by=Lookup(CALLS_ABOUT, lambda event: (event.person_id,)), do=forget_call),
    on(PersonErased, Subscriber, by=_audience, do=pass_on, reads={Person: "person_id"}),
]
