"""Who is told what, whether it still holds, and when it is tried again: rules without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from services.notifications import handlers, quiet
from services.notifications.domain import (
    Delivery,
    Meeting,
    MeetingState,
    Person,
    Program,
    Relationship,
    State,
    message_id,
    obstacle,
)
from shared.cloudevents import new_id
from shared.errors import TryLater
from shared.events import (
    AgreementProposed,
    AgreementRevised,
    AgreementSigned,
    AttainmentAsked,
    Channel,
    Contact,
    ContactLogged,
    Enrolment,
    Failure,
    FollowUpsDue,
    Format,
    GoalAttained,
    GoalDropped,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingProposed,
    MeetingRescheduled,
    MeetingScheduled,
    Member,
    MemberAsked,
    Milestone,
    MilestoneReached,
    PairCreated,
    PairEnded,
    PairFrozen,
    PairRecovered,
    PairStalled,
    PairWarned,
    PersonEnrolled,
    PersonErased,
    PersonWaitlisted,
    Phase,
    Profile,
    ProfileChanged,
    ProgramChanged,
    ProgramLaunched,
    ReminderDue,
    RenewalOffered,
    Role,
    SignaturesAwaited,
    Terms,
    WaitlistReason,
)
from shared.timers import DueTimer

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
AT = NOW + timedelta(days=7)
PROGRAM = "northwind.crossing"
MENTOR, MENTEE = new_id(), new_id()
PAIR = Relationship(
    new_id(),
    "northwind",
    PROGRAM,
    ("kestrel", "northwind"),
    (
        Member(person_id=MENTOR, role=Role.mentor, organization="kestrel"),
        Member(person_id=MENTEE, role=Role.mentee, organization="northwind"),
    ),
)
MEETING = Meeting(new_id(), "northwind", PAIR.id, MeetingState.scheduled, AT, 30, 1, 0, 1, new_id(), "ithaca.MeetingScheduled")
ADA = Person(MENTEE, "northwind", 1, name="Ada", email="ada@example.com")
GRACA = Person(MENTOR, "kestrel", 1, name="Graça", email="graca@example.com")


class Circumstances(SimpleNamespace):
    """A context with what `reads` would have loaded."""

    def __init__(self, fact="ithaca.Fact", **more):
        loaded = {(type(a), a.id): a for a in more.pop("loaded", (PAIR, MEETING, ADA))}
        super().__init__(
            now=NOW,
            time=NOW,
            id=new_id(),
            organization="northwind",
            program=PROGRAM,
            correlation=new_id(),
            traceparent="",
            get=lambda kind, key: loaded.get((kind, key)),
            text=lambda name: {"ce_type": fact, "ce_source": "/ithaca/test"}.get(name, ""),
            **more,
        )


def of_pair(kind, **fields):
    return kind(relationship_id=PAIR.id, program=PROGRAM, **fields)


def of_meeting(kind, **fields):
    return of_pair(kind, meeting_id=MEETING.id, **fields)


def told(outcome):
    return [(d.template, d.person_id) for d in outcome.changed if isinstance(d, Delivery)]


def after(outcome, kind):
    return next((a for a in outcome.changed if isinstance(a, kind)), None)


def both(template):
    return [(template, MENTOR), (template, MENTEE)]


def delivery(template, **data):
    return Delivery(
        new_id(), "northwind", ("northwind",), MENTEE, PROGRAM, template, Channel.mail, new_id(), "ithaca.X",
        PAIR.id, MEETING.id, data, State.waits, 0, NOW, NOW, new_id(), "",
    )  # fmt: skip


def enrolled(revision=1, program=PROGRAM, kind=PersonEnrolled, **contact):
    return kind(
        person_id=MENTEE,
        organization="northwind",
        own_id="n07",
        profile=Profile(time_zone="Africa/Lagos"),
        contact=Contact(**{"name": "Ada", "email": "ada@example.com"} | contact),
        enrolments=(Enrolment(program=PROGRAM, role=Role.mentee),),
        revision=revision,
        program=program,
    )


# ---- people


def test_a_person_is_welcomed_once_in_each_program():
    first = handlers.person_recorded(None, enrolled(), Circumstances())
    assert told(first) == [("welcome", MENTEE)]
    person = after(first, Person)
    assert person.email == "ada@example.com"
    assert told(handlers.person_recorded(person, enrolled(2), Circumstances())) == []
    assert told(handlers.person_recorded(person, enrolled(3, "kestrel.other"), Circumstances())) == [("welcome", MENTEE)]


def test_an_older_record_is_old_news_and_an_erased_person_stays_erased():
    known = replace(ADA, revision=5)
    assert handlers.person_recorded(known, enrolled(5), Circumstances()).changed == ()
    erased = after(handlers.person_erased(known, PersonErased(person_id=MENTEE, revision=6), Circumstances()), Person)
    assert (erased.name, erased.email, erased.organization, erased.erased) == ("", None, "northwind", True)
    assert handlers.person_recorded(erased, enrolled(7), Circumstances()).changed == ()


def test_a_new_address_keeps_what_the_person_chose():
    known = replace(ADA, unsubscribed_at=NOW, muted=("news",))
    person = after(
        handlers.person_recorded(known, enrolled(2, kind=ProfileChanged, email="b@example.com"), Circumstances()), Person
    )
    assert (person.email, person.unsubscribed_at, person.muted) == ("b@example.com", NOW, ("news",))


def test_the_same_reason_for_waiting_is_told_again_after_a_month_only():
    event = PersonWaitlisted(person_id=MENTEE, program=PROGRAM, role="mentee", reason="no_capacity")
    first = handlers.person_waitlisted(ADA, event, Circumstances())
    assert told(first) == [("waiting", MENTEE)]
    person = after(first, Person)
    assert told(handlers.person_waitlisted(person, event, Circumstances())) == []
    other = event.model_copy(update={"reason": WaitlistReason.no_overlap})
    assert told(handlers.person_waitlisted(person, other, Circumstances())) == [("waiting", MENTEE)]
    later = Circumstances()
    later.now = NOW + timedelta(days=31)
    assert told(handlers.person_waitlisted(person, event, later)) == [("waiting", MENTEE)]
    with pytest.raises(TryLater):
        handlers.person_waitlisted(None, event, Circumstances())


# ---- relationships and meetings


def test_an_agreement_introduces_once_and_is_revised_after():
    event = of_pair(AgreementProposed, version=1, members=PAIR.members, terms=Terms())
    first = handlers.agreement_proposed(PAIR, event, Circumstances())
    assert told(first) == both("introduction")
    pair = after(first, Relationship)
    assert handlers.agreement_proposed(pair, event, Circumstances()).changed == ()
    again = of_pair(AgreementRevised, version=2, terms=Terms(months=3), revised_by=MENTOR)
    revised = handlers.agreement_proposed(pair, again, Circumstances())
    assert told(revised) == both("revised")
    assert {(d.data["by"], d.data["held"]) for d in revised.changed if isinstance(d, Delivery)} == {(str(MENTOR), False)}
    assert after(revised, Relationship).terms.months == 3
    with pytest.raises(TryLater):
        handlers.agreement_proposed(None, event, Circumstances())


def test_going_on_is_offered_to_all_and_told_to_all_and_opens_nothing_to_sign():
    pair = replace(PAIR, agreement=2, signed=(str(MENTEE),))
    offer = of_pair(RenewalOffered, renewals=0, months=6, until=AT, renewed_until=AT + timedelta(days=180))
    outcome = handlers.renewal_offered(pair, offer, Circumstances())
    assert told(outcome) == both("renewal")
    message = outcome.changed[0]
    assert obstacle(message, ADA, pair, None, NOW) is None
    assert obstacle(message, ADA, replace(pair, ended=True), None, NOW) is Failure.other
    assert obstacle(message, ADA, pair, None, AT) is Failure.other
    renewed = of_pair(AgreementRevised, version=2, terms=Terms(), reason="renewed", until=AT)
    outcome = handlers.agreement_proposed(pair, renewed, Circumstances())
    assert told(outcome) == both("renewed")
    assert after(outcome, Relationship) is None


def test_who_has_not_signed_is_reminded_unless_they_have_meanwhile():
    pair = replace(PAIR, agreement=1)
    event = of_pair(SignaturesAwaited, version=1, people=(MENTEE,), days=3)
    outcome = handlers.signatures_awaited(pair, event, Circumstances())
    assert told(outcome) == [("unsigned", MENTEE)]
    (message,) = outcome.changed
    assert obstacle(message, ADA, pair, None, NOW) is None
    signed = handlers.agreement_signed(
        pair, of_pair(AgreementSigned, version=1, person_id=MENTEE, complete=True), Circumstances()
    )
    for later in (after(signed, Relationship), replace(pair, ended=True), replace(pair, agreement=2)):
        assert obstacle(message, ADA, later, None, NOW) is Failure.other


def test_those_who_mentor_by_letter_are_told_where_to_write_once_all_have_signed():
    by_letter = replace(PAIR, format=Format.e_mentoring)
    for pair, complete, expected in ((by_letter, True, both("write")), (by_letter, False, []), (PAIR, True, [])):
        event = of_pair(AgreementSigned, version=1, person_id=MENTEE, complete=complete)
        outcome = handlers.agreement_signed(pair, event, Circumstances())
        assert told(outcome) == expected
    begun = after(handlers.agreement_signed(by_letter, event, Circumstances()), Relationship)
    assert told(handlers.agreement_signed(begun, event, Circumstances())) == [], "a version after it begins nothing anew"
    created = of_pair(PairCreated, members=PAIR.members, score=1, format=Format.e_mentoring)
    assert after(handlers.relationship_created(None, created, Circumstances()), Relationship).format is Format.e_mentoring


def test_each_fact_of_a_meeting_is_told_once():
    proposed = of_meeting(MeetingProposed, slots=(AT,), minutes=30, time_zone="UTC")
    first = handlers.meeting_proposed(None, proposed, Circumstances())
    assert told(first) == both("choose_time")
    meeting = after(first, Meeting)
    assert handlers.meeting_proposed(meeting, proposed, Circumstances()).changed == ()

    scheduled = of_meeting(MeetingScheduled, starts_at=AT, minutes=30, time_zone="UTC", sequence=1)
    outcome = handlers.meeting_scheduled(meeting, scheduled, Circumstances())
    assert told(outcome) == both("invitation")
    (timer,) = outcome.timers
    assert (timer.kind, timer.key, timer.owner, timer.fire_at) == (
        "did_you_meet",
        str(MEETING.id),
        PAIR.id,
        AT + timedelta(minutes=30),
    )
    meeting = after(outcome, Meeting)
    assert handlers.meeting_scheduled(meeting, scheduled, Circumstances()).changed == ()

    moved = of_meeting(MeetingRescheduled, starts_at=AT + timedelta(days=1), minutes=30, time_zone="UTC", sequence=2, was_at=AT)
    outcome = handlers.meeting_scheduled(meeting, moved, Circumstances())
    assert told(outcome) == both("moved")
    assert outcome.timers[0].fire_at == AT + timedelta(days=1, minutes=30)
    meeting = after(outcome, Meeting)

    assert told(handlers.reminder_due(meeting, of_meeting(ReminderDue, starts_at=AT), Circumstances())) == []  # for the old time
    near = of_meeting(ReminderDue, starts_at=AT + timedelta(days=1))
    assert told(handlers.reminder_due(meeting, near, Circumstances())) == both("reminder")
    brief = near.model_copy(update={"phase": Phase.half_time, "points": 2, "follow_ups": 3, "follow_ups_due": 1, "goals": 1})
    data = handlers.reminder_due(meeting, brief, Circumstances()).changed[0].data
    assert [data[name] for name in ("phase", "points", "follow_ups", "due", "goals")] == ["half_time", 2, 3, 1, 1]

    follow_ups = of_pair(FollowUpsDue, due_on=AT.date(), people=(MENTEE,))
    assert told(handlers.follow_ups_due(PAIR, follow_ups, Circumstances())) == [("follow_ups", MENTEE)]
    assert obstacle(delivery("follow_ups"), ADA, PAIR, None, NOW) is None
    assert obstacle(delivery("follow_ups"), ADA, replace(PAIR, ended=True), None, NOW) is Failure.other

    missed = of_meeting(MeetingMissed, starts_at=AT, absent="both_silent", misses_in_a_row=1, revision=1)
    outcome = handlers.meeting_missed(meeting, missed, Circumstances())
    assert told(outcome) == both("missed")
    assert outcome.cleared == (("did_you_meet", str(MEETING.id)),)
    meeting = after(outcome, Meeting)
    assert handlers.meeting_missed(meeting, missed, Circumstances()).changed == ()

    held = of_meeting(MeetingHeld, held_at=AT, minutes=30, attended=(), revision=2, corrects_missed=True)
    outcome = handlers.meeting_held(meeting, held, Circumstances())
    assert told(outcome) == []
    assert after(outcome, Meeting).state is MeetingState.held
    assert handlers.meeting_held(after(outcome, Meeting), held, Circumstances()).changed == ()


def test_a_time_that_somebody_suggests_is_told_to_the_others_while_it_can_be_taken():
    standing = replace(MEETING, state=MeetingState.proposed, starts_at=None, sequence=0)
    suggested = of_meeting(MeetingProposed, slots=(AT,), minutes=30, time_zone="UTC", proposed_by=MENTOR)
    outcome = handlers.meeting_proposed(standing, suggested, Circumstances())
    assert told(outcome) == [("suggested", MENTEE)]
    assert "starts_at" not in outcome.changed[0].data
    again = suggested.model_copy(update={"sequence": MEETING.sequence})
    outcome = handlers.meeting_proposed(MEETING, again, Circumstances())
    assert told(outcome) == [("suggested", MENTEE)]
    assert outcome.changed[0].data["starts_at"] == MEETING.starts_at.isoformat()
    for late in (replace(MEETING, state=MeetingState.cancelled), replace(MEETING, sequence=MEETING.sequence + 1)):
        assert handlers.meeting_proposed(late, again, Circumstances()).changed == ()


def test_a_meeting_called_off_is_told_only_where_it_had_a_time():
    cancelled = of_meeting(MeetingCancelled, starts_at=AT, sequence=2, reason="ill")
    outcome = handlers.meeting_cancelled(MEETING, cancelled, Circumstances())
    assert told(outcome) == both("cancelled")
    assert outcome.cleared == (("did_you_meet", str(MEETING.id)),)
    assert handlers.meeting_cancelled(after(outcome, Meeting), cancelled, Circumstances()).changed == ()
    proposed = replace(MEETING, state=MeetingState.proposed, starts_at=None, sequence=0)
    assert told(handlers.meeting_cancelled(proposed, of_meeting(MeetingCancelled), Circumstances())) == []


def test_silence_is_told_step_by_step_and_not_beside_what_says_the_same():
    stalled = quiet.pair_stalled(PAIR, of_pair(PairStalled, reason="quiet", quiet_since=NOW), Circumstances())
    assert told(stalled) == both("nudge")
    silent = after(stalled, Relationship)
    assert silent.quiet
    for reason in ("misses", "said_silent"):
        assert told(quiet.pair_stalled(PAIR, of_pair(PairStalled, reason=reason), Circumstances())) == []
    assert told(quiet.pair_warned(silent, of_pair(PairWarned, freezes_at=AT), Circumstances())) == both("warned")
    assert told(quiet.pair_frozen(silent, of_pair(PairFrozen, ends_at=AT), Circumstances())) == both("frozen")
    for template in ("nudge", "warned", "frozen"):
        assert obstacle(delivery(template), ADA, silent, None, NOW) is None
        assert obstacle(delivery(template), ADA, PAIR, None, NOW) is Failure.other, "it has recovered meanwhile"


def test_only_who_is_asked_is_asked_and_the_others_hear_the_answer():
    asked = quiet.member_asked(PAIR, of_pair(MemberAsked, person_id=ADA.id, answer_by=AT), Circumstances())
    assert told(asked) == [("asked", ADA.id)]
    waits = after(asked, Relationship)
    assert obstacle(delivery("asked"), ADA, waits, None, NOW) is None
    back = quiet.pair_recovered(waits, of_pair(PairRecovered, answered_by=ADA.id), Circumstances())
    assert ADA.id not in {person for _, person in told(back)}
    assert {template for template, _ in told(back)} == {"answered"}
    recovered = after(back, Relationship)
    assert obstacle(delivery("asked"), ADA, recovered, None, NOW) is Failure.other
    by_others = of_pair(PairRecovered, contact_id=new_id())
    assert told(quiet.pair_recovered(waits, by_others, Circumstances())) == []
    assert after(quiet.pair_recovered(waits, by_others, Circumstances()), Relationship).asked is None


def test_those_who_write_to_each_other_are_asked_after_each_interval_without_a_word():
    letters = replace(PAIR, format=Format.e_mentoring, terms=Terms(every_weeks=2))
    signed = of_pair(AgreementSigned, version=1, person_id=ADA.id, complete=True)
    first = handlers.agreement_signed(letters, signed, Circumstances())
    assert [(t.kind, t.fire_at) for t in first.timers] == [("in_touch", NOW + timedelta(weeks=2))]
    due = DueTimer("in_touch", str(PAIR.id), PAIR.id, NOW, "northwind", PROGRAM, new_id(), "", new_id())
    asked = quiet.ask_in_touch(letters, due, Circumstances())
    assert told(asked) == both("in_touch")
    assert [(t.kind, t.fire_at) for t in asked.timers] == [("ask", NOW)] * 2 + [("in_touch", NOW + timedelta(weeks=2))]
    contact = of_pair(ContactLogged, contact_id=new_id(), person_id=ADA.id, at=NOW)
    assert quiet.contact_logged(letters, contact, Circumstances()).timers[0].fire_at == NOW + timedelta(weeks=2)
    assert quiet.contact_logged(PAIR, contact, Circumstances()).timers == ()
    assert told(quiet.ask_in_touch(replace(letters, quiet=True), due, Circumstances())) == []
    assert quiet.ask_in_touch(replace(letters, ended=True), due, Circumstances()).timers == ()


@pytest.mark.parametrize("state", [MeetingState.held, MeetingState.missed, MeetingState.cancelled, MeetingState.proposed])
def test_nobody_is_asked_about_a_meeting_that_is_decided(state):
    due = DueTimer("did_you_meet", str(MEETING.id), PAIR.id, AT, "northwind", PROGRAM, new_id(), "", new_id())
    asked = handlers.ask_did_you_meet(PAIR, due, Circumstances())
    assert told(asked) == both("did_you_meet")
    assert {d.fact_id for d in asked.changed} == {MEETING.fact_id}
    decided = Circumstances(loaded=(PAIR, replace(MEETING, state=state)))
    assert told(handlers.ask_did_you_meet(PAIR, due, decided)) == []


def test_every_milestone_is_celebrated_but_an_unknown_one_the_last_which_the_last_word_is_for_and_a_goal_which_has_its_own_mail():
    for milestone in Milestone:
        event = of_pair(MilestoneReached, milestone=milestone)
        silent = {Milestone.other, Milestone.completed, Milestone.first_goal_attained}
        expected = [] if milestone in silent else both("milestone")
        assert told(handlers.milestone_reached(PAIR, event, Circumstances())) == expected


def test_who_is_to_say_whether_a_goal_is_reached_is_asked_until_that_is_settled():
    event = of_pair(AttainmentAsked, goal_id=new_id(), said_by=MENTEE, people=(MENTOR,))
    outcome = handlers.attainment_asked(PAIR, event, Circumstances())
    (asked,) = outcome.changed
    assert (asked.person_id, asked.template, asked.state) == (MENTOR, "goal_reached", State.to_ask), (
        "it goes with other questions"
    )
    mentor = replace(ADA, id=MENTOR)
    assert obstacle(asked, mentor, PAIR, None, NOW) is None
    for do, settled in (
        (handlers.goal_attained, of_pair(GoalAttained, goal_id=event.goal_id)),
        (handlers.goal_dropped, of_pair(GoalDropped, goal_id=event.goal_id, said_by=MENTEE)),
    ):
        after, *_ = do(PAIR, settled, Circumstances()).changed
        assert obstacle(asked, mentor, after, None, NOW) is not None
        assert do(after, settled, Circumstances()).changed == ()
        assert handlers.attainment_asked(after, event, Circumstances()).changed == ()
    assert handlers.attainment_asked(replace(PAIR, ended=True), event, Circumstances()).changed == ()


def test_each_goal_that_is_reached_is_celebrated_with_those_whom_it_is_about():
    outcome = handlers.goal_attained(PAIR, of_pair(GoalAttained, goal_id=new_id(), person_id=MENTEE), Circumstances())
    assert told(outcome) == both("milestone")
    third = Member(person_id=new_id(), role=Role.mentee, organization="kestrel")
    group = replace(PAIR, members=(*PAIR.members, third))
    own, ours = (of_pair(GoalAttained, goal_id=new_id(), person_id=person) for person in (third.person_id, None))
    assert {person for _, person in told(handlers.goal_attained(group, own, Circumstances()))} == {MENTOR, third.person_id}
    assert len(told(handlers.goal_attained(group, ours, Circumstances()))) == 3


def test_what_a_program_calls_its_own_milestones_is_known_and_stays_so_when_it_drops_one():
    own = [{"code": "talk", "name": "A talk"}, {"code": "visit", "name": "A visit"}]
    said = {"program": PROGRAM, "organization": "northwind", "name": "Crossing"}
    (first,) = handlers.program_known(None, ProgramLaunched(**said, policy={"milestones": own}), Circumstances()).changed
    other = ProgramChanged(**said, policy={"milestones": [{"code": "talk", "name": "A first talk"}]}, revision=2)
    (second,) = handlers.program_known(first, other, Circumstances()).changed
    assert [second.milestone(code) for code in ("talk", "visit", "else")] == ["A first talk", "A visit", ""]


def test_the_end_is_told_once():
    event = of_pair(PairEnded, reason="not_a_fit", side="mentee", rematch_first=(MENTEE,))
    outcome = handlers.pair_ended(PAIR, event, Circumstances())
    assert told(outcome) == both("ended")
    assert handlers.pair_ended(after(outcome, Relationship), event, Circumstances()).changed == ()


@pytest.mark.parametrize(
    ("formats", "talks"), [(["conversation"], True), (["one_to_one", "conversation"], False), (["one_to_one"], False)]
)
def test_a_program_in_which_people_only_talk_is_known_as_one(formats, talks):
    launched = ProgramLaunched(program=PROGRAM, organization="northwind", name="Crossing", policy={"formats": formats})
    assert after(handlers.program_known(None, launched, Circumstances()), Program).talks is talks


def test_of_a_conversation_one_mail_introduces_and_offers_times_and_one_ends_it():
    created = of_pair(PairCreated, members=PAIR.members, score=1, format=Format.conversation)
    outcome = handlers.relationship_created(None, created, Circumstances())
    assert told(outcome) == []
    once = after(outcome, Relationship)
    proposed = of_meeting(MeetingProposed, slots=(AT,), minutes=30, time_zone="UTC")
    with_times = handlers.meeting_proposed(None, proposed, Circumstances(loaded=(once, ADA)))
    assert told(with_times) == both("conversation")
    assert handlers.meeting_proposed(after(with_times, Meeting), proposed, Circumstances(loaded=(once, ADA))).changed == ()
    for said, expected in (
        ({"reason": "completed", "side": "platform", "meetings_held": 1}, both("ended")),
        ({"reason": "completed", "side": "platform"}, []),  # that it was missed has been told
        ({"reason": "no_time", "side": "platform"}, both("ended")),
        ({"reason": "no_time", "side": "mentor", "rematch_first": (MENTEE,)}, both("ended")),
    ):
        outcome = handlers.pair_ended(once, of_pair(PairEnded, **said), Circumstances())
        assert told(outcome) == expected
        assert after(outcome, Relationship).ended


def test_a_delivery_names_ids_codes_and_times_only():
    outcome = handlers.pair_ended(
        PAIR, of_pair(PairEnded, reason="completed", side="platform"), Circumstances("ithaca.PairEnded")
    )
    mentor = next(d for d in outcome.changed if isinstance(d, Delivery) and d.person_id == MENTOR)
    assert mentor.audience == ("kestrel", "northwind")
    assert mentor.fact_type == "ithaca.PairEnded"
    assert mentor.id == message_id(mentor.fact_id, "ended", MENTOR, Channel.mail)
