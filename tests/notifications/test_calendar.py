"""What a meeting's people find in their calendars over its life, as scheduling decides it and notifications tell it (RFC 5546)."""

import email
from email import policy

import pytest
from icalendar import Calendar

from services.notifications import handlers
from services.notifications.domain import Delivery, Meeting, Person, obstacle
from services.notifications.domain import Relationship as Known
from services.notifications.letters import Writer
from services.notifications.occasions import Letterhead, Occasion
from services.scheduling.domain import changes, meetings, reports
from shared.events import (
    ChangeReason,
    MeetingCancelled,
    MeetingProposed,
    MeetingRescheduled,
    MeetingScheduled,
    PersonStatus,
)
from shared.events import Member as EventMember
from tests.notifications.test_rules import Circumstances
from tests.scheduling.examples import NOW, At, agreed, took

TELL = {
    MeetingProposed: handlers.meeting_proposed,
    MeetingScheduled: handlers.meeting_scheduled,
    MeetingRescheduled: handlers.meeting_scheduled,
    MeetingCancelled: handlers.meeting_cancelled,
}
WRITER = Writer(Letterhead("Ithaca <no-reply@ithaca.example>", "secret", *["https://one.example"] * 4))


class Two:
    """A pair, what notifications knows of it, and the mails that each of the two has got."""

    def __init__(self):
        self.relationship, self.meetings = agreed()
        self.mentor, self.mentee = (m.person_id for m in self.relationship.members)
        members = tuple(
            EventMember(person_id=m.person_id, role=m.role, organization=m.organization) for m in self.relationship.members
        )
        self.pair = Known(self.relationship.id, "northwind", "northwind.crossing", ("northwind",), members)
        self.people = {
            person: Person(person, "northwind", 1, PersonStatus.active, name, f"{name.lower()}@example.com")
            for person, name in ((self.mentor, "Zuri"), (self.mentee, "Ada"))
        }
        self.known, self.mails = {}, {self.mentor: [], self.mentee: []}
        (first,) = self.meetings.values()
        self.tell([meetings.proposed(self.relationship, first)])

    @property
    def planned(self):
        return self.meetings[self.relationship.meeting_id]

    def take(self, outcome):
        self.relationship, self.meetings = took(outcome, self.relationship, self.meetings)
        self.tell(outcome.events)

    def tell(self, events):
        for event in events:
            context = Circumstances(event.TYPE, loaded=(self.pair,))
            told = TELL[type(event)](self.known.get(event.meeting_id), event, context)
            self.known |= {m.id: m for m in told.changed if isinstance(m, Meeting)}
            for delivery in told.changed:
                if isinstance(delivery, Delivery):
                    self.send(delivery)

    def send(self, delivery):
        meeting, reader = self.known[delivery.meeting_id], self.people[delivery.person_id]
        assert obstacle(delivery, reader, self.pair, meeting, NOW) is None
        occasion = Occasion(delivery, reader, "Crossing", "Northwind", self.pair, meeting, self.people, {})
        message = email.message_from_bytes(WRITER.mail(occasion, NOW), policy=policy.default)
        entry = next((part for part in message.walk() if part.get_content_type() == "text/calendar"), None)
        self.mails[reader.id].append((delivery.template, entry))


def entries(mails):
    """(METHOD, UID, SEQUENCE, STATUS, DTSTART) of each mail that has one, as a calendar reads it."""
    found = []
    for _, part in mails:
        if part is not None:
            calendar = Calendar.from_ical(part.get_content())
            (event,) = calendar.walk("VEVENT")
            assert part["Content-Type"].params["method"] == calendar["METHOD"]
            assert str(event["ORGANIZER"]).startswith("mailto:")
            found.append(
                (str(calendar["METHOD"]), str(event["UID"]), event["SEQUENCE"], str(event["STATUS"]), event.decoded("DTSTART"))
            )
    return found


@pytest.mark.parametrize("reason", changes.BY_MEMBERS)
def test_the_entry_keeps_its_uid_and_its_sequence_rises_until_it_is_called_off_and_the_next_has_its_own(reason):
    two, moment = Two(), At()
    first = two.planned
    two.take(changes.suggest(two.relationship, first, two.mentee, first.slots[0] + 2 * reports.TOLERANCE, moment))
    wished = two.planned.slots[0]
    two.take(meetings.pick(two.relationship, two.planned, two.mentor, wished, moment))
    two.take(meetings.pick(two.relationship, two.planned, two.mentee, first.slots[1], moment))
    two.take(changes.suggest(two.relationship, two.planned, two.mentor, first.slots[2] + reports.TOLERANCE / 2, moment))
    later = two.planned.slots[0]
    two.take(meetings.pick(two.relationship, two.planned, two.mentee, later, moment))
    two.take(changes.call_off(two.relationship, two.planned, two.mentee, ChangeReason(reason), moment))
    second = two.planned
    two.take(meetings.pick(two.relationship, second, two.mentor, second.slots[0], moment))

    own = f"{first.id}@ithaca.example"
    expected = [
        ("REQUEST", own, 1, "CONFIRMED", wished),
        ("REQUEST", own, 2, "CONFIRMED", first.slots[1]),
        ("REQUEST", own, 3, "CONFIRMED", later),
        ("CANCEL", own, 4, "CANCELLED", later),
        ("REQUEST", f"{second.id}@ithaca.example", 1, "CONFIRMED", second.slots[0]),
    ]
    assert entries(two.mails[two.mentor]) == entries(two.mails[two.mentee]) == expected
    assert [template for template, _ in two.mails[two.mentor]] == [
        "choose_time",
        "suggested",
        "invitation",
        "moved",
        "moved",
        "cancelled",
        "choose_time",
        "invitation",
    ]
    assert [template for template, _ in two.mails[two.mentee]].count("suggested") == 1


def test_the_entry_has_each_readers_own_link_to_where_it_is_and_a_cancelled_one_none():
    two, moment = Two(), At()
    first = two.planned
    two.take(meetings.pick(two.relationship, first, two.mentor, first.slots[0], moment))
    two.take(changes.call_off(two.relationship, two.planned, two.mentee, ChangeReason.ill, moment))
    for person, mails in two.mails.items():
        invited, cancelled = (
            Calendar.from_ical(part.get_content()).walk("VEVENT")[0] for _, part in mails[1:3] if part is not None
        )
        link = f"https://one.example/where/{first.id}?p={person}&"
        assert invited["LOCATION"].startswith(link)
        assert invited["URL"] == invited["LOCATION"]
        assert "LOCATION" not in cancelled
        assert "URL" not in cancelled
