"""A circle that co-mentees agreed on begins once, with those who can still come."""

from dataclasses import replace
from itertools import count

import pytest

from services.matching.domain.co_mentees import circle_agreed
from services.matching.domain.model import RelationshipStatus
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import TryLater
from shared.events import CircleAgreed, Format, PersonErased, PersonPaused, PersonStatus, PersonWithdrawn, Role
from tests.matching.conftest import until
from tests.matching.people import person_id, record
from tests.matching.test_formats import PROGRAM, context, mentee, program


def agreed_on(*people, at=PROGRAM):
    return CircleAgreed(mentor_id=new_id(), program=at, circle_id=new_id(), people=people)


def test_it_has_the_circles_id_and_its_members_are_peers_who_keep_their_places():
    people = [mentee(f"n{n}") for n in range(3)]
    event = agreed_on(*(person.id for person in people))
    outcome = circle_agreed(None, event, context(program(), *people))
    (circle,) = outcome.changed
    (told,) = outcome.events
    assert (circle.id, circle.format, circle.status) == (event.circle_id, Format.circle, RelationshipStatus.active)
    assert [(m.person_id, m.role) for m in told.members] == [(person.id, Role.peer) for person in people]
    assert (type(told).__name__, told.relationship_id, told.format) == ("GroupCreated", event.circle_id, Format.circle)
    assert circle_agreed(circle, event, context(program(), *people)) == NOTHING


def test_without_those_who_left_it_goes_on_and_with_too_few_it_comes_to_nothing():
    people = [mentee(f"n{n}") for n in range(4)]
    gone = [replace(people[0], erased=True), replace(people[1], status=PersonStatus.paused)]
    event = agreed_on(*(person.id for person in people))
    three = circle_agreed(None, event, context(program(), gone[0], *people[1:])).events[0]
    assert [m.person_id for m in three.members] == [person.id for person in people[1:]]
    outcome = circle_agreed(None, event, context(program(), *gone, *people[2:]))
    assert outcome.changed[0].status is RelationshipStatus.rejected
    assert (type(outcome.events[0]).__name__, outcome.events[0].people) == ("MatchRejected", (people[2].id, people[3].id))
    closed = circle_agreed(None, event, context(replace(program(), closed=True), *people))
    assert type(closed.events[0]).__name__ == "MatchRejected"


def test_it_waits_for_the_program_and_for_people_who_are_not_known_yet():
    people = [mentee(f"n{n}") for n in range(3)]
    event = agreed_on(*(person.id for person in people))
    for known in ((program(), *people[1:]), people):
        with pytest.raises(TryLater):
            circle_agreed(None, event, context(*known))


@pytest.mark.platform
async def test_redelivered_it_begins_once_and_who_left_is_not_in_it(town):
    revisions = count(2)
    await town.open()

    def known(name, kind=None, **more):
        kinds = {} if kind is None else {"kind": kind, "revision": next(revisions)}
        return record(name, Role.mentee, town.program, organization=town.organization, **kinds, **more)

    names = [f"n{n}" for n in range(6)]
    ids = {name: person_id(town.organization, name) for name in names}
    await town.send(*(known(name) for name in names))
    async with town.running() as client:
        await town.send(
            known("n3", PersonPaused, status="paused"),
            known("n4", PersonWithdrawn, enrolled=False, status="withdrawn"),
            PersonErased(person_id=ids["n5"], revision=next(revisions)),
        )
        left = "select count(*) from matching.people where id = any($1::uuid[]) and (erased or status in ('paused', 'withdrawn'))"
        assert await until(lambda: town.see.fetchval(left + " having count(*) = 3", list(ids.values())))
        begins = agreed_on(*ids.values(), at=town.program)
        fails = agreed_on(*(ids[name] for name in ("n0", "n1", "n3", "n4")), at=town.program)
        for _ in range(2):
            await town.send(begins, fails, begins)
        last = agreed_on(*(ids[name] for name in names[:3]), at=town.program)
        await town.send(last)

        async def all_there():
            return len(await town.told("GroupCreated")) >= 2 and await town.told("MatchRejected")

        assert await until(all_there)
        made = {fact["relationship_id"]: fact for fact in await town.told("GroupCreated")}
        assert len(await town.told("GroupCreated")) == len(made) == 2
        circle = made[str(begins.circle_id)]
        assert {member["person_id"] for member in circle["members"]} == {str(ids[name]) for name in names[:3]}
        assert {member["role"] for member in circle["members"]} == {"peer"}
        (rejected,) = await town.told("MatchRejected")
        assert (rejected["relationship_id"], set(rejected["people"])) == (str(fails.circle_id), {str(ids["n0"]), str(ids["n1"])})
        cause = circle["headers"]["ce_causationid"]
        assert cause
        run = await town.match(client)
        assert sum(run["waitlisted"].values()) == 3  # the circle took nobody's place: they still look for a mentor
        assert await town.see.fetchval("select count(*) from matching.relationships where program = $1", town.program) == 3
