"""The pure part: what each fact does to what is known, in any order."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.domain.counts import Counts, Delivery, Meeting, Person, Program, Relationship, Seat, withheld
from services.analytics.domain.story import Line
from services.analytics.handlers import HANDLERS
from services.analytics.jobs import Changed, measured
from services.analytics.store import TABLES
from shared.cloudevents import Cause, Received, new_id, outbox_row
from shared.decisions import Context
from shared.events import (
    CATALOGUE,
    Event,
    Format,
    GroupCreated,
    MeetingRescheduled,
    Member,
    MemberJoined,
    MemberLeft,
    NotificationFailed,
    PersonErased,
    ProgramChanged,
    ProgramClosed,
    ProgramLeft,
    ProgramMeasured,
)
from shared.held import StoredRecord
from shared.work import Decided
from tests.analytics.samples import DAY, Crossing

NOW = datetime(2026, 3, 10, tzinfo=UTC)


def received(event: Event, at: datetime = DAY) -> Received:
    """The event as the consumer hands it over."""
    cause = Cause("/ithaca/test", "north", getattr(event, "program", None) or "", new_id(), None, "")
    _, topic, key, headers, payload, _ = outbox_row(new_id(), event, cause, at, NOW)
    record = StoredRecord(topic, 3, 7, key.encode(), payload, [(n, v.encode()) for n, v in orjson.loads(headers).items()])
    return Received(record, CATALOGUE)


def settled(events: list[Received]) -> dict[tuple[type, Any], Any]:
    """What is known after these events, in this order. Lines of the story aside."""
    state: dict[tuple[type, Any], Any] = {}
    for item in events:
        context = Context(item, NOW, state, {})
        for handler in HANDLERS:
            if handler.subject is type(item.event):
                for key in handler.ids(item.event):
                    for one in handler.do(state.get((handler.kind, key)), item.event, context).changed:
                        state[type(one), one.id] = one
    return {place: one for place, one in state.items() if place[0] is not Line}


def only(kind: type, events: list[Event]) -> Any:
    (one,) = [value for (of, _), value in settled([received(e) for e in events]).items() if of is kind]
    return one


CROSSING = Crossing("north", "kes", 3)
FIRST, HELD, MISSED = CROSSING.meeting(0)
FACTS = [
    received(event)
    for event in [
        *CROSSING.onboarding(),
        *CROSSING.people(),
        *(CROSSING.pair(n) for n in range(3)),
        *CROSSING.signatures(0),
        FIRST,
        MISSED,
        HELD,
        CROSSING.milestone(0),
        CROSSING.end(1),
        CROSSING.waits(2),
    ]
]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_the_order_of_the_topics_the_same_is_known_in_the_end(seed: int) -> None:
    choose = random.Random(seed)
    queues: dict[Any, list[Received]] = {}
    for fact in FACTS:
        queues.setdefault(fact.order, []).append(fact)
    shuffled = []
    left = list(queues.values())
    positions = [0] * len(left)
    while any(at < len(queue) for at, queue in zip(positions, left, strict=True)):
        n = choose.randrange(len(left))
        if positions[n] < len(left[n]):
            shuffled.append(left[n][positions[n]])
            positions[n] += 1
    assert settled(shuffled) == settled(FACTS)


def test_a_fact_seen_twice_changes_nothing() -> None:
    assert settled([*FACTS, *FACTS]) == settled(FACTS)


def test_a_meeting_is_held_as_of_its_highest_revision() -> None:
    for events in ([FIRST, MISSED, HELD], [HELD, FIRST, MISSED]):
        meeting = only(Meeting, events)
        assert (meeting.scheduled, meeting.held > meeting.missed) == (True, True)
    again = MISSED.model_copy(update={"revision": 3})
    meeting = only(Meeting, [FIRST, HELD, again])
    assert meeting.missed > meeting.held
    moved = MeetingRescheduled(
        **CROSSING.about(0, meeting_id=FIRST.meeting_id), starts_at=DAY, minutes=30, time_zone="UTC", sequence=1, was_at=DAY
    )
    assert only(Meeting, [FIRST, moved]).scheduled


def test_only_the_last_signature_agrees_and_a_milestone_counts_once() -> None:
    first, last = CROSSING.signatures(0)
    assert settled([received(first)]) == {}
    assert only(Relationship, [first, last]).agreed
    reached = [CROSSING.milestone(0), CROSSING.milestone(0), CROSSING.milestone(0, "goals_set")]
    assert only(Relationship, reached).milestones == ("first_meeting", "goals_set")


def test_a_conversation_is_counted_by_itself() -> None:
    talk = CROSSING.pair(0).model_copy(update={"format": Format.conversation})
    for events in ([talk, CROSSING.end(0)], [CROSSING.end(0), talk]):
        assert only(Relationship, events).formed == "conversation"


def test_a_group_changes_its_members() -> None:
    group = GroupCreated(**CROSSING.pair(0).model_dump(exclude={"format"}), format="group")
    more = Member(person_id=new_id(), role="mentee", organization="ost")
    joined = MemberJoined(**CROSSING.about(0), member=more)
    left = MemberLeft(**CROSSING.about(0), member=CROSSING.members(0)[0], reason="own_wish")
    known = only(Relationship, [group, joined, left])
    assert known.formed == "group"
    assert dict(zip(known.people, known.homes, strict=True)) == {str(CROSSING.mentors[0]): "kes", str(more.person_id): "ost"}
    assert set(known.audience) == {"north", "kes", "ost"}


def test_who_waits_is_placed_by_a_later_match_only() -> None:
    later = received(CROSSING.pair(0), DAY + timedelta(days=1))
    waits = received(CROSSING.waits(0))
    for events in ([waits, later], [later, waits]):
        seat = settled(events)[Seat, Seat.key(CROSSING.mentees[0], CROSSING.program)]
        assert seat.placed_at > seat.waitlisted_at


def test_an_erased_person_stays_erased() -> None:
    erased = PersonErased(person_id=CROSSING.mentees[0], revision=2)
    for events in ([CROSSING.person(0, "mentee"), erased], [erased, CROSSING.person(0, "mentee", revision=9)]):
        person = only(Person, [*events])
        assert (person.own_id, person.programs, person.erased) == (None, (), True)


def test_a_mail_is_sent_or_given_up_and_a_try_is_neither() -> None:
    sent = CROSSING.mail(0, new_id())
    values = sent.model_dump() | {"failure": "unreachable"}
    tried, given_up = (NotificationFailed(**values, final=final) for final in (False, True))
    assert settled([received(tried)]) == {}
    assert only(Delivery, [tried, sent]).sent
    assert only(Delivery, [given_up]).failed
    assert settled([received(sent.model_copy(update={"program": None}))]) == {}


def test_a_program_knows_its_members() -> None:
    events = CROSSING.onboarding("own_people_and_totals")
    program = only(Program, events)
    assert (program.organization, program.name, program.members, program.with_totals) == ("north", "Crossing", ("kes",), ("kes",))
    after = only(
        Program,
        [
            *events,
            ProgramChanged(program=CROSSING.program, organization="north", name="Over", revision=2),
            CROSSING.onboarding()[1],
            ProgramLeft(program=CROSSING.program, member="kes"),
            ProgramClosed(program=CROSSING.program),
        ],
    )
    assert (after.name, after.members, after.with_totals, after.closed) == ("Over", (), (), True)


@pytest.mark.parametrize("kind", sorted(CATALOGUE.values(), key=lambda e: e.__name__), ids=lambda e: e.__name__)
def test_every_type_is_told(kind: type[Event]) -> None:
    assert any(handler.subject is kind and handler.kind is Line for handler in HANDLERS)


def test_a_program_that_only_a_header_names_is_measured_if_it_can_be_one() -> None:
    """What can't be one stopped the publishing of all programs' numbers."""

    @dataclass
    class Item:
        program: str
        event: Event

    changed, event = Changed(), PersonErased(person_id=new_id(), revision=1)
    changed.committed(Decided([Item(name, event) for name in ("northwind.crossing", "", "yesterday", "a.b\x00", "A.b")]))
    assert changed.programs == {"northwind.crossing"}


def test_numbers_are_published_when_they_changed_but_not_within_a_minute() -> None:
    counts = Counts(*range(13))
    context = Context(received(FIRST), NOW, {}, {})
    first = measured(None, CROSSING.program, counts, context)
    (event,) = first.events
    assert isinstance(event, ProgramMeasured)
    assert (event.enrolled, event.ended, event.audience) == (0, 8, ("north",))
    (known,) = first.changed
    more = replace(counts, enrolled=5)
    assert measured(known, CROSSING.program, more, context).events == ()
    assert measured(known, CROSSING.program, more, context).result is False
    later = replace(known, measured_at=NOW - timedelta(minutes=1))
    assert measured(later, CROSSING.program, more, context).events
    assert measured(later, CROSSING.program, counts, context).events == ()
    assert measured(later, CROSSING.program, replace(counts, mails_sent=99), context).events == (), "mails aren't published"


def test_every_field_of_what_is_kept_has_its_column() -> None:
    assert [table.name for table in TABLES] == [
        "programs",
        "people",
        "relationships",
        "meetings",
        "deliveries",
        "seats",
        "story",
        "measured",
        "answers",
        "things",
    ]
    assert withheld(4)
    assert not withheld(5)
