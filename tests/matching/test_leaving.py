"""Someone leaves a group that goes on: their place is free, theirs beside the others too, and it is told once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.matching.domain.leaving import went_out
from services.matching.domain.model import Person, Relationship, RelationshipStatus
from services.matching.domain.runs import apply_pair
from services.matching.handlers import ended
from shared.decisions import NOTHING
from shared.events import EndReason, Format, MemberWentOut, PairEnded, Role, Side
from tests.matching.conftest import until
from tests.matching.people import record
from tests.matching.test_decisions import CIRCLE, NOW, OPEN, PEERS, PROGRAM, context, of, told
from tests.matching.test_flow import AFTERNOON


def gone(reason=EndReason.moved_on, **more):
    return MemberWentOut(relationship_id=CIRCLE.id, program=PROGRAM, person_id=PEERS[3].id, role=Role.peer, reason=reason, **more)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (EndReason.moved_on, "own_wish"),
        (EndReason.silent, "own_wish"),
        (EndReason.person_withdrawn, "person_withdrawn"),
        (EndReason.person_erased, "person_erased"),
        (EndReason.released, "removed"),
    ],
)
def test_who_leaves_is_free_and_the_others_go_on_with_one_less(reason, said):
    circle, *seated = apply_pair(CIRCLE, context(OPEN, *PEERS)).changed
    outcome = went_out(circle, gone(reason, rematch_first=True), context(*seated))
    (smaller,) = of(outcome, Relationship)
    (fact,) = outcome.events
    assert (told(outcome), fact.reason, fact.member) == (["MemberLeft"], said, circle.members[3])
    assert [m.person_id for m in smaller.members] == [p.id for p in PEERS[:3]]
    people = {p.id: p for p in of(outcome, Person)}
    leaver = people[PEERS[3].id]
    assert (leaver.places, leaver.goes_first(PROGRAM, Format.circle)) == ((), True)
    stay = [people[p.id] for p in PEERS[:3]]
    assert [len(p.places) for p in stay] == [2, 2, 2]
    assert all(p.apart(PROGRAM, NOW - timedelta(days=1)) >= {leaver.id} for p in stay)
    assert went_out(smaller, gone(reason), context(*people.values())) == NOTHING
    assert went_out(None, gone(), context()) == NOTHING
    over = PairEnded(relationship_id=CIRCLE.id, program=PROGRAM, reason=EndReason.completed, side=Side.both)
    assert all(p.places == () for p in of(ended(smaller, over, context(*stay)), Person))
    assert went_out(replace(circle, status=RelationshipStatus.ended), gone(), context(*seated)) == NOTHING


def test_who_did_not_answer_takes_nobody_until_they_say_so():
    circle, *seated = apply_pair(CIRCLE, context(OPEN, *PEERS)).changed
    outcome = went_out(circle, gone(EndReason.silent, unanswered=True), context(*seated))
    leaver = next(p for p in of(outcome, Person) if p.id == PEERS[3].id)
    assert leaver.unavailable == (PROGRAM,)


def test_silence_in_a_circle_of_co_mentees_takes_nobody_out_of_what_they_came_for():
    circle = replace(CIRCLE, status=RelationshipStatus.active, run_id=None, score=0)  # nobody has a place by it
    outcome = went_out(circle, gone(EndReason.silent, unanswered=True), context(*PEERS))
    assert (told(outcome), {p.unavailable for p in of(outcome, Person)}) == (["MemberLeft"], {()})


@pytest.mark.platform
async def test_it_is_passed_on_once_though_it_comes_twice(town):
    await town.open(formats=["group"])
    some = {"organization": town.organization, "languages": ("en",), "availability": AFTERNOON}
    crowd = [
        record("k1", Role.mentor, town.program, skills_offered=("sql",), **some),
        *(record(f"n{n}", Role.mentee, town.program, skills_wanted=("sql",), **some) for n in range(4)),
    ]
    async with town.running() as client:
        await town.send(*crowd)
        await town.match(client, {"people": len(crowd), "revisions": len(crowd)})
        (group,) = await town.told("GroupCreated")
        leaver = group["members"][-1]
        fact = MemberWentOut(
            relationship_id=group["relationship_id"],
            program=town.program,
            person_id=leaver["person_id"],
            role=leaver["role"],
            reason="no_time",
        )
        await town.send(fact, fact)

        async def there():
            return await town.told("MemberLeft")

        (left,) = await until(there)
        assert (left["member"], left["reason"]) == (leaver, "own_wish")
        places = "select places = '[]' from matching.people where id = $1"
        assert await until(lambda: town.see.fetchval(places, fact.person_id))
