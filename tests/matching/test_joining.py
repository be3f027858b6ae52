"""Somebody comes into a group in mid-course: seats and rules hold whatever is asked at once, and it is told once."""

import asyncio
import random
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.matching.domain.joining import join, seats
from services.matching.domain.leaving import went_out
from services.matching.domain.model import (
    Met,
    Person,
    PersonalRule,
    Relationship,
    RelationshipStatus,
    Waiting,
)
from services.matching.domain.newcomers import among, best, newcomers, scores
from services.matching.domain.runs import apply_pair
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Raced, Rejected
from shared.events import (
    Format,
    Member,
    MemberWentOut,
    PersonStatus,
    Policy,
    ProgramChanged,
    ProgramClosed,
    Role,
    WaitlistReason,
)
from shared.events.onboarding import PersonalQuestion
from tests.conftest import waiting
from tests.matching.conftest import until
from tests.matching.people import person_id, record
from tests.matching.test_coordinating import browsing, sign_in, token_of
from tests.matching.test_decisions import CIRCLE, NOW, OPEN, PEERS, PROGRAM, context, of, person, told
from tests.matching.test_flow import AFTERNOON
from tests.matching.test_survives import process, up

CIRCLES = replace(OPEN, policy=Policy(formats=(Format.circle,), least_circle_size=3, most_circle_size=5))
GROUPS = replace(OPEN, policy=Policy(formats=(Format.group,), least_group_size=2, most_group_size=3))
COMES = replace(person("p9", Role.peer), waiting=(Waiting(PROGRAM, NOW - timedelta(days=9), WaitlistReason.no_capacity),))


def begun(program=CIRCLES, people=PEERS, found=CIRCLE):
    """The group, and its people in it."""
    group, *seated = apply_pair(replace(found, format=program.policy.formats[0]), context(program, *people)).changed
    return group, seated


def group_of(mentors, mentees):
    """As a run finds it."""
    people = (*mentors, *mentees)
    roles = [Role.mentor] * len(mentors) + [Role.mentee] * len(mentees)
    members = tuple(Member(person_id=p.id, role=r, organization="northwind") for p, r in zip(people, roles, strict=True))
    return replace(CIRCLE, people=tuple(str(p.id) for p in people), members=members, format=Format.group), people


def asked(who, group, people, program=CIRCLES, others=()):
    """How someone compares, and what is decided of it."""
    known = {p.id: p for p in (*people, *others, who)}
    found = newcomers(group, known, program, NOW, named=(who.id,))
    return join(who.id, next(iter(found), None), group, context(program, group, *known.values()))


def test_who_joins_has_a_place_beside_everyone_and_everyone_one_beside_them():
    group, seated = begun()
    outcome = asked(COMES, group, seated)
    (after,), people = of(outcome, Relationship), {p.id: p for p in of(outcome, Person)}
    (fact,) = outcome.events
    assert (told(outcome), fact.member, fact.relationship_id) == (["MemberJoined"], after.members[-1], group.id)
    assert (after.members[:-1], after.people[-1]) == (group.members, str(COMES.id))
    assert {place.partner for place in people[COMES.id].places} == {peer.id for peer in PEERS}
    assert (people[COMES.id].waiting, people[COMES.id].places_left(PROGRAM, CIRCLES.policy)) == ((), 0)
    assert all(COMES.id in people[peer.id].partners(PROGRAM) and len(people[peer.id].places) == 4 for peer in PEERS)
    assert outcome.result == after
    assert asked(people[COMES.id], after, list(people.values())) == NOTHING.returning(after)


def test_their_organization_sees_the_group_from_then_on_and_those_who_asked_them_are_not_kept_waiting():
    group, seated = begun()
    kestrel = replace(COMES, organization="kestrel")
    asking = replace(CIRCLES, policy=CIRCLES.policy.model_copy(update={"by_request": True}))
    outcome = asked(kestrel, group, seated, asking)
    assert outcome.events[0].audience == of(outcome, Relationship)[0].audience == ("kestrel", "northwind")
    assert [(timer.kind, timer.owner) for timer in outcome.timers] == [("requests_of", COMES.id)]


def test_an_organization_whose_last_member_has_left_does_not_learn_who_joins():
    last = replace(PEERS[3], organization="kestrel")
    found = replace(CIRCLE, members=(*CIRCLE.members[:3], CIRCLE.members[3].model_copy(update={"organization": "kestrel"})))
    group, seated = begun(people=(*PEERS[:3], last), found=replace(found, audience=("kestrel", "northwind")))
    left = went_out(
        group,
        MemberWentOut(relationship_id=group.id, program=PROGRAM, person_id=last.id, role=Role.peer, reason="moved_on"),
        context(CIRCLES, *seated),
    )
    (smaller,) = of(left, Relationship)
    assert (left.events[0].audience, smaller.audience) == (("kestrel", "northwind"), ("northwind",))
    outcome = asked(COMES, smaller, of(left, Person))
    assert (outcome.events[0].audience, of(outcome, Relationship)[0].audience) == (("northwind",), ("northwind",))


@pytest.mark.parametrize(
    ("comes", "program", "group", "code", "words"),
    [
        ({"status": PersonStatus.paused}, {}, {}, "may_not_join", "they don’t take part in this way"),
        ({"unavailable": (PROGRAM,)}, {}, {}, "may_not_join", "they have no place left"),
        ({"met": (Met(PROGRAM, PEERS[0].id, NOW - timedelta(days=3)),)}, {}, {}, "may_not_join", "met not long ago"),
        ({"enrolments": ()}, {}, {}, "unknown_person", "Nobody in this program"),
        ({}, {"closed": True}, {}, "no_seat", "no seat for one more peer here: the program is closed"),
        ({}, {"policy": Policy(formats=(Format.peer_pair,))}, {}, "no_seat", "doesn’t bring people together in this way"),
        ({}, {"policy": Policy(formats=(Format.circle,), most_circle_size=4, least_circle_size=3)}, {}, "no_seat", "it is full"),
        ({}, {}, {"status": RelationshipStatus.ended}, "no_seat", "no seat"),
        ({}, {}, {"run_id": None}, "no_seat", "no seat"),
    ],
)
def test_whoever_may_not_join_is_refused_and_the_coordinator_reads_why(comes, program, group, code, words):
    known, seated = begun()
    with pytest.raises(Rejected, match=words) as refused:
        asked(replace(COMES, **comes), replace(known, **group), seated, replace(CIRCLES, **program))
    assert refused.value.code == code
    with pytest.raises(Rejected):
        join(COMES.id, None, None, context(CIRCLES))


def test_a_wish_of_anyone_there_keeps_somebody_out_and_no_rule_is_told_of_where_there_may_be_wishes():
    question = PersonalQuestion(attribute="gender", answers=("woman", "man"))
    asks = replace(CIRCLES, policy=CIRCLES.policy.model_copy(update={"personal_rules": (question,)}))
    group, seated = begun()
    wishes = [replace(seated[0], personal_rules=(PersonalRule(PROGRAM, "gender", NOW, "woman", only_same=True),)), *seated[1:]]
    for people, comes in ((wishes, COMES), (seated, replace(COMES, met=(Met(PROGRAM, PEERS[0].id, NOW),)))):
        with pytest.raises(Rejected, match="may not be brought together"):
            asked(comes, group, people, asks)
    said = replace(COMES, personal_rules=(PersonalRule(PROGRAM, "gender", NOW, "woman"),))
    assert told(asked(said, group, wishes, asks)) == ["MemberJoined"]


def test_what_was_compared_before_somebody_changed_came_or_went_is_compared_again():
    group, seated = begun()
    people = {p.id: p for p in (*seated, COMES)}
    (found,) = newcomers(group, people, CIRCLES, NOW, named=(COMES.id,))
    smaller = replace(group, members=group.members[1:], people=group.people[1:])
    changes = [
        (group, CIRCLES, [*seated, replace(COMES, revision=2)]),
        (group, CIRCLES, [replace(seated[0], revision=2), *seated[1:], COMES]),
        (group, replace(CIRCLES, revision=2), [*seated, COMES]),
        (smaller, CIRCLES, [*seated, COMES]),
        (group, CIRCLES, [*seated[1:], COMES]),
    ]
    for now, program, known in changes:
        assert join(COMES.id, found, now, context(program, *known)) == NOTHING.returning(Raced)
    assert join(COMES.id, None, group, context(CIRCLES, *people.values())) == NOTHING.returning(Raced)
    assert told(join(COMES.id, found, group, context(CIRCLES, *people.values()))) == ["MemberJoined"]


def test_those_who_may_join_come_best_first_and_a_rule_keeps_one_from_a_member_who_has_a_break():
    mentor = person("k1", Role.mentor, capacity=2, skills_offered=("sql", "go"), languages=("en",))
    there = [person(f"n{n}", Role.mentee, skills_wanted=("sql",), languages=("en", "pt")[n:]) for n in range(2)]
    group, seated = begun(GROUPS, *reversed(group_of([mentor], there)))
    fits = person("n7", Role.mentee, skills_wanted=("sql",), languages=("en", "pt"))
    less = person("n8", Role.mentee, skills_wanted=("cloud",), languages=("en", "pt"))
    apart = person("n9", Role.mentee, skills_wanted=("sql",), languages=("en",))
    leads = person("k2", Role.mentor, skills_offered=("sql",), languages=("en", "pt"))
    resting = [replace(p, status=PersonStatus.paused) if p.id == there[1].id else p for p in seated]
    taken = replace(person("n6", Role.mentee, skills_wanted=("sql",), languages=("en", "pt")), unavailable=(PROGRAM,))
    people = {p.id: p for p in (*resting, fits, less, apart, leads, taken)}
    found = newcomers(group, people, GROUPS, NOW)
    assert {one.person_id for one in found} == {fits.id, less.id, leads.id}
    assert [one.person_id for one in found if one.role is Role.mentee] == [fits.id, less.id]
    assert found[0].reasons[0].items == ("sql",)
    assert [(one.person_id, one.against) for one in newcomers(group, people, GROUPS, NOW, [apart.id])] == [(apart.id, "language")]
    with pytest.raises(Rejected, match="no language in common"):
        asked(apart, group, resting, GROUPS, [fits, less])


SKILLS, TONGUES = ("sql", "go", "cloud", "design", "python"), ("en", "pt", "fr")


def crowd(dice, form, count=60):
    """So many who say all kinds of things, or nothing; peers, or one mentor to three others."""
    for n in range(count):
        role = Role.peer if form is Format.circle else Role.mentee if n % 4 else Role.mentor
        said = {
            "skills_wanted": tuple(dice.sample(SKILLS, 2)),
            "skills_offered": tuple(dice.sample(SKILLS, 2)),
            "languages": tuple(dice.sample(TONGUES, 2)),
            "years_experience": dice.randrange(30),
            "availability": AFTERNOON if dice.random() < 0.7 else AFTERNOON[:1],
            "reports_to": f"q{dice.randrange(count)}",
        }
        yield person(f"q{n}", role, **{name: value for name, value in said.items() if dice.random() < 0.8})


@pytest.mark.parametrize("form", [Format.circle, Format.group])
def test_all_are_ranked_at_once_by_the_scores_and_rules_by_which_each_is_compared(form):
    program = replace(
        CIRCLES if form is Format.circle else GROUPS, policy=Policy(formats=(form,), most_group_size=9, least_overlap_hours=2)
    )
    people = list(crowd(random.Random(3), form))
    if form is Format.circle:
        found = replace(CIRCLE, people=tuple(str(p.id) for p in people[:4]), members=tuple(
            Member(person_id=p.id, role=Role.peer, organization="northwind") for p in people[:4]
        ))  # fmt: skip
    else:
        found, _ = group_of(people[:1], people[1:4])
    group, seated = begun(program, people[:4], found)
    known = {p.id: p for p in (*people, *seated)}
    listed = newcomers(group, known, program, NOW)
    each = [newcomers(group, known, program, NOW, named=(p.id,))[0] for p in people[4:]]
    allowed = sorted((one for one in each if one.against is None), key=lambda one: (-one.score, one.person_id))
    assert listed == allowed
    assert len({one.role for one in listed}) == (1 if form is Format.circle else 2)
    assert 10 < len(listed) < len(each), "some may, and some may not"
    assert newcomers(group, known, program, NOW, most=3) == listed[:3]
    field, there = among(group, seated, known.values(), program, NOW)
    coming = [field.people[str(p.id)] for p in people[4:]]
    for role in {one.role for one in coming}:
        side = [one for one in coming if one.role is role]
        compared = [field.joining(one, there) for one in side]
        assert scores(side, role, field, there).tolist() == [one[0] if isinstance(one, tuple) else -1 for one in compared]
    assert [one.id for one in best(coming, field, there)] == [str(one.person_id) for one in listed]


def test_a_group_takes_two_mentors_at_most_and_as_many_mentees_as_its_program_says():
    mentors, mentees = [person(f"k{n}", Role.mentor) for n in range(2)], [person(f"n{n}", Role.mentee) for n in range(3)]
    for some, others, free in (
        (mentors[:1], mentees[:2], {Role.mentor, Role.mentee}),
        (mentors, mentees[:2], {Role.mentee}),
        (mentors[:1], mentees, {Role.mentor}),
        (mentors, mentees, set()),
    ):
        group = replace(group_of(some, others)[0], status=RelationshipStatus.active)
        assert set(seats(group, GROUPS.policy)) == free
    assert seats(replace(CIRCLE, format=Format.one_to_one, status=RelationshipStatus.active), CIRCLES.policy) == ()


MANY = tuple(person(f"q{n}", Role.peer) for n in range(9))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), max_size=30))
def test_whoever_comes_and_goes_places_and_members_are_the_same_and_the_circle_is_never_too_large(steps):
    group, seated = begun(people=MANY[:4], found=replace(CIRCLE, people=tuple(str(p.id) for p in MANY[:4]), members=tuple(
        Member(person_id=p.id, role=Role.peer, organization="northwind") for p in MANY[:4]
    )))  # fmt: skip
    people = {p.id: p for p in (*MANY, *seated)}
    facts = []
    for comes, n in steps:
        who = people[MANY[n].id]
        known = context(CIRCLES, group, *people.values())
        if comes:
            found = newcomers(group, people, CIRCLES, NOW, named=(who.id,))
            try:
                outcome = join(who.id, next(iter(found), None), group, known)
            except Rejected:
                continue
        else:
            event = MemberWentOut(relationship_id=CIRCLE.id, program=PROGRAM, person_id=who.id, role=Role.peer, reason="moved_on")
            outcome = went_out(group, event, known)
        facts += [(kind, event.member.person_id) for kind, event in zip(told(outcome), outcome.events, strict=True)]
        group = next(iter(of(outcome, Relationship)), group)
        people |= {p.id: p for p in of(outcome, Person)}
        there = {member.person_id for member in group.members}
        assert len(there) == len(group.members) <= CIRCLES.policy.most_circle_size
        for one in people.values():
            beside = Counter(place.partner for place in one.places)
            assert beside == Counter(there - {one.id} if one.id in there else ())
    for one in MANY:
        own = [kind for kind, who in facts if who == one.id]
        first = "MemberLeft" if one in MANY[:4] else "MemberJoined"
        assert all(kind == ("MemberJoined", "MemberLeft")[(n + (first == "MemberLeft")) % 2] for n, kind in enumerate(own))


# ---- over real Kafka and PostgreSQL --------------------------------------------------------------------------------------


async def circle_begun(town, client, people=4, **policy):
    """A circle of so many under way, and the run that found it."""
    await town.open(formats=["circle"], least_circle_size=3, **policy)
    some = {"organization": town.organization, "languages": ("en",), "availability": AFTERNOON, "skills_offered": ("sql",)}
    await town.send(*(record(f"p{n}", Role.peer, town.program, **some) for n in range(people)))
    await town.known()
    run = await town.match(client, {"people": people, "revisions": people})
    (circle,) = await town.told("GroupCreated")
    return circle["relationship_id"], run


async def come(town, *names, **said):
    """These are enrolled, and matching knows them."""
    said = {"languages": ("en",), "availability": AFTERNOON} | said
    await town.send(*(record(name, Role.peer, town.program, organization=town.organization, **said) for name in names))
    ids = [person_id(town.organization, name) for name in names]
    there = "select count(*) = cardinality($1::uuid[]) from matching.people where id = any($1)"
    assert await until(lambda: town.see.fetchval(there, ids))
    return [str(one) for one in ids]


@pytest.mark.platform
async def test_of_many_who_are_let_in_at_once_and_twice_as_many_join_as_there_are_seats(town):
    async with town.served() as port, town.client(port) as client:
        circle, _ = await circle_begun(town, client, most_circle_size=6)
        ids = await come(town, "q0", "q1", "q2", "q3", "q4")
        url = f"/v1/relationships/{circle}"
        listed = (await client.get(f"{url}/newcomers", params={"limit": 4})).json()["newcomers"]
        assert {one["person_id"] for one in listed} < set(ids)
        assert all(one["role"] == "peer" and one["reasons"] for one in listed)
        answers = await asyncio.gather(*(client.post(f"{url}/members", json={"person_id": one}) for one in [*ids, *ids]))
        assert Counter(answer.status_code for answer in answers) == {200: 4, 409: 6}
        assert {answer.json()["title"] for answer in answers if answer.status_code == 409} == {"no seat"}
        facts = await town.told("MemberJoined")
        new = {fact["member"]["person_id"] for fact in facts}
        assert (len(facts), len(new), new <= set(ids)) == (2, 2, True)
        members = await town.see.fetchval("select cardinality(people) from matching.relationships where id = $1", UUID(circle))
        assert members == 6
        places = "select jsonb_array_length(places) from matching.people where id = any($1::uuid[])"
        assert [row[0] for row in await town.see.fetch(places, new)] == [5, 5]
        assert (await client.get(f"{url}/newcomers")).json() == {"newcomers": []}


@pytest.mark.platform
async def test_nobody_is_refused_while_there_are_seats_however_many_join_at_once(town):
    async with town.served() as port, town.client(port) as client:
        circle, _ = await circle_begun(town, client, most_circle_size=20)
        ids = await come(town, *(f"q{n}" for n in range(8)))
        url = f"/v1/relationships/{circle}/members"
        answers = await asyncio.gather(*(client.post(url, json={"person_id": one}) for one in ids))
        assert {answer.status_code for answer in answers} == {200}, "each after as many tries as it takes"
        assert len(await town.told("MemberJoined")) == 8


@pytest.mark.platform
async def test_who_asks_for_what_is_not_theirs_or_no_group_or_nobody_is_refused(town):
    async with town.served() as port, town.client(port) as client:
        circle, _ = await circle_begun(town, client, most_circle_size=6)
        (apart,) = await come(town, "q0", languages=("pt",))
        url = f"/v1/relationships/{circle}/members"
        refused = await client.post(url, json={"person_id": apart})
        assert (refused.status_code, refused.json()["detail"]) == (409, "They can’t join: no language in common.")
        unknown = await client.post(url, json={"person_id": str(new_id())})
        assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "person_id")
        nowhere = await client.post(f"/v1/relationships/{new_id()}/members", json={"person_id": apart})
        assert (nowhere.status_code, (await client.get(f"/v1/relationships/{new_id()}/newcomers")).status_code) == (404, 404)
        assert await town.told("MemberJoined") == []


@pytest.mark.platform
async def test_on_the_coordinators_page_they_see_who_may_join_and_let_them_in_once(town):
    async with town.served() as port, town.client(port) as client, browsing(client) as browser:
        circle, run = await circle_begun(town, client, most_circle_size=5)
        (q0, q1) = await come(town, "q0", "q1")
        await sign_in(browser, town)
        assert f'href="/coordinate/groups/{circle}"' in (await browser.get(f"/coordinate/runs/{run['run_id']}")).text
        url = f"/coordinate/groups/{circle}"
        page = (await browser.get(url)).text
        assert "Let q0 join" in page
        assert "hours a week when they are free together" in page
        form = {"token": token_of(page), "person": q0}
        assert (await browser.post(url, data=form | {"token": "x"})).status_code == 403
        for _ in range(2):
            after = (await browser.post(url, data=form)).text
            assert "q0 has joined" in after
        assert "Let q1 join" not in after
        refused = await browser.post(url, data=form | {"person": q1})
        assert (refused.status_code, "no seat for one more peer" in refused.text) == (409, True)
        assert len(await town.told("MemberJoined")) == 1
        assert "Nobody: it is full" in (await browser.get(url)).text
        about = {"program": town.program, "organization": town.organization, "name": "Crossing", "revision": 2}
        await town.send(ProgramChanged(**about, policy=Policy(formats=(Format.peer_pair,))))
        assert await until(
            partial(reads, browser, url, "Nobody: the program doesn’t bring people together in this way any more.")
        )
        assert f'href="{url}"' not in (await browser.get(f"/coordinate/runs/{run['run_id']}")).text
        await town.send(ProgramClosed(program=town.program))
        assert await until(partial(reads, browser, url, "Nobody: the program is closed."))


async def reads(browser, url, text):
    return text in (await browser.get(url)).text


@pytest.mark.platform
@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_killed_while_somebody_joins_nothing_is_half_done_and_asked_again_they_join_once(town, unused_tcp_port):
    async with town.client(unused_tcp_port) as client:
        with process(town, unused_tcp_port) as service:
            assert await until(lambda: up(client))
            circle, _ = await circle_begun(town, client, most_circle_size=5)
            (comes,) = await come(town, "q0")
            url, body = f"/v1/relationships/{circle}/members", {"person_id": comes}
            async with town.see.transaction():
                await town.see.fetch("select id from matching.people where id = $1 for update", UUID(comes))
                asked = asyncio.create_task(client.post(url, json=body))
                assert await until(lambda: waiting(town.see))
                service.kill()
            with pytest.raises(httpx.TransportError):
                await asked
        assert await town.told("MemberJoined") == []
        with process(town, unused_tcp_port):
            assert await until(lambda: up(client))
            answers = [(await client.post(url, json=body)).json() for _ in range(2)]
        assert answers[0] == answers[1]
        assert [member["person_id"] for member in answers[0]["members"]].count(comes) == 1
        assert len(await town.told("MemberJoined")) == 1
