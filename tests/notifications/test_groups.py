"""Who reads what when somebody comes into a group, goes, or is to lead: and whose calendar it changes."""

import email
from dataclasses import replace
from email import policy

import pytest
from icalendar import Calendar

from services.notifications import groups, handlers
from services.notifications.domain import Delivery, Meeting, MeetingState, Plan, Relationship, obstacle
from services.notifications.occasions import Occasion
from shared.cloudevents import new_id
from shared.events import (
    EndReason,
    Failure,
    Format,
    GroupCreated,
    HostNamed,
    MeetingScheduled,
    Member,
    MemberJoined,
    MemberLeft,
    MemberWentOut,
    Role,
    Terms,
)
from tests.notifications.test_calendar import WRITER
from tests.notifications.test_rules import (
    ADA,
    AT,
    GRACA,
    MEETING,
    MENTEE,
    MENTOR,
    NOW,
    PAIR,
    Circumstances,
    after,
    of_meeting,
    of_pair,
    told,
)

JUN = replace(ADA, id=new_id(), name="Jun", email="jun@example.com")
NEW = replace(ADA, id=new_id(), name="Nia", email="nia@example.com", organization="kestrel")
GROUP = replace(
    PAIR,
    members=(*PAIR.members, Member(person_id=JUN.id, role=Role.mentee, organization="northwind")),
    agreement=2,
    agreed=True,
    terms=Terms(),
    format=Format.group,
)
COMES = Member(person_id=NEW.id, role=Role.mentee, organization="kestrel")
PEOPLE = {p.id: p for p in (ADA, GRACA, JUN, NEW)}


def entry(outcome, template, reader, group, meeting=MEETING):
    """(METHOD, UID, SEQUENCE, attendees) of this mail's calendar file."""
    delivery = next(d for d in outcome.changed if isinstance(d, Delivery) and (d.template, d.person_id) == (template, reader.id))
    raw = WRITER.mail(Occasion(delivery, reader, "Crossing", "Northwind", group, meeting, PEOPLE, {}), NOW)
    message = email.message_from_bytes(raw, policy=policy.default)
    part = next((part for part in message.walk() if part.get_content_type() == "text/calendar"), None)
    if part is None:
        return None
    calendar = Calendar.from_ical(part.get_content())
    (event,) = calendar.walk("VEVENT")
    attendees = event["ATTENDEE"] if isinstance(event["ATTENDEE"], list) else [event["ATTENDEE"]]
    return str(calendar["METHOD"]), str(event["UID"]), event["SEQUENCE"], sorted(str(a) for a in attendees)


def joins(known=GROUP, meeting=MEETING):
    plan = [Plan(PAIR.id, meeting.id), meeting] if meeting else []
    event = MemberJoined(relationship_id=PAIR.id, program=PAIR.program, member=COMES)
    return groups.member_joined(known, event, Circumstances(loaded=plan))


def test_who_comes_is_introduced_and_invited_and_the_others_read_of_it():
    outcome = joins()
    assert told(outcome) == [
        ("joined", NEW.id),
        ("newcomer", MENTOR),
        ("newcomer", MENTEE),
        ("newcomer", JUN.id),
        ("invitation", NEW.id),
    ]
    group = after(outcome, Relationship)
    assert group.members[-1] == COMES
    before = replace(GROUP, audience=("northwind", "orchard"))
    assert after(joins(before), Relationship).audience == ("kestrel", "northwind"), "orchard has nobody in it any more"
    assert next(d for d in outcome.changed if isinstance(d, Delivery)).data["version"] == 2
    method, uid, sequence, attendees = entry(outcome, "invitation", NEW, group)
    assert (method, uid, sequence) == ("REQUEST", f"{MEETING.id}@ithaca.example", MEETING.sequence)
    assert len(attendees) == 4
    assert joins(group).changed == ()
    later = of_meeting(MeetingScheduled, starts_at=AT, minutes=30, time_zone="UTC", sequence=5)
    assert ("invitation", NEW.id) in told(handlers.meeting_scheduled(MEETING, later, Circumstances(loaded=[group])))


@pytest.mark.parametrize(
    ("known", "meeting", "expected"),
    [
        (GROUP, None, {"joined", "newcomer"}),
        (GROUP, replace(MEETING, state=MeetingState.proposed, starts_at=None), {"joined", "newcomer"}),
        (GROUP, replace(MEETING, starts_at=NOW), {"joined", "newcomer"}),
        (replace(GROUP, agreement=0), MEETING, set()),
        (replace(GROUP, ended=True), MEETING, set()),
    ],
)
def test_an_invitation_goes_only_where_a_meeting_is_ahead_and_nothing_where_there_is_nothing_to_join_yet(
    known, meeting, expected
):
    assert {template for template, _ in told(joins(known, meeting))} == expected


def goes(reason=EndReason.moved_on, known=GROUP, meeting=MEETING, **more):
    event = of_pair(MemberWentOut, person_id=JUN.id, role=Role.mentee, reason=reason, meeting_id=meeting and meeting.id, **more)
    return groups.member_went_out(known, event, Circumstances(loaded=[meeting] if meeting else []))


def test_who_goes_is_thanked_and_the_meeting_leaves_their_calendar_alone():
    outcome = goes(rematch_first=True)
    assert told(outcome) == [("went_out", MENTOR), ("went_out", MENTEE), ("left", JUN.id)]
    group = after(outcome, Relationship)
    method, uid, sequence, attendees = entry(outcome, "left", JUN, group)
    assert (method, uid, sequence) == ("CANCEL", f"{MEETING.id}@ithaca.example", MEETING.sequence + 1)
    assert attendees == ["mailto:jun@example.com"]
    assert entry(outcome, "went_out", ADA, group) is None
    assert after(outcome, Meeting) is None, "nobody else's invitation changes"
    assert told(goes(known=group)) == [("went_out", MENTOR), ("went_out", MENTEE), ("left", JUN.id)]
    left = MemberLeft(relationship_id=PAIR.id, program=PAIR.program, member=GROUP.members[2], reason="own_wish")
    assert groups.member_left(group, left, Circumstances()).changed == ()


@pytest.mark.parametrize("reason", [EndReason.person_withdrawn, EndReason.never_signed])
def test_who_has_left_the_program_is_told_that_the_meeting_leaves_their_calendar_and_no_more(reason):
    outcome = goes(reason)
    assert told(outcome) == [("went_out", MENTOR), ("went_out", MENTEE), ("left", JUN.id)]
    group = after(outcome, Relationship)
    assert entry(outcome, "left", JUN, group) == (
        "CANCEL",
        f"{MEETING.id}@ithaca.example",
        MEETING.sequence + 1,
        ["mailto:jun@example.com"],
    )
    message = next(d for d in outcome.changed if isinstance(d, Delivery) and d.template == "left")
    text = WRITER.write(Occasion(message, JUN, "Crossing", "Northwind", group, MEETING, PEOPLE, {}), NOW).text
    assert "takes your next meeting out of your calendar" in text
    assert "someone new" not in text
    for meeting in (None, replace(MEETING, starts_at=NOW)):
        assert told(goes(reason, meeting=meeting)) == [("went_out", MENTOR), ("went_out", MENTEE)]


def test_who_is_erased_is_written_to_no_more_and_where_nothing_is_planned_no_calendar_changes():
    assert told(goes(EndReason.person_erased)) == [("went_out", MENTOR), ("went_out", MENTEE)]
    for meeting in (None, replace(MEETING, state=MeetingState.proposed, starts_at=None), replace(MEETING, starts_at=NOW)):
        outcome = goes(meeting=meeting)
        message = next(d for d in outcome.changed if isinstance(d, Delivery) and d.template == "left")
        assert (message.meeting_id, "starts_at" in message.data) == (None, False)
        assert entry(outcome, "left", JUN, after(outcome, Relationship), None) is None
    assert told(goes(known=replace(GROUP, agreement=0))) == []


def test_who_is_to_lead_is_told_while_the_meeting_is_ahead():
    event = of_meeting(HostNamed, host=JUN.id, handed_on_by=MENTOR)
    outcome = groups.host_named(MEETING, event, Circumstances(loaded=[GROUP]))
    assert told(outcome) == [("host", JUN.id)]
    (message,) = outcome.changed
    assert obstacle(message, JUN, GROUP, MEETING, NOW) is None
    assert obstacle(message, JUN, GROUP, replace(MEETING, starts_at=NOW), NOW) is Failure.other
    for late in (replace(MEETING, starts_at=NOW), replace(MEETING, state=MeetingState.cancelled)):
        assert groups.host_named(late, event, Circumstances(loaded=[GROUP])).changed == ()


@pytest.mark.parametrize(
    ("form", "run_id", "beside"), [("circle", None, True), ("circle", new_id(), False), ("group", None, False)]
)
def test_a_circle_that_no_run_found_is_one_that_co_mentees_agreed_on(form, run_id, beside):
    event = GroupCreated(
        relationship_id=new_id(), program=PAIR.program, run_id=run_id, format=form, members=GROUP.members, score=0, reasons=()
    )
    (made,) = handlers.relationship_created(None, event, Circumstances()).changed
    assert made.beside is beside
