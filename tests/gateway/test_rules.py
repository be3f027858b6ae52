"""What the gateway decides, as plain functions: tables of cases, and properties that hold for any story."""

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway import domain, handlers
from services.gateway.domain import Intake, IntakeStatus, Membership, Named, Organization, Person, Posted, Program, Relationship
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Raced, Rejected
from shared.events import MeetingHeld, Member, MemberJoined, MemberLeft, Policy, ReportRejected, Role, Visibility, partner

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NORTHWIND = Organization("northwind", "Northwind", "NG", "Africa/Lagos", "en", NOW)
KESTREL = Organization("kestrel", "Kestrel", "BR", "America/Sao_Paulo", "pt", NOW)
CROSSING = "northwind.crossing"


class Circumstances:
    """The part of a context that rules see: time, ids, and rows by kind and key."""

    def __init__(self, *rows):
        self.rows = {(type(row), row.id): row for row in rows}
        self.id, self.now, self.time = new_id(), NOW, NOW

    def get(self, kind, key):
        return self.rows.get((kind, key))

    def after(self, outcome):
        for row in outcome.changed:
            self.rows[type(row), row.id] = row
        return self


def program(*members, closed=False):
    made = Program(CROSSING, "northwind", "Crossing", Policy(), closed=closed, audience=("northwind",))
    for member in members:
        made = made.with_member(member)
    return made


def seat(seats=2, *, joined=True, people=0):
    return Membership("kestrel", seats, Visibility.own_people, joined, people)


def enrolled(person, **more):
    return partner.PersonEnrolled.read({"person": person, "program": CROSSING, "role": "mentee"} | more)


def test_the_owner_enrols_and_the_roster_counts():
    named = Named(NORTHWIND, CROSSING, new_id())
    outcome = domain.person_enrolled(enrolled("n1", capacity=3), named, Circumstances(program()))
    person, moved = outcome.changed
    (fact,) = outcome.events
    assert (person.revision, moved.people, moved.revisions) == (1, 1, 1)
    assert (fact.person_id, fact.enrolments[0].capacity, fact.profile.time_zone) == (named.person, 3, "Africa/Lagos")
    assert fact.contact.name == "n1"


@pytest.mark.parametrize(
    ("there", "sender", "code"),
    [
        (None, NORTHWIND, "unknown_program"),
        (None, KESTREL, "not_shared"),
        (program(), KESTREL, "not_shared"),
        (program(seat(joined=False)), KESTREL, "not_joined"),
        (program(seat(2, people=2)), KESTREL, "no_seat"),
        (program(seat(), closed=True), KESTREL, "program_closed"),
        (program(closed=True), NORTHWIND, "program_closed"),
    ],
)
def test_who_may_enrol_where(there, sender, code):
    with pytest.raises(Rejected) as refusal:
        domain.person_enrolled(enrolled("x"), Named(sender, CROSSING, new_id()), Circumstances(*([there] if there else [])))
    assert refusal.value.code == code
    assert refusal.value.field == "data.program"


def test_a_person_erased_or_enrolled_elsewhere_since_we_looked_is_looked_up_again():
    key = new_id()
    gone = Person(key, "northwind", None, "withdrawn", None, None, None, (), 3, erased=True)
    for rule, said in (
        (domain.person_enrolled, enrolled("x")),
        (domain.profile_changed, partner.ProfileChanged.read({"person": "x"})),
    ):
        with pytest.raises(Raced):
            rule(said, Named(NORTHWIND, CROSSING, key), Circumstances(program(), gone))
    here = Circumstances(program())
    here.after(domain.person_enrolled(enrolled("x"), Named(NORTHWIND, CROSSING, key), here))
    del here.rows[Program, CROSSING]
    with pytest.raises(Raced):
        domain.profile_changed(partner.ProfileChanged.read({"person": "x", "title": "T"}), Named(NORTHWIND, None, key), here)


@pytest.mark.parametrize(
    ("said", "armed", "cleared"),
    [({"person": "n1"}, 0, 1), ({"person": "n1", "until": "2026-04-01T00:00:00Z"}, 1, 0)],
)
def test_a_pause_arms_its_end_where_it_has_one(said, armed, cleared):
    here, named = Circumstances(program()), Named(NORTHWIND, CROSSING, new_id())
    here.after(domain.person_enrolled(enrolled("n1"), named, here))
    outcome = domain.person_paused(partner.PersonPaused.read(said), named, here)
    assert (len(outcome.timers), len(outcome.cleared)) == (armed, cleared)
    assert outcome.events[0].status == "paused"


def test_a_pause_ends_only_if_it_is_still_the_same():
    here, named = Circumstances(program()), Named(NORTHWIND, CROSSING, new_id())
    here.after(domain.person_enrolled(enrolled("n1"), named, here))
    until = NOW + timedelta(days=3)
    here.after(domain.person_paused(partner.PersonPaused.read({"person": "n1", "until": until.isoformat()}), named, here))
    person = here.get(Person, named.person)

    @dataclasses.dataclass
    class Due:
        fire_at: datetime
        owner: UUID = named.person

    assert handlers.pause_ended(person, Due(until - timedelta(days=1)), here) == NOTHING
    outcome = handlers.pause_ended(person, Due(until), here)
    assert (outcome.events[0].TYPE, outcome.events[0].status) == ("ithaca.PersonResumed", "active")
    assert handlers.pause_ended(here.after(outcome).get(Person, named.person), Due(until), here) == NOTHING


def intake(status):
    return Intake(new_id(), "northwind", "/a", "1", "ithaca.MeetingReported", "", status, (), None, None, None, CROSSING, NOW)


@pytest.mark.parametrize(
    ("before", "after"),
    [(IntakeStatus.waiting, "applied"), (IntakeStatus.applied, "applied"), (IntakeStatus.rejected, "rejected")],
)
def test_a_fact_that_names_a_posted_event_as_its_cause_applies_it(before, after):
    here = Circumstances()
    fact = MeetingHeld.model_construct()
    (now,) = handlers.answered(intake(before), fact, here).changed
    assert (now.status, now.caused) == (after, (str(here.id),))
    assert handlers.answered(now, fact, here) == NOTHING, "once"
    assert handlers.answered(None, fact, here) == NOTHING
    full = dataclasses.replace(now, caused=tuple(str(n) for n in range(domain.MOST_CAUSED)))
    assert handlers.answered(full, fact, Circumstances()) == NOTHING


@pytest.mark.parametrize(("before", "after"), [(IntakeStatus.waiting, "rejected"), (IntakeStatus.applied, "applied")])
def test_a_rejection_counts_while_the_event_waits(before, after):
    no = ReportRejected(organization="northwind", report_id="1", report_source="/a", reason="too_long_ago")
    outcome = handlers.refused(intake(before), no, Circumstances())
    assert (outcome.changed[0].status if outcome.changed else before) == after


def test_every_type_that_may_be_posted_has_a_rule():
    assert {*domain.RULES, *domain.REPORTS} == set(partner.PARTNER.values())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enrol", "enrol", "profile", "pause", "resume", "withdraw", "withdraw_one", "erase", "leave"]),
        st.integers(0, 3),
        st.sampled_from(["northwind.crossing", "northwind.second"]),
        st.sampled_from(["mentor", "mentee"]),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_rosters_and_seats_equal_what_the_people_say(steps):
    """Whatever happens: a program's counts are those of its people, revisions rise by one, seats hold."""
    first = program(seat(3))
    second = dataclasses.replace(first, id="northwind.second")
    here = Circumstances(first, second)
    ids = {n: new_id() for n in range(4)}
    revisions: dict[UUID, int] = {}
    for number, (step, n, where, role) in enumerate(steps):
        named = Named(KESTREL, where, ids[n])
        person = here.get(Person, ids[n])
        try:
            match step:
                case "enrol":
                    said = partner.PersonEnrolled.read({"person": f"k{n}", "program": where, "role": role})
                    outcome = domain.person_enrolled(said, named, here)
                case "profile":
                    said = partner.ProfileChanged.read({"person": f"k{n}", "title": f"Title {number}"})
                    outcome = domain.profile_changed(said, named, here)
                case "pause":
                    outcome = domain.person_paused(partner.PersonPaused.read({"person": f"k{n}"}), named, here)
                case "resume":
                    outcome = domain.person_resumed(partner.PersonResumed.read({"person": f"k{n}"}), named, here)
                case "withdraw":
                    outcome = domain.person_withdrawn(partner.PersonWithdrawn.read({"person": f"k{n}"}), named, here)
                case "withdraw_one":
                    said = partner.PersonWithdrawn.read({"person": f"k{n}", "program": where})
                    outcome = domain.person_withdrawn(said, named, here)
                case "erase":
                    outcome = domain.erase(person, person.revision if person else 0, (), here)
                    ids[n] = new_id()
                case "leave":
                    there = [p for p in here.rows.values() if isinstance(p, Person) and p.enrolment(where)]
                    named = dataclasses.replace(named, leaving=tuple(p.id for p in there))
                    outcome = domain.program_left(partner.ProgramLeft.read({"program": where}), named, here)
        except Rejected:
            continue
        for fact in outcome.events:
            if hasattr(fact, "person_id"):
                assert fact.revision == revisions.get(fact.person_id, 0) + 1
                revisions[fact.person_id] = fact.revision
        here.after(outcome)
        for name in (first.id, second.id):
            now = here.get(Program, name)
            there = [e for p in here.rows.values() if isinstance(p, Person) for e in p.enrolments if e.program == name]
            assert (now.people, now.revisions) == (len(there), sum(e.revision for e in there))
            member = now.membership("kestrel")
            if member is not None:
                assert member.people == len(there) <= member.seats


def test_a_posted_event_is_remembered_with_what_it_became():
    here = Circumstances(program())
    said = enrolled("n1")
    outcome = domain.take(Posted(0, "/northwind/hr", "a-1", said, None, "00" * 32), Named(NORTHWIND, CROSSING, new_id()), here)
    kept = outcome.result
    assert kept in outcome.changed
    assert (kept.id, kept.status, kept.caused, kept.own_id) == (here.id, "applied", (str(here.id),), "a-1")


def test_an_organization_that_has_nobody_in_a_group_any_more_sees_it_until_someone_joins():
    left, comes = (Member(person_id=new_id(), role=Role.peer, organization=home) for home in ("kestrel", "orchard"))
    people, audience = (str(left.person_id), str(new_id())), ("kestrel", "northwind")
    group, context = Relationship(new_id(), "northwind", CROSSING, people, audience), Circumstances()
    about = {"relationship_id": group.id, "program": CROSSING}
    (group,) = handlers.member_left(group, MemberLeft(**about, member=left, reason="own_wish"), context).changed
    assert group.audience == audience, "a late report of a meeting they were at still finds it"
    fact = MemberJoined(**about, member=comes, audience=("northwind", "orchard"))
    (group,) = handlers.member_joined(group, fact, context).changed
    assert group.audience == ("northwind", "orchard")
