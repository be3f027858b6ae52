"""What a program is worth, on the real log and the real database: each fact once, in whatever order; who is shown what."""

import random
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.analytics import counting
from services.analytics.domain.growth import Answer
from services.analytics.rebuild import rebuild
from shared import sessions
from shared.cloudevents import new_id
from shared.events import Event, PersonErased
from tests.analytics.conftest import Analytics
from tests.analytics.grown import Grown
from tests.analytics.samples import DAY
from tests.analytics.test_counts import only, received, settled

PAIRS = 12


@pytest.fixture
def grown(crossing) -> Grown:
    return Grown(crossing.owner, crossing.member, PAIRS)


def facts(grown: Grown) -> list[Event]:
    """Twelve pairs: what ten of them answer is all alike, so that it doesn't matter which ten are told of."""
    everyone = range(PAIRS)
    events: list[Event] = [*grown.onboarding("own_people_and_totals"), *grown.people(), *(grown.pair(n) for n in everyone)]
    for n in everyone:
        events += grown.check_in(n, "fit", fit="good" if n < 7 else "unsure")
        events += grown.check_in(n, "quality", score=4)
        events += grown.check_in(n, "quality", mentor=True, score=5)
        events += grown.check_in(n, "quality", score=5, round=2) if n < 6 else []
        events += grown.check_in(n, "confidence", stage="start", answers=(2, 3), score=3)
        events += grown.check_in(n, "confidence", stage="end", answers=(4, 4, 4, 4), score=4) if n < 5 else []
        events += grown.check_in(n, "belonging", stage="start", score=3) if n < 4 else []
        events += [grown.skill(n, 2, "start"), grown.skill(n, 4, "start", skill="writing"), grown.skill(n, 5, "end")]
        events += [grown.skill(n, 2, "start", mentor=True)]
        events += grown.goal(n, "technical" if n < 9 else "industry", {0: "attained", 1: "dropped"}.get(n, ""))
        events += [*grown.shared(n), *grown.feedback(n), grown.milestone(n)]
        events += grown.apart(n) if n < 6 else []
        events += [grown.met(n)]
        events += [grown.outcome(n, "promotion" if n < 8 else "move", **({"program": grown.program} if n % 2 else {}))]
    events += [grown.gone(n, "not_a_fit" if n < 5 else "no_time") for n in range(6)]
    events += [grown.gone(6, "completed"), grown.renewed(7), grown.recognised(8)]
    events += [*grown.circle(8, begins=True), *grown.circle(9, begins=False)]
    events += [grown.flag(9, "misses", "slow"), grown.flag(10, "misses"), grown.flag(10), grown.flag(2, "fit")]
    return events


def shuffled(events: list[Event]) -> list[Event]:
    """Any order, but each key's own."""
    queues: dict[Any, list[Event]] = {}
    for event in events:
        queues.setdefault((event.topic, event.key), []).append(event)
    mixed = []
    left = list(queues.values())
    while left:
        mixed.append(random.choice(left).pop(0))
        left = [queue for queue in left if queue]
    return mixed


async def worth(analytics: Analytics, program: str, header: dict[str, str] | None = None) -> Any:
    answer = await analytics.client.get(f"/v1/programs/{program}/worth", headers=header)
    assert answer.status_code in {200, 404}, answer.text
    return answer.json() if answer.status_code == 200 else None


def shown(people: int, mean: float) -> dict[str, Any]:
    return {"people": people, "mean": mean, "withheld": False}


WITHHELD = {"people": None, "mean": None, "withheld": True}


def test_whatever_the_order_of_the_topics_and_however_often_the_same_is_known_in_the_end() -> None:
    several = facts(Grown("north", "kes", PAIRS))
    wanted = settled([received(event) for event in several])
    assert settled([received(event) for event in shuffled(several)]) == wanted
    assert settled([received(event) for event in [*several, *several]]) == wanted


def test_an_answer_counts_as_it_was_first_given() -> None:
    grown = Grown("north", "kes", 1)
    _, first = grown.check_in(0, "fit", fit="good")
    _, second = grown.check_in(0, "fit", fit="not_a_fit", revision=2)
    for events in ([first, second], [second, first]):
        assert only(Answer, events).word == "good"


async def test_every_concept_is_counted_once_and_answers_in_fives_whatever_the_order(analytics: Analytics, grown: Grown) -> None:
    events = shuffled(facts(grown))
    ids = await analytics.send(events, at=DAY)
    await analytics.send(events, ids=ids, at=DAY)
    again = [*grown.check_in(0, "fit", fit="not_a_fit", revision=2), grown.skill(0, 1, "start")]
    await analytics.read([*ids, *await analytics.send(again, at=DAY + timedelta(days=1))])
    found = await worth(analytics, grown.program)
    assert (found["scope"], found["withheld"]) == ("program", False)
    assert found["fit"] == {"good": 5, "unsure": 5}, "of seven and five"
    assert (found["asked"], found["answered"]) == (60, 60), (
        "12 of fit, 24 and 6 of quality, 12 and 5 of confidence, 4 of belonging"
    )
    assert found["quality_over_time"] == {"mentees": [shown(10, 4.0), shown(5, 5.0)], "mentors": [shown(10, 5.0)]}
    assert found["quality"] == {"mentees": shown(15, 4.3), "mentors": shown(10, 5.0)}
    scales = found["scales"]
    assert scales["confidence"] == {
        "start": shown(10, 2.5),
        "middle": WITHHELD,
        "end": shown(5, 4.0),
        "change": shown(5, 1.5),
    }
    assert scales["belonging"]["start"] == WITHHELD, "four"
    assert scales["skills_by_mentees"]["change"] == shown(10, 2.0), "from 3, of two skills at the same time, to 5"
    assert scales["skills_by_mentors"]["start"] == shown(10, 2.0)
    assert found["feedback"] == {"asked": 10, "given": 10}
    assert found["misalignments"] == {"scores": 5}
    assert found["concerns"] == 5
    assert found["outcomes"] == {"promotion": 5}, "and four who moved"
    assert found["goals"] == {
        "count": 12,
        "done": 1,
        "by": [{"what": "other", "count": 12, "done": 1, "people": 12}],
    }, "three of another kind are merged with the rest"
    assert (found["goals_dropped"], found["steps"]["done"]) == (1, 12)
    assert found["milestones"]["by"] == [{"what": "first_meeting", "count": 12, "done": 0, "people": 12}]
    assert (found["introductions"]["count"], found["introductions"]["done"]) == (12, 12)
    assert found["opportunities"]["by"] == [{"what": "recommendation", "count": 12, "done": 6, "people": 12}]
    assert (found["circles"], found["recognised"], found["renewals"], found["at_risk"]) == (1, 1, 1, 1)
    assert found["ended_early"] == 6
    assert found["ended_by_reason"] == [{"what": "other", "count": 6, "done": 0, "people": 6}], (
        "five and one would tell of the one"
    )
    assert found["minutes"] == 720
    assert found["days_to_meeting"] == {"people": 24, "median": 9.0, "withheld": False}
    assert found["days_to_match"]["median"] == 0
    assert found["retention"] == [
        {"since": "2026-03-01", "until": "2026-03-01", "relationships": 13, "after": found["retention"][0]["after"]}
    ]
    assert found["retention"][0]["after"]["1"] == 0.538, "of twelve pairs and the circle"


async def test_a_member_is_told_of_its_own_people_and_the_owner_reads_no_answers_either(
    analytics: Analytics, grown: Grown
) -> None:
    await analytics.read(await analytics.send(facts(grown), at=DAY))
    owner, member, stranger = [await analytics.issue(name) for name in (grown.owner, grown.member, "stranger")]
    whole, own = await worth(analytics, grown.program, owner), await worth(analytics, grown.program, member)
    assert whole["fit"] == {"good": 5, "unsure": 5}
    assert "totals" not in whole
    assert own["scope"] == "own_people"
    assert own["fit"] == {}, "mentees are the owner's"
    assert own["quality"] == {"mentees": WITHHELD, "mentors": shown(10, 5.0)}
    assert own["at_risk"] is None
    assert own["totals"]["fit"] == {"good": 5, "unsure": 5}
    assert own["goals"]["count"] == 12
    assert own["totals"]["goals"] == {"count": None, "done": None, "by": []}, "all are of pairs that have its people in them"
    assert own["totals"]["retention"] == []
    assert await worth(analytics, grown.program, stranger) is None
    sending = await analytics.issue(grown.owner, rights=("send",))
    assert (await analytics.client.get(f"/v1/programs/{grown.program}/worth", headers=sending)).status_code == 403
    async with analytics.service.database.tenant(grown.owner) as connection:
        for table in ("answers", "things"):
            may = "select has_table_privilege(current_user, $1, 'select')"
            assert not await connection.fetchval(may, table), "nobody reads them as a tenant"


async def test_a_member_of_few_people_is_told_nothing_and_others_who_are_few_nothing_of_the_whole(
    analytics: Analytics, crossing
) -> None:
    small = Grown(crossing.owner, crossing.member, 5)
    events = [e for e in facts_of_few(small) if e.key != str(small.mentors[4])]
    await analytics.read(await analytics.send(events))
    member = await analytics.issue(small.member)
    found = await worth(analytics, small.program, member)
    assert found["withheld"] is True
    assert found["goals"] is found["fit"] is found["totals"] is None
    others = [e for e in facts_of_few(small) if e.key == str(small.mentors[4])]
    gone = PersonErased(person_id=small.mentees[0], revision=2)
    await analytics.read(await analytics.send([*others, gone]))

    async def enough() -> Any:
        found = await worth(analytics, small.program, member)
        return None if found["withheld"] else found

    found = await analytics.until(enough)
    assert found["totals"] is None, "all but its own are four"


def facts_of_few(grown: Grown) -> list[Event]:
    return [*grown.onboarding("own_people_and_totals"), *grown.people(), *(grown.pair(n) for n in range(grown.size))]


async def test_what_did_not_change_is_not_sent_again(analytics: Analytics, grown: Grown) -> None:
    await analytics.read(await analytics.send(facts_of_few(grown)))
    url = f"/v1/programs/{grown.program}/worth"
    first = await analytics.client.get(url)
    assert (await analytics.client.get(url, headers={"If-None-Match": first.headers["etag"]})).status_code == 304
    await analytics.read(await analytics.send(grown.goal(0)))

    async def anew() -> bool:
        return (await analytics.client.get(url, headers={"If-None-Match": first.headers["etag"]})).status_code == 200

    assert await analytics.until(anew)


async def test_a_new_generation_counts_the_same(analytics: Analytics, grown: Grown) -> None:
    await analytics.read(await analytics.send(facts(grown), at=DAY))
    before = await worth(analytics, grown.program)
    await rebuild(analytics.stage.settings("analytics"), analytics.stage.superuser)

    async def same() -> bool:
        return bool(await worth(analytics, grown.program) == before)

    await analytics.until(same)


async def test_a_coordinator_reads_what_it_is_worth_on_a_page(analytics: Analytics, grown: Grown) -> None:
    await analytics.read(await analytics.send(facts(grown), at=DAY))
    header = await analytics.issue(grown.owner, rights=("read", "coordinate"))
    key_id = header["Authorization"].split("_")[1]
    expires = int((analytics.service.database.clock.now() + timedelta(hours=1)).timestamp())
    cookie = sessions.sealed(key_id, expires, analytics.service.settings.link_secret)
    async with httpx.AsyncClient(base_url=analytics.client.base_url) as browser:
        away = await browser.get(f"/coordinate/worth/{grown.program}")
        assert away.status_code in {302, 303, 307}, "to the sign-in"
        browser.cookies.set(sessions.COOKIE, cookie)
        page = await browser.get(f"/coordinate/worth/{grown.program}")
        assert page.status_code == 200
        for words in ("the whole program", "A good fit", "Up by 1.5 among the 5", "March 2026", "hours mentored"):
            assert words in page.text
        assert (await browser.get("/coordinate/worth/nobody.else")).status_code == 404


async def test_a_circle_counts_once_it_began_by_the_word_of_those_in_it_whichever_is_read_first(
    analytics: Analytics, grown: Grown
) -> None:
    (agreed, began), (refused,) = grown.circle(0, begins=True), grown.circle(1, begins=False)
    later, by_run = (began.model_copy(update={"relationship_id": new_id(), "run_id": run}) for run in (None, new_id()))
    too = agreed.model_copy(update={"circle_id": later.relationship_id})
    expected = [([agreed], 0), ([began], 1), ([later], 1), ([too], 2), ([refused, by_run], 2)]
    for facts_told, circles in expected:
        await analytics.read(await analytics.send(facts_told))
        async with analytics.service.database.transaction() as connection:
            told = await connection.fetch(counting.TOLD, grown.program, None, [], None)
        assert sum(row["count"] for row in told if row["kind"] == "circle" and row["all_of_it"]) == circles


MANY = """
insert into answers (id, program, relationship_id, person_id, kind, stage, value, asked, revision, said_at)
select n::text, case when n % 100 = 0 then $1 else 'other.p' || n % 50 end, md5((n % 20000)::text)::uuid, md5('p' || n)::uuid,
    'quality', '', 1 + n % 5, true, 1, $2::timestamptz + n * interval '1 second'
from generate_series(1, 200000) n
"""


async def test_a_program_is_found_by_an_index_among_many(analytics: Analytics, grown: Grown) -> None:
    async with analytics.service.database.transaction() as connection:
        await connection.execute(MANY, grown.program, DAY)
        await connection.execute("analyze answers")
        for sql in (counting.SAID, counting.ANSWERED):
            plan = "\n".join(row[0] for row in await connection.fetch(f"explain {sql}", grown.program, None))
            assert "Seq Scan on answers" not in plan, plan
            assert "answers_program" in plan
