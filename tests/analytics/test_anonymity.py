"""Few people can't be told apart: not by a count, nor by any two of them."""

import itertools
import random
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg
from hypothesis import given
from hypothesis import strategies as st

from services.analytics import counting
from services.analytics.domain import anonymity
from services.analytics.domain.anonymity import MERGED, Cell, Kind, Month
from services.analytics.domain.counts import LEAST_GROUP
from services.analytics.domain.worth import Sorts, total
from shared.cloudevents import new_id
from tests.analytics.conftest import Analytics
from tests.analytics.samples import DAY

HOMES = ("north", "kes", "ost")
SORTS = st.lists(st.sets(st.integers(0, 15), min_size=1), max_size=7)
"""By sort, who is behind it: people stand in several."""


def kind_of(sorts: list[set[int]]) -> Kind:
    cells = tuple(Cell(f"kind-{n}", 2 * len(people), 0, len(people)) for n, people in enumerate(sorts))
    return Kind(cells, len(set().union(*sorts)))


@given(SORTS)
def test_no_cell_is_of_few_people_and_none_can_be_had_by_subtraction(sorts: list[set[int]]) -> None:
    kind = kind_of(sorts)
    shown = anonymity.merged(kind)
    of = {cell.what: people for cell, people in zip(kind.cells, sorts, strict=True)}
    for one in shown:
        behind = of.get(one.what) or set().union(*(people for what, people in of.items() if what not in {s.what for s in shown}))
        assert LEAST_GROUP <= one.people <= len(behind)
        assert one.people == len(behind) or one.what == MERGED
    assert [one.what for one in shown].count(MERGED) <= 1
    assert sum(one.count for one in shown) in (0, total(kind).count), "all, or nothing where all are few"
    assert shown == anonymity.merged(Kind(tuple(random.sample(kind.cells, len(kind.cells))), kind.people))


@given(st.lists(st.integers(1, 30), max_size=7))
def test_of_people_who_stand_in_one_cell_each_the_merged_one_is_exact(sizes: list[int]) -> None:
    kind = Kind(tuple(Cell(f"kind-{n}", size, 0, size) for n, size in enumerate(sizes)), sum(sizes))
    shown = anonymity.merged(kind)
    assert sum(one.people for one in shown) == (sum(sizes) if shown else 0)
    assert bool(shown) == (sum(sizes) >= LEAST_GROUP)


def test_three_people_with_two_goals_each_are_three() -> None:
    three = {0, 1, 2}
    assert anonymity.merged(kind_of([three, three])) == []
    assert anonymity.merged(kind_of([three, three, set(range(6))])) == [Cell(MERGED, 24, 0, 6)]
    assert anonymity.merged(kind_of([three, {3, 4, 5}, set(range(6, 12))])) == [Cell("kind-2", 12, 0, 6), Cell(MERGED, 12, 0, 6)]


def test_beside_its_own_people_an_organization_is_told_of_what_five_others_did_however_much_it_was() -> None:
    cells = (Cell("letter", 23, 12, 9),)
    assert total(Kind(cells, 9, 4, 4), coarse=True) == Sorts(None, None, [])
    assert total(Kind(cells, 9, 5, 4), coarse=True) == Sorts(20, None, [])
    assert total(Kind(cells, 9, 5, 5), coarse=True) == Sorts(20, 10, [])


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 20))
def test_a_cohort_once_told_of_does_not_change_and_is_never_small(begun: list[int], later: int) -> None:
    months = [Month(_month(n), size, {1: (size, size // 2)}) for n, size in enumerate(begun) if size]
    today, some_day = _month(min(later, len(begun))), _month(len(begun))
    then, now = anonymity.cohorts(months, today), anonymity.cohorts(months, some_day)
    assert now[: len(then)] == then
    assert all(one.relationships >= LEAST_GROUP for one in now)
    assert all(one.until < some_day for one in now)


def test_a_share_is_told_of_once_all_of_a_cohort_are_so_old() -> None:
    young, old = Month(date(2026, 1, 1), 6, {1: (5, 5)}), Month(date(2026, 1, 1), 6, {1: (6, 3)})
    assert anonymity.cohorts([young], date(2026, 2, 3))[0].after == {}
    assert anonymity.cohorts([old], date(2026, 2, 3))[0].after == {1: 0.5}


NUMBERS = st.dictionaries(
    st.sampled_from(("enrolled", "matched", "waitlisted")), st.tuples(st.integers(0, 20), st.integers(0, 20))
)


@given(NUMBERS)
def test_beside_its_own_numbers_an_organization_is_shown_none_that_tells_of_few_others(found: dict[str, tuple[int, int]]) -> None:
    own, whole = {k: a for k, (a, _) in found.items()}, {k: a + b for k, (a, b) in found.items()}
    shown = anonymity.beside(whole, own)
    for name, (_, others) in found.items():
        assert shown[name] == (None if others in {1, 2, 3, 4} else whole[name])


def _month(n: int) -> date:
    return date(2026 + n // 12, n % 12 + 1, 1)


# ---- answers, by the database ------------------------------------------------------------------------------------------

RELATIONSHIP = """
insert into relationships (id, program, organization, formed, people, homes, agreed, ended, recorded)
values ($1, $2, 'north', 'group', $3, $4, true, false, $5)
"""
PERSON = "insert into people (id, organization, revision, erased, recorded) values ($1, $2, 1, false, $3)"
ANSWER = """
insert into answers (id, program, relationship_id, person_id, kind, word, value, asked, revision, said_at)
values ($1, $2, $3, $4, $5, $6, $7, true, 1, $8)
"""
Shown = dict[tuple[str, str], frozenset[int]]


async def test_of_answers_no_two_numbers_shown_to_anyone_differ_by_fewer_than_five_people(analytics: Analytics) -> None:
    """Each answers with a power of two of their own, so that a sum says of whom it is: of the whole, of each organization, day by day."""
    connection = await asyncpg.connect(analytics.stage.superuser)
    try:
        await connection.execute("set search_path = analytics")
        for seed in range(12):
            for viewer, several in (await told(connection, random.Random(seed))).items():
                for one, other in itertools.combinations(several, 2):
                    for figure in one.keys() | other.keys():
                        a, b = (found.get(figure, frozenset()) for found in (one, other))
                        assert not a ^ b or len(a ^ b) >= LEAST_GROUP, (seed, viewer, figure, a, b)
    finally:
        await connection.close()


GOAL = """
insert into things (id, program, relationship_id, person_id, kind, word, state, said_at, changed_at)
values ($1, $2, $3, $4, 'goal', $5, $6, $7, $7)
"""


async def test_of_what_happened_each_person_counts_once_and_others_are_told_apart(analytics: Analytics) -> None:
    """Two mentees of `kes` and six of the owner, one in a pair with a mentor of `kes`, with two goals each, of two sorts."""
    program = f"north.p{new_id().hex[-12:]}"
    connection = await asyncpg.connect(analytics.stage.superuser)
    try:
        await connection.execute("set search_path = analytics")
        for n in range(8):
            bond, person, homes = new_id(), new_id(), ["kes"] if n < 2 else ["north", "kes"] if n < 3 else ["north"]
            await connection.execute(RELATIONSHIP, bond, program, [str(person)], homes, DAY)
            for word in ("technical", "industry"):
                state = "attained" if n < 4 else "set"
                await connection.execute(GOAL, f"goal/{new_id()}", program, bond, person, word, state, DAY)
        whole = await counting.worth(connection, program, DAY, of="kes")
        own = await counting.worth(connection, program, DAY, own="kes")
    finally:
        await connection.close()
    sorts = [Cell("industry", 8, 4, 8), Cell("technical", 8, 4, 8)]
    found = whole.told["goal"]
    assert sorted(found.cells, key=lambda one: one.what) == sorts
    assert (found.people, found.others, found.others_done) == (8, 5, 1)
    assert total(found, coarse=True) == Sorts(15, None, [])
    assert (own.told["goal"].people, total(own.told["goal"]).count) == (3, 6)


async def told(connection: Any, choose: random.Random) -> dict[str, list[Shown]]:
    """What each organization was shown of a program whose people answer day by day."""
    program, bond = f"north.p{new_id().hex[-12:]}", new_id()
    homes = {new_id(): choose.choice(HOMES[: choose.randint(1, 3)]) for _ in range(choose.randint(1, 40))}
    people = list(homes)
    shown: dict[str, list[Shown]] = {}
    await connection.execute(RELATIONSHIP, bond, program, list(map(str, people)), list(homes.values()), DAY)
    await connection.executemany(PERSON, [(person, home, DAY) for person, home in homes.items()])
    size = choose.randint(1, 7)
    for _, some in itertools.groupby(enumerate(people), lambda one: one[0] // size):
        for n, person in some:
            at = DAY + timedelta(days=n)
            await connection.execute(ANSWER, f"{person}q", program, bond, person, "quality", "", float(2**n), at)
            word = choose.choice(("good", "unsure", "not_a_fit"))
            await connection.execute(ANSWER, f"{person}f", program, bond, person, "fit", word, None, at)
        for viewer, several in (await seen(connection, program)).items():
            shown.setdefault(viewer, []).extend(several)
    return shown


async def seen(connection: Any, program: str) -> dict[str, list[Shown]]:
    """What each organization is shown on this day: the owner the whole, another its own people and the whole. Counts are multiples of five."""
    found: dict[str, list[Shown]] = {}
    asked: list[tuple[str, dict[str, str]]] = [("north", {})]
    asked += [(name, of) for name in HOMES[1:] for of in ({"own": name}, {"of": name})]
    for viewer, of in asked:
        counted = await counting.worth(connection, program, datetime.now(tz=DAY.tzinfo), **of)
        assert all(people % LEAST_GROUP == 0 for people, _ in counted.said.values())
        sums = {key: (people, mean) for key, (people, mean) in counted.said.items() if mean is not None}
        found.setdefault(viewer, []).append({key: _whose(people, mean) for key, (people, mean) in sums.items()})
    return found


def _whose(people: int, mean: float | None) -> frozenset[int]:
    total = round((mean or 0) * people)
    those = frozenset(n for n in range(total.bit_length()) if total >> n & 1)
    assert len(those) == people
    return those
