"""Mentors whom mentees name by mail address: as pure decisions, and behind their links over real Kafka and PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest

from services.gateway import domain, store
from services.gateway.domain import Membership, Nominations, Organization, Person, Program
from services.gateway.nominating import digest
from shared import links
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    Contact,
    Enrolment,
    Format,
    PairCreated,
    PersonStatus,
    Policy,
    Profile,
    RequestDeclined,
    Role,
    Visibility,
    partner,
)
from shared.links import wishes_id
from tests.gateway.conftest import until
from tests.gateway.test_rules import CROSSING, NORTHWIND, NOW, Circumstances
from tests.producing import send

SECOND = "northwind.second"
PAGE = {"Accept": "text/html"}


def person(own_id, role=Role.mentee, *, program=CROSSING, organization="northwind", **more):
    profile, contact = Profile(time_zone="Africa/Lagos"), Contact(name=own_id.title(), email=f"{own_id}@x.example")
    enrolments = (Enrolment(program=program, role=role),) if role else ()
    values = {"status": PersonStatus.active, "revision": 4} | more
    return Person(new_id(), organization, own_id, values.pop("status"), None, profile, contact, enrolments, **values)


OPENED = Program(
    CROSSING, "northwind", "Crossing", Policy(by_request=True, requests_at_a_time=2), audience=("northwind",), people=1
)
ADA = person("ada")


class Scene(Circumstances):
    """What the gateway knows, and what a mentee and those they name do one after the other."""

    def __init__(self, *rows):
        super().__init__(*(rows or (OPENED, ADA)))
        self.timers = {}

    def new_id(self):
        return new_id()

    def do(self, outcome):
        assert len({(type(row), row.id) for row in outcome.changed}) == len(outcome.changed)
        self.after(outcome)
        for cleared in outcome.cleared:
            self.timers.pop(cleared, None)
        self.timers |= {(t.kind, t.key): t for t in outcome.timers}
        return outcome

    def nominate(self, email, *known, mentee=ADA, program=CROSSING):
        wish = domain.Wish(program, mentee.id, "Kim", email, digest("secret", mentee.id, email), tuple(p.id for p in known))
        return self.do(domain.nominate(wish, self.get(Nominations, mentee.id), self))

    def accept(self, invited, **more):
        them = self.get(Person, invited)
        said = partner.PersonEnrolled.read(
            {"person": them.own_id, "program": CROSSING, "role": "mentor", "capacity": 1, "languages": ["en"]}
        )
        answer = domain.Answer(invited, said, CROSSING, NORTHWIND, **more)
        return self.do(domain.accept(answer, self.get(Nominations, ADA.id), self))

    def decline(self, invited):
        return self.do(domain.decline(invited, self.get(Nominations, ADA.id), self))

    def end(self, invited):
        return self.do(domain.invitation_ended(self.get(Nominations, ADA.id), SimpleNamespace(key=str(invited)), self))

    def statuses(self):
        return [one.status for one in self.get(Nominations, ADA.id).named]


def names(outcome):
    return [type(event).__name__ for event in outcome.events]


def invited():
    scene = Scene()
    (fact,) = scene.nominate("kim@y.example").events
    return scene, fact.person_id


def test_an_unknown_address_is_invited_and_takes_part_in_nothing():
    scene = Scene()
    outcome = scene.nominate("Kim@y.example")
    (fact,) = outcome.events
    assert (fact.status, fact.enrolments, fact.program, fact.invited_by, fact.audience) == ("invited", (), CROSSING, ADA.id, ())
    assert (fact.contact.email, fact.profile.time_zone) == ("Kim@y.example", "Africa/Lagos")
    assert fact.closes_at == NOW + timedelta(days=30)
    assert [(t.kind, t.key, t.owner) for t in outcome.timers] == [("invitation_ends", str(fact.person_id), ADA.id)]
    assert "y.example" not in repr(scene.get(Nominations, ADA.id))


def test_a_mentor_of_the_program_is_passed_on_whatever_their_organization():
    mentor = person("kim", Role.mentor, organization="kestrel")
    (fact,) = Scene(OPENED, ADA, mentor).nominate("kim@x.example", mentor).events
    assert (type(fact).__name__, fact.mentor_id, fact.mentor_revision, fact.said_yes) == ("MentorNominated", mentor.id, 4, False)
    assert fact.audience == ("kestrel", "northwind")


@pytest.mark.parametrize("known", [person("kim"), person("kim", None), person("kim", Role.mentor, program=SECOND)])
def test_someone_whom_the_organization_knows_and_has_not_made_a_mentor_is_not_invited(known):
    (fact,) = Scene(OPENED, ADA, known).nominate("kim@x.example", known).events
    assert (type(fact).__name__, fact.reason) == ("NominationEnded", "not_invited")


@pytest.mark.parametrize("mentor", [None, person("kim", Role.mentor), person("kim", None)])
def test_the_same_address_again_changes_nothing(mentor):
    known = [mentor] if mentor else []
    scene = Scene(OPENED, ADA, *known)
    assert scene.nominate("kim@x.example", *known).events
    assert scene.nominate("KIM@x.example", *known) == NOTHING


def test_a_mentee_names_as_many_as_may_be_asked_at_a_time_and_more_when_there_is_an_answer():
    scene, kim = invited()
    scene.nominate("lee@y.example")
    assert domain.names_left(scene.get(Nominations, ADA.id), OPENED, NOW) == 0
    assert scene.nominate("kim@y.example") == NOTHING
    with pytest.raises(Rejected, match="as many as you may"):
        scene.nominate("max@y.example")
    scene.decline(kim)
    assert names(scene.nominate("max@y.example")) == ["PersonInvited"]


def test_when_it_will_not_be_with_a_mentor_of_the_program_another_may_be_named():
    kim, lee = person("kim", Role.mentor), person("lee", Role.mentor)
    scene = Scene(OPENED, ADA, kim, lee)
    for one in (kim, lee):
        scene.nominate(f"{one.own_id}@x.example", one)
    no = RequestDeclined(request_id=new_id(), program=CROSSING, mentee_id=ADA.id, mentor_id=kim.id, reason="no_time", last=True)
    for _ in range(2):
        scene.do(domain.not_to_be(scene.get(Nominations, ADA.id), no, scene))
    assert scene.statuses() == ["over", "passed_on"]
    assert domain.names_left(scene.get(Nominations, ADA.id), OPENED, NOW) == 1
    assert scene.nominate("kim@x.example", kim) == NOTHING
    assert domain.not_to_be(None, no, scene) == NOTHING


@pytest.mark.parametrize(
    ("program", "mentee"),
    [
        (OPENED, person("ada", Role.mentor)),
        (OPENED, person("ada", None)),
        (OPENED, person("ada", status=PersonStatus.paused)),
        (OPENED, replace(ADA, enrolments=(Enrolment(program=CROSSING, role=Role.mentee, formats=(Format.e_mentoring,)),))),
        (Program(CROSSING, "northwind", "Crossing", Policy(by_request=True), closed=True), ADA),
        (Program(CROSSING, "northwind", "Crossing", Policy()), ADA),
    ],
)
def test_only_a_mentee_of_an_open_program_that_goes_by_request_names_anyone(program, mentee):
    with pytest.raises(Rejected, match="can’t name a mentor"):
        Scene(program, mentee).nominate("kim@y.example", mentee=mentee)


def test_a_yes_enrols_them_as_a_mentor_with_one_place():
    scene, kim = invited()
    enrolled, nominated = scene.accept(kim).events
    assert (enrolled.status, enrolled.revision, enrolled.contact.name, enrolled.profile.languages) == (
        "active",
        2,
        "Kim",
        ("en",),
    )
    assert [(e.program, e.role, e.capacity) for e in enrolled.enrolments] == [(CROSSING, "mentor", 1)]
    assert (nominated.mentor_id, nominated.mentor_revision, nominated.said_yes) == (kim, 2, True)
    assert scene.get(Program, CROSSING).people == 2
    assert (scene.statuses(), scene.timers) == (["joined"], {})
    assert scene.accept(kim) == scene.decline(kim) == scene.end(kim) == NOTHING


@pytest.mark.parametrize("how", ["decline", "end"])
def test_a_no_or_none_erases_them_and_the_mentee_hears_it(how):
    scene, kim = invited()
    outcome = getattr(scene, how)(kim)
    erased, ended = outcome.events
    assert (type(erased).__name__, erased.person_id, erased.audience) == ("PersonErased", kim, ())
    assert (ended.mentee_id, ended.program, ended.reason) == (ADA.id, CROSSING, "declined" if how == "decline" else "expired")
    gone = scene.get(Person, kim)
    assert (gone.contact, gone.profile, gone.own_id, gone.erased) == (None, None, None, True)
    assert scene.timers == {}
    assert scene.decline(kim) == scene.end(kim) == NOTHING


def test_who_said_no_is_not_asked_again_by_the_same_mentee_for_a_year():
    scene, kim = invited()
    scene.decline(kim)
    scene.rows[Program, SECOND] = Program(SECOND, "northwind", "Second", Policy(by_request=True))
    scene.rows[Person, ADA.id] = replace(ADA, enrolments=(*ADA.enrolments, Enrolment(program=SECOND, role=Role.mentee)))
    scene.now = NOW + timedelta(days=364)
    assert scene.nominate("kim@y.example") == scene.nominate("kim@y.example", program=SECOND) == NOTHING
    ben = person("ben")
    scene.rows[Person, ben.id] = ben
    assert names(scene.nominate("kim@y.example", mentee=ben)) == ["PersonInvited"]
    scene.now = NOW + timedelta(days=366)
    assert names(scene.nominate("kim@y.example")) == ["PersonInvited"]
    assert scene.statuses() == ["invited"]


def test_who_did_not_answer_may_be_asked_again():
    scene, kim = invited()
    scene.end(kim)
    (again,) = scene.nominate("kim@y.example").events
    assert again.person_id != kim


@pytest.mark.parametrize("over", ["closed", "left", "paused", "matched"])
def test_where_nobody_needs_an_answer_any_more_a_yes_changes_nothing(over):
    scene, kim = invited()
    match over:
        case "closed":
            scene.rows[Program, CROSSING] = replace(OPENED, closed=True)
        case "left":
            scene.rows[Person, ADA.id] = replace(ADA, enrolments=())
        case "paused":
            scene.rows[Person, ADA.id] = replace(ADA, status=PersonStatus.paused)
    assert scene.accept(kim, matched=over == "matched") == NOTHING


def test_without_a_seat_for_them_a_yes_is_refused_in_words():
    full = OPENED.with_member(Membership("kestrel", 1, Visibility.own_people, True, 1))
    mentee = person("ada", organization="kestrel")
    scene = Scene(full, mentee)
    (fact,) = scene.nominate("kim@y.example", mentee=mentee).events
    said = partner.PersonEnrolled.read({"person": fact.own_id, "program": CROSSING, "role": "mentor"})
    kestrel = Organization("kestrel", "Kestrel", None, "UTC", "en", NOW)
    with pytest.raises(Rejected, match="no place left"):
        domain.accept(domain.Answer(fact.person_id, said, CROSSING, kestrel), scene.get(Nominations, mentee.id), scene)


def test_with_the_mentee_what_they_named_is_forgotten_and_who_was_invited_is_erased_in_time():
    scene, kim = invited()
    outcome = domain.erase(scene.get(Person, ADA.id), 4, (), scene)
    assert outcome.removed == (scene.get(Nominations, ADA.id),)
    scene.after(outcome)
    del scene.rows[Nominations, ADA.id]
    assert names(scene.end(kim)) == ["PersonErased"]


# ---- behind the links


class Mentee:
    """A mentee of a program of their own that goes by request, with their link."""

    def __init__(self, gate, partner_, key):
        self.gate, self.partner, self.id = gate, partner_, UUID(key)
        self.http = httpx.AsyncClient(base_url=gate.http.base_url, headers=PAGE, timeout=30)

    @property
    def program(self):
        return f"{self.partner.name}.crossing"

    def url(self, action, thing, who, *, days=40.0):
        expires = datetime.now(UTC) + timedelta(days=days)
        return links.mint(action, thing, who, 1, expires).url("", self.gate.stage.link_secret)

    @property
    def own(self):
        return self.url("nominate", wishes_id(self.program, self.id), self.id)

    def invitation(self, invited):
        return self.url("invited", self.id, UUID(invited))

    async def name(self, email, name="Kim Okafor"):
        return await self.http.post(self.own, data={"name": name, "email": email}, follow_redirects=True)

    async def answer(self, invited, **form):
        return await self.http.post(self.invitation(invited), data=form, follow_redirects=True)

    async def told(self, topic):
        """Types and data, in the order in which they were decided."""
        facts = sorted(await self.gate.facts(topic, self.partner.name), key=lambda fact: fact["ce_recordedtime"])
        return [(fact["ce_type"].removeprefix("ithaca."), fact["data"]) for fact in facts]


YES = {"do": "yes", "time_zone": "Europe/Lisbon", "languages": ["en", "pt"], "skills": "Public Speaking, python"}


@pytest.fixture
async def mentee(gate):
    partner_ = await gate.organization()
    policy = {"by_request": True, "requests_at_a_time": 2}
    await partner_.say("ProgramLaunched", program="crossing", name="Crossing", policy=policy)
    said = await partner_.say(
        "PersonEnrolled", person="n1", program="crossing", role="mentee", name="Ada Obi", email="ada@x.example"
    )
    made = Mentee(gate, partner_, said["person"])
    yield made
    await made.http.aclose()


@pytest.mark.platform
async def test_a_mentee_names_someone_who_says_yes(gate, mentee):
    assert "Do you know who should be your mentor?" in (await mentee.http.get(mentee.own)).text
    assert "Thank you. We ask them kindly" in (await mentee.name("kim@y.example")).text
    kind, invited = (await mentee.told("people"))[-1]
    assert (kind, invited["status"], invited["contact"]["email"]) == ("PersonInvited", "invited", "kim@y.example")
    assert (await mentee.partner.get("/v1/programs/crossing")).json()["roster"]["people"] == 1
    page = (await mentee.http.get(mentee.invitation(invited["person_id"]))).text
    assert "Would you be Ada Obi’s mentor?" in page
    assert "<option selected>Africa/Lagos</option>" in page
    for wrong in ({"languages": []}, {"time_zone": "Nowhere"}, {"skills": "?"}, {"do": "maybe"}):
        assert (await mentee.answer(invited["person_id"], **(YES | wrong))).status_code == 422
    for _ in range(2):
        assert "You said yes" in (await mentee.answer(invited["person_id"], **YES)).text
    assert "You said yes" in (await mentee.answer(invited["person_id"], do="no")).text
    kind, enrolled = (await mentee.told("people"))[-1]
    assert (kind, enrolled["person_id"], enrolled["status"]) == ("PersonEnrolled", invited["person_id"], "active")
    assert (enrolled["profile"]["languages"], enrolled["profile"]["skills_offered"]) == (
        ["en", "pt"],
        ["public-speaking", "python"],
    )
    ((kind, nominated),) = await mentee.told("reports")
    assert (kind, nominated["mentor_id"], nominated["said_yes"]) == ("MentorNominated", invited["person_id"], True)
    assert (await mentee.partner.get("/v1/programs/crossing")).json()["roster"]["people"] == 2


@pytest.mark.platform
async def test_an_organization_does_not_hear_of_whoever_has_not_said_yes_by_any_id(gate, mentee):
    await mentee.name("kim@y.example")
    _, invited = (await mentee.told("people"))[-1]
    ours, own = invited["person_id"], invited["own_id"]
    for name in (ours, own):
        assert (await mentee.partner.get(f"/v1/people/{name}")).status_code == 404
        assert (await mentee.partner.delete(f"/v1/people/{name}")).status_code == 404
    posted = [
        mentee.partner.person(own, role="mentor"),
        mentee.partner.event("ProfileChanged", person=own, locale="pt"),
        mentee.partner.event("PersonWithdrawn", person=own),
    ]
    results = (await mentee.partner.post(*posted)).json()["results"]
    assert [one["status"] for one in results] == ["rejected"] * 3
    assert [kind for kind, _ in await mentee.told("people")] == ["PersonEnrolled", "PersonInvited"]
    assert "You said yes" in (await mentee.answer(ours, **YES)).text
    assert (await mentee.partner.get(f"/v1/people/{ours}")).json()["own_id"] == own


@pytest.mark.platform
async def test_a_no_erases_the_address_and_the_same_one_is_not_asked_again(gate, mentee):
    await mentee.name("kim-unique@y.example")
    _, invited = (await mentee.told("people"))[-1]
    assert "You said no, and that is fine" in (await mentee.answer(invited["person_id"], do="no")).text
    await mentee.name("KIM-unique@y.example")
    assert [kind for kind, _ in await mentee.told("people")] == ["PersonEnrolled", "PersonInvited", "PersonErased"]
    assert [(kind, data["reason"]) for kind, data in await mentee.told("reports")] == [("NominationEnded", "declined")]
    tables = await gate.sql("select relname from pg_class where relnamespace = 'gateway'::regnamespace and relkind = 'r'")
    for table in tables:
        rows = await gate.sql(f"select t::text from {table['relname']} t")
        assert "kim-unique" not in str(rows).lower(), table["relname"]


@pytest.mark.platform
async def test_a_form_sent_twice_at_once_invites_once_and_answers_that_race_are_one(gate, mentee):
    pages = await asyncio.gather(*(mentee.name("kim@y.example") for _ in range(6)))
    assert {page.status_code for page in pages} == {200}
    facts = await mentee.told("people")
    assert [kind for kind, _ in facts] == ["PersonEnrolled", "PersonInvited"]
    invited = facts[-1][1]["person_id"]
    await asyncio.gather(*(mentee.answer(invited, **(YES if n % 2 else {"do": "no"})) for n in range(6)))
    after = [kind for kind, _ in (await mentee.told("people"))[2:]]
    assert after in (["PersonEnrolled"], ["PersonErased"])
    assert len(await mentee.told("reports")) == 1


@pytest.mark.platform
async def test_the_form_says_the_same_of_every_address_and_stops_at_as_many_as_may_be_asked(gate, mentee):
    await mentee.partner.say("PersonEnrolled", person="m1", program="crossing", role="mentor", email="mentor@x.example")
    for wrong in (
        {"name": "", "email": "kim@y.example"},
        {"name": "Kim", "email": "kim"},
        {"name": "Kim", "email": "kím@y.example"},
    ):
        assert (await mentee.http.post(mentee.own, data=wrong)).status_code == 422
    known = (await mentee.name("Mentor@x.example")).text
    colleague = (await mentee.name("ada@x.example")).text
    assert "You may name one more" in known
    assert "as many as you may at once" in colleague
    assert (await mentee.name("kim@y.example")).status_code == 409
    assert [kind for kind, _ in await mentee.told("reports")] == ["MentorNominated", "NominationEnded"]
    assert [kind for kind, _ in await mentee.told("people")] == ["PersonEnrolled", "PersonEnrolled"]


@pytest.mark.platform
async def test_links_are_checked_and_looking_changes_nothing(gate, mentee):
    await mentee.name("kim@y.example")
    _, invited = (await mentee.told("people"))[-1]
    own, theirs = mentee.own, mentee.invitation(invited["person_id"])
    rows = "select t::text, xmin::text from people t union all select t::text, xmin::text from nominations t order by 1"
    before = await gate.sql(rows)
    for path in (own, theirs):
        assert (await mentee.http.head(path)).status_code == (await mentee.http.get(path)).status_code == 200
        assert (await mentee.http.get(path[:-1] + ("0" if path[-1] != "0" else "1"))).status_code == 403
    assert await gate.sql(rows) == before
    assert (await mentee.http.get(mentee.url("nominate", mentee.id, mentee.id))).status_code == 403
    assert (await mentee.http.get(mentee.url("nominate", new_id(), new_id()))).status_code == 404
    assert (await mentee.http.get(mentee.url("invited", mentee.id, new_id()))).status_code == 404
    assert (await mentee.http.get(mentee.url("invited", mentee.id, UUID(invited["person_id"]), days=-1))).status_code == 410
    await mentee.partner.say("ProgramClosed", program="crossing")
    assert "This invitation is over" in (await mentee.http.get(theirs)).text
    assert "This invitation is over" in (await mentee.answer(invited["person_id"], **YES)).text
    assert "can’t name a mentor just now" in (await mentee.http.get(own)).text
    assert len(await mentee.told("people")) == 2


@pytest.mark.platform
async def test_without_an_answer_the_address_is_gone_after_thirty_days(gate, mentee):
    await mentee.name("kim-late@y.example")
    _, invited = (await mentee.told("people"))[-1]
    await gate.stage.move_clock(timedelta(days=30, minutes=1))
    gone = "select 1 from people where id = $1 and erased and contact is null"
    assert await until(partial(gate.sql, gone, UUID(invited["person_id"])))
    assert [(kind, data["reason"]) for kind, data in await mentee.told("reports")] == [("NominationEnded", "expired")]
    page = (await mentee.http.get(mentee.url("invited", mentee.id, UUID(invited["person_id"]), days=80))).text
    assert "This invitation is over" in page


@pytest.mark.platform
async def test_the_page_says_of_what_is_kept_what_is_true_when_the_mentee_is_erased(gate, mentee):
    pages = []
    for email in ("kim@y.example", "lee@y.example"):
        await mentee.name(email)
        pages.append(mentee.invitation((await mentee.told("people"))[-1][1]["person_id"]))
    assert "You said yes" in (await mentee.http.post(pages[1], data=YES, follow_redirects=True)).text
    await mentee.partner.delete("/v1/people/n1")
    asked, joined = [(await mentee.http.get(page)).text for page in pages]
    assert "This invitation is over" in asked
    assert "are deleted within 30 days" in asked
    assert "This invitation is over" in joined
    assert "deleted" not in joined


@pytest.mark.platform
@pytest.mark.parametrize(("form", "matched"), [("one_to_one", True), ("reverse", False), ("conversation", False)])
async def test_who_has_a_mentor_names_nobody_and_whom_they_mentor_in_reverse_or_talk_with_once_is_none(
    gate, mentee, form, matched
):
    roles = ("mentor", "mentee") if form == "one_to_one" else ("mentee", "mentor")
    people = zip(roles, (new_id(), mentee.id), strict=True)
    members = [{"person_id": who, "role": role, "organization": mentee.partner.name} for role, who in people]
    fact = PairCreated(
        relationship_id=new_id(), program=mentee.program, format=form, members=members, score=1, audience=(mentee.partner.name,)
    )
    await send(gate.stage.kafka, fact, organization=mentee.partner.name, program=mentee.program)
    assert await until(partial(gate.sql, "select 1 from relationships where id = $1", fact.relationship_id))
    assert ("You have a mentor" in (await mentee.http.get(mentee.own)).text) is matched


@pytest.mark.platform
async def test_an_address_is_looked_up_among_many_people_by_index(gate, mentee):
    await gate.sql(
        """insert into people select gen_random_uuid(), 'many', 'p' || n, 'active', null, '{}',
        jsonb_build_object('name', 'N', 'email', 'p' || n || '@many.example'), '[]', 1, false from generate_series(1, 20000) n"""
    )
    await gate.sql("analyze people")
    async with gate.service.database.transaction() as connection:
        plan = await connection.fetch(f"explain {store.ADDRESSED}", "p1@many.example", "many", mentee.program)
        assert "people_email" in str(plan), plan
        assert len(await store.addressed(connection, "P1@many.example", "many", mentee.program)) == 1
        assert await store.addressed(connection, "P1@many.example", "other", mentee.program) == []
