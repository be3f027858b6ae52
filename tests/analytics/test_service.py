"""Analytics on the real log and the real database: numbers, stories, and who may see them."""

import random
from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer

from services.analytics import store
from shared.cloudevents import new_id
from shared.events import Enrolment, Format, PersonErased, PersonWithdrawn, ProgramMeasured
from tests.analytics.conftest import Analytics
from tests.analytics.samples import DAY, SECRET, Crossing


def whole_program(crossing: Crossing) -> list:
    """Six pairs wait and are matched; two sign, one meets after all, one meeting is missed, one pair ends."""
    first, held, missed = crossing.meeting(0)
    second, _, also_missed = crossing.meeting(1)
    return [
        *crossing.onboarding(),
        *crossing.people(),
        *(crossing.pair(n) for n in range(5)),
        crossing.waits(5),
        crossing.waits(5, "mentor"),
        *crossing.signatures(0),
        *crossing.signatures(1),
        first,
        missed,
        held,
        second,
        also_missed,
        crossing.milestone(0),
        crossing.milestone(0, "goals_set"),
        crossing.end(4),
        *(crossing.mail(n, new_id()) for n in range(3)),
    ]


EXPECTED = {
    "enrolled": 12,
    "matched": 8,
    "waitlisted": 2,
    "agreed": 2,
    "scheduled": 2,
    "held": 1,
    "missed": 1,
    "milestones": 2,
    "ended": 1,
    "pairs": 5,
    "groups": 0,
    "mails_sent": 3,
    "mails_failed": 0,
}


async def test_every_fact_of_a_program_is_counted_once_whatever_order_the_topics_come_in(
    analytics: Analytics, crossing: Crossing
) -> None:
    events = whole_program(crossing)
    by_key: dict = {}
    for event in events:
        by_key.setdefault((event.topic, event.key), []).append(event)
    shuffled = []
    queues = list(by_key.values())
    while queues:  # any order, but each key's own
        queue = random.choice(queues)
        shuffled.append(queue.pop(0))
        queues = [q for q in queues if q]
    ids = await analytics.send(shuffled)
    await analytics.send(shuffled, ids=ids)  # a relay's resend
    await analytics.read(ids)
    summary = await analytics.summary(crossing.program)
    assert {name: summary[name] for name in EXPECTED} == EXPECTED
    assert summary["scope"] == "program"
    assert summary["name"] == "Crossing"


async def test_conversations_are_counted_by_themselves_and_end_no_pair(analytics: Analytics, crossing: Crossing) -> None:
    open_, over = (crossing.pair(n).model_copy(update={"format": Format.conversation}) for n in (1, 2))
    scheduled, held, _ = crossing.meeting(2)
    events = [*crossing.onboarding(), *crossing.people(), crossing.pair(0), open_, over, scheduled, held, crossing.end(2)]
    await analytics.read(await analytics.send(events))
    summary = await analytics.summary(crossing.program)
    counted = {"pairs": 1, "conversations": 2, "ended": 0, "matched": 4, "agreed": 0, "scheduled": 1, "held": 1}
    assert {name: summary[name] for name in counted} == counted
    (line,) = [line for line in await analytics.story(open_.relationship_id) if line["type"] == "ithaca.PairCreated"]
    assert line["what"].startswith("Matched for one conversation: ")


async def test_an_organization_sees_its_part_and_a_stranger_nothing(analytics: Analytics, crossing: Crossing) -> None:
    ids = await analytics.send(whole_program(crossing))
    await analytics.read(ids)
    owner, member, stranger = [await analytics.issue(name) for name in (crossing.owner, crossing.member, "stranger")]
    whole = await analytics.summary(crossing.program, owner)
    assert {name: whole[name] for name in EXPECTED} == EXPECTED
    own = await analytics.summary(crossing.program, member)
    assert own["scope"] == "own_people"
    assert own["enrolled"] == 6
    assert own["matched"] == 4
    assert own["waitlisted"] == 1
    assert own["mails_sent"] == 0, "those went to the owner's people"
    assert "totals" not in own
    answer = await analytics.client.get(f"/v1/programs/{crossing.program}/summary", headers=stranger)
    assert answer.status_code == 404
    sending = await analytics.issue(crossing.owner, rights=("send",))
    assert (await analytics.client.get(f"/v1/programs/{crossing.program}/summary", headers=sending)).status_code == 403
    wrong = {"Authorization": "Bearer ith_none_none"}
    assert (await analytics.client.get(f"/v1/programs/{crossing.program}/summary", headers=wrong)).status_code == 401
    async with httpx.AsyncClient(base_url=analytics.client.base_url) as nobody:
        assert (await nobody.get(f"/v1/programs/{crossing.program}/summary")).status_code == 401


async def test_numbers_about_fewer_than_five_people_are_withheld_from_a_member(analytics: Analytics, crossing: Crossing) -> None:
    events = [*crossing.onboarding("own_people_and_totals"), *crossing.people()]
    mentors, mentees = {str(m) for m in crossing.mentors[4:]}, {str(m) for m in crossing.mentees[4:]}
    few = [e for e in events if e.key not in mentors | mentees]
    await analytics.read(await analytics.send(few))
    member = await analytics.issue(crossing.member)
    seen = await analytics.summary(crossing.program, member)
    assert seen["withheld"] is True
    assert seen["enrolled"] is None
    assert seen["totals"] is None, "all but its own are four"
    await analytics.read(await analytics.send([e for e in events if e not in few]))
    seen = await analytics.summary(crossing.program, member)
    assert seen["withheld"] is False
    assert seen["enrolled"] == 6
    assert seen["totals"]["enrolled"] == 12


async def test_a_summary_that_did_not_change_is_not_sent_again(analytics: Analytics, crossing: Crossing) -> None:
    await analytics.read(await analytics.send([*crossing.onboarding(), *crossing.people()]))
    url = f"/v1/programs/{crossing.program}/summary"
    first = await analytics.client.get(url)
    again = await analytics.client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert not again.content
    await analytics.read(await analytics.send(crossing.pair(0)))
    changed = await analytics.client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.json()["matched"] == 2
    assert changed.json()["as_of"] > first.json()["as_of"]


async def test_who_left_a_program_is_counted_no_more_and_old_news_change_nothing(
    analytics: Analytics, crossing: Crossing
) -> None:
    gone = crossing.person(0, "mentee", PersonWithdrawn, enrolments=(), revision=3)
    late = crossing.person(0, "mentee", revision=2)
    other = crossing.person(1, "mentee", revision=2, enrolments=(Enrolment(program=f"{crossing.owner}.other", role="mentee"),))
    ids = await analytics.send([*crossing.onboarding(), *crossing.people(), crossing.waits(0), gone, late, other])
    await analytics.read(ids)
    summary = await analytics.summary(crossing.program)
    assert summary["enrolled"] == 10
    assert summary["waitlisted"] == 0


async def test_the_story_of_a_person_by_the_partners_own_id_holds_the_pairs_story_and_its_mails(
    analytics: Analytics, crossing: Crossing
) -> None:
    made = crossing.pair(2)
    first, held, _ = crossing.meeting(2)
    before = await analytics.send([*crossing.onboarding(), *crossing.people(), crossing.waits(2)], at=DAY)
    (pair,) = await analytics.send(made, at=DAY + timedelta(days=1))
    after = [*crossing.signatures(2), first, crossing.mail(2, pair)]
    sent = await analytics.send(after, at=DAY + timedelta(days=2), causation=pair)
    late = await analytics.send(held, at=DAY + timedelta(hours=30))
    await analytics.read([*before, pair, *sent, *late])
    lines = await analytics.story("n03", organization=crossing.owner)
    types = [line["type"].removeprefix("ithaca.") for line in lines]
    assert types == [
        "PersonEnrolled",
        "PersonWaitlisted",
        "PairCreated",
        "MeetingHeld",
        "AgreementSigned",
        "AgreementSigned",
        "MeetingScheduled",
        "NotificationSent",
    ]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    created = lines[2]
    assert created["what"].startswith("Matched: mentee")
    assert created["subjects"]["person"] == [str(crossing.mentees[2]), str(crossing.mentors[2])]
    assert len(created["trace"]) == 32
    assert SECRET not in str(lines)
    # by every other id
    for name, size in ((crossing.pairs[2], 6), (first.meeting_id, 2), (pair, 5), (created["trace"], 1), (crossing.mentees[2], 8)):
        assert len(await analytics.story(name)) == size, name


async def test_a_story_is_paged_in_order(analytics: Analytics, crossing: Crossing) -> None:
    events = [crossing.pair(0), *(crossing.meeting(0)[0] for _ in range(25))]
    ids = await analytics.send(events, at=DAY)  # all at the same moment: the order is that of their ids
    await analytics.read(ids)
    seen: list[str] = []
    after: dict = {}
    while True:
        page = (await analytics.client.get(f"/v1/story/{crossing.pairs[0]}", params={"limit": 10, **after})).json()
        seen += [line["id"] for line in page["lines"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [str(one) for one in ids]


async def test_an_organization_reads_of_a_story_what_is_meant_for_it(analytics: Analytics, crossing: Crossing) -> None:
    ids = await analytics.send([*crossing.onboarding(), *crossing.people(), crossing.pair(0)])
    mail = await analytics.send(crossing.mail(0, ids[-1]))
    await analytics.read([*ids, *mail])
    owner, member, stranger = [await analytics.issue(name) for name in (crossing.owner, crossing.member, "stranger")]
    assert len(await analytics.story(crossing.pairs[0], owner)) == 2
    assert len(await analytics.story(crossing.pairs[0], member)) == 1
    assert await analytics.story(crossing.pairs[0], stranger) is None
    assert len(await analytics.story("n01", owner)) == 3
    assert await analytics.story("n01", member) is None, "what others call their people isn't known to it"
    assert len(await analytics.story("k01", member)) == 2
    assert await analytics.story("k01", stranger) is None


async def test_an_own_id_that_several_organizations_have_asks_whose(analytics: Analytics, crossing: Crossing) -> None:
    other = Crossing(f"{crossing.owner}x", crossing.member)
    await analytics.read(await analytics.send([crossing.person(0, "mentee"), other.person(0, "mentee")]))
    answer = await analytics.client.get("/v1/story/n01")
    assert answer.status_code == 409
    assert crossing.owner in answer.json()["detail"]
    assert len(await analytics.story("n01", organization=crossing.owner)) == 1


async def test_an_erased_persons_own_id_is_forgotten_and_the_ids_stay(analytics: Analytics, crossing: Crossing) -> None:
    erased = PersonErased(person_id=crossing.mentees[0], revision=2, audience=(crossing.owner,))
    late = crossing.person(0, "mentee", revision=3)
    ids = await analytics.send([*crossing.onboarding(), *crossing.people(), crossing.pair(0), erased, late])
    await analytics.read(ids)
    assert await analytics.story("n01", organization=crossing.owner) is None
    types = [line["type"] for line in await analytics.story(crossing.mentees[0])]
    assert "ithaca.PersonErased" in types
    assert (await analytics.summary(crossing.program))["enrolled"] == 11
    connection = await asyncpg.connect(analytics.stage.superuser)
    try:
        for table in ("story", "people", "seats", "relationships"):
            dump = str(await connection.fetch(f"select * from analytics.{table}"))
            assert SECRET not in dump, table
            assert "@" not in dump, table
    finally:
        await connection.close()


async def test_numbers_are_published_at_most_once_a_minute_and_only_when_they_changed(
    analytics: Analytics, crossing: Crossing
) -> None:
    consumer = AIOKafkaConsumer("analytics", bootstrap_servers=analytics.stage.kafka, auto_offset_reset="earliest")
    await consumer.start()
    seen: list[ProgramMeasured] = []

    async def heard() -> list[ProgramMeasured]:
        for records in (await consumer.getmany(timeout_ms=300)).values():
            seen.extend(ProgramMeasured.model_validate_json(r.value) for r in records if r.key.decode() == crossing.program)
        return seen

    try:
        await analytics.read(await analytics.send([*crossing.onboarding(), *crossing.people()]))
        await analytics.until(heard)
        await analytics.read(await analytics.send([crossing.pair(0), crossing.pair(1)]))
        for _ in range(8):
            await heard()
        assert len(seen) == 1, "the minute isn't over"
        await analytics.stage.move_clock(timedelta(minutes=2))

        async def again() -> bool:
            return len(await heard()) == 2

        await analytics.until(again)
        assert seen[-1].enrolled == 12
        assert seen[-1].matched == 4
        await analytics.stage.move_clock(timedelta(minutes=5))
        for _ in range(8):
            await heard()
        assert len(seen) == 2, "nothing changed"
    finally:
        await consumer.stop()


MANY = """
insert into story
select ('01980000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $1::timestamptz + n * interval '1 second', $1, 'MeetingHeld',
  case n % 3 when 0 then 'notifications' else 'scheduling' end, 'key', 'north', 'north.p', array['north', 'kes' || n % 7],
  array['01980000-0000-7000-9000-' || lpad(to_hex(n / 8), 12, '0'), '01980000-0000-7000-a000-' || lpad(to_hex(n % 5000), 12, '0')],
  '{}', 'scheduling', '', '', '', 0, n
from generate_series(1, 100000) n
"""


async def test_a_story_is_found_by_an_index_among_a_hundred_thousand_lines_with_or_without_row_level_security(
    analytics: Analytics,
) -> None:
    database = analytics.service.database
    async with database.transaction() as connection:
        await connection.execute(MANY, DAY)
    ids = [UUID("01980000-0000-7000-9000-000000000123"), UUID("01980000-0000-7000-a000-000000000042")]
    for opened in (database.transaction, lambda: database.tenant("north")):
        async with opened() as connection:
            plan = "\n".join(row[0] for row in await connection.fetch(f"explain {store.STORY}", ids, None, 200, True))
            assert "Seq Scan" not in plan, plan
            assert "mentions_pkey" in plan
            assert "story_pkey" in plan
            assert len(await store.lines(connection, ids, after=None, limit=100)) == 28
    async with database.tenant("kes3") as connection:
        assert 0 < len(await store.lines(connection, ids, after=None, limit=100)) < 28
    async with database.tenant("nobody") as connection:
        assert await store.lines(connection, ids, after=None, limit=100) == []
