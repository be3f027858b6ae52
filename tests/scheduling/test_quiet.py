"""Silence through Kafka, HTTP and PostgreSQL on a clock that tests move: its steps, a member who asks after the other, coordinators."""

import re
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import httpx

from services.scheduling import store
from shared import sessions
from shared.events import Format, PersonErased
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.test_flow import everything

DAY = timedelta(days=1)


async def writing(scene, **policy):
    """Two who write to each other, all signed."""
    pair = await scene.pair(Format.e_mentoring, **policy)
    for person in (pair.mentor, pair.mentee):
        await scene.do("sign", pair.id, person, 1)
    await scene.log.wait(pair.id, "AgreementSigned", 2)
    return pair


async def listed(scene, relationship_id):
    """Whether it is among those of its program that are quiet, as its coordinators see them and nobody else does."""
    found = []
    for who in (scene.owner, scene.guest):
        async with scene.db.transaction():
            await scene.db.execute("set local search_path = scheduling; set local role scheduling_tenant")
            await scene.db.execute("select set_config('ithaca.organization', $1, true)", who)
            rows = await scene.db.fetch("select relationship_id from quiet where program = $1", scene.program)
            found.append(relationship_id in {row[0] for row in rows})
    assert not found[1]
    return found[0]


async def test_silence_is_nudged_warned_and_frozen_and_a_tap_brings_it_back(scene):
    pair = await writing(scene, agreement={"every_weeks": 1})
    page = await scene.see("touch", pair.id, pair.mentee, 1)
    assert "Were you and your mentor in touch?" in page.text
    page = await scene.do("touch", pair.id, pair.mentee, 1)
    assert "It is noted" in page.text
    await scene.do("touch", pair.id, pair.mentee, 1)
    first = await scene.log.wait(pair.id, "ContactLogged")

    await scene.clock_past(first.at + 10.5 * DAY)
    stalled = await scene.log.wait(pair.id, "PairStalled")
    assert (stalled.reason, stalled.quiet_since) == ("quiet", first.at)
    await scene.clock_past(scene.now + 7 * DAY)
    warned = await scene.log.wait(pair.id, "PairWarned")
    await scene.clock_past(warned.freezes_at)
    frozen = await scene.log.wait(pair.id, "PairFrozen")
    assert frozen.ends_at > scene.now
    assert await listed(scene, pair.id)
    await scene.do("touch", pair.id, pair.mentor, 1)
    recovered = await scene.log.wait(pair.id, "PairRecovered")
    assert not await listed(scene, pair.id)
    second = await scene.log.wait(pair.id, "ContactLogged", 2)
    assert recovered.contact_id == second.contact_id
    assert [name for name in scene.log.names(pair.id)[3:] if name != "PairFlagged"] == [
        "ContactLogged",
        "PairStalled",
        "PairWarned",
        "PairFrozen",
        "ContactLogged",
        "PairRecovered",
    ], "two taps were one contact"
    assert await scene.timers(pair.id) == {"quiet", "half_time", "renewal", "end", "check_in", "risk"}


async def test_what_is_frozen_ends_by_itself(scene):
    pair = await writing(scene, agreement={"every_weeks": 1}, frozen_days_before_end=3)
    for name, days in (("PairStalled", 10.5), ("PairWarned", 7), ("PairFrozen", 7)):
        await scene.clock_past(scene.now + days * DAY)
        await scene.log.wait(pair.id, name)
    due = "select fire_at from scheduling.timers where kind = 'quiet' and owner = $1 and fire_at > $2"
    await scene.clock_past(scene.now + 3 * DAY + timedelta(hours=6))  # nobody was there for six hours
    outage = scene.now
    at = await until(lambda: scene.db.fetchval(due, str(pair.id), outage))
    assert at < outage + timedelta(hours=1, minutes=1)
    assert "PairEnded" not in scene.log.names(pair.id)
    await scene.clock_past(at)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side, ended.rematch_first, ended.unanswered_by) == ("silent", "both", (), None)
    assert await scene.timers(pair.id) == set()


async def test_my_mentor_is_silent_and_answers(scene):
    pair = await writing(scene)
    page = await scene.see("silent", pair.id, pair.mentee, 1)
    assert "You don’t hear from your mentor?" in page.text
    page = await scene.do("silent", pair.id, pair.mentee, 1, do="ask")
    assert "We have asked your mentor" in page.text
    await scene.do("silent", pair.id, pair.mentee, 1, do="ask")
    asked = await scene.log.wait(pair.id, "MemberAsked")
    assert asked.person_id == pair.mentor
    assert str(pair.mentee) not in asked.model_dump_json()
    page = await scene.do("silent", pair.id, pair.mentee, 1, do="answer")
    assert "We have asked your mentor" in page.text, "nobody else can answer"
    assert (await scene.do("silent", pair.id, pair.mentor, 1, do="whatever")).status_code == 422

    page = await scene.see("silent", pair.id, pair.mentor, 1)
    assert "Do you go on with your mentee?" in page.text
    page = await scene.do("silent", pair.id, pair.mentor, 1, do="answer")
    assert "You don’t hear from your mentee?" in page.text
    recovered = await scene.log.wait(pair.id, "PairRecovered")
    assert recovered.answered_by == pair.mentor
    assert scene.log.names(pair.id).count("MemberAsked") == 1
    assert await scene.timers(pair.id) == {"quiet", "half_time", "renewal", "end", "check_in", "risk"}


async def test_who_is_asked_and_sets_a_goal_instead_goes_on(scene):
    pair = await writing(scene)
    await scene.do("silent", pair.id, pair.mentor, 1, do="ask")
    await scene.log.wait(pair.id, "MemberAsked")
    await scene.do("goals", pair.id, pair.mentee, 1, kind="other", text="Give a talk")
    assert (await scene.log.wait(pair.id, "PairRecovered")).answered_by == pair.mentee
    assert "unanswered" not in await scene.timers(pair.id)


async def test_my_mentor_is_silent_and_stays_so(scene):
    pair = await writing(scene)
    await scene.do("silent", pair.id, pair.mentee, 1, do="ask")
    asked = await scene.log.wait(pair.id, "MemberAsked")
    await scene.clock_past(asked.answer_by)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side) == ("silent", "mentor")
    assert (ended.rematch_first, ended.unanswered_by) == ((pair.mentee,), pair.mentor)
    page = await scene.do("silent", pair.id, pair.mentor, 1, do="answer")
    assert "This has ended" in page.text
    assert scene.log.names(pair.id)[-1] == "PairEnded"


async def test_looking_at_these_pages_changes_nothing(scene):
    pair = await writing(scene)

    async def quiet():
        return not await scene.db.fetchval("select count(*) from scheduling.outbox")

    assert await until(quiet)
    before = await everything(pair)
    for action in ("touch", "silent", "concern"):
        for person in (pair.mentor, pair.mentee):
            for method in ("GET", "HEAD"):
                answer = await scene.http.request(method, scene.url(action, pair.id, person, 1), headers=PAGE)
                assert answer.status_code == 200
    assert await everything(pair) == before


async def test_a_concern_reaches_the_programs_coordinators_and_nobody_else(scene):
    pair = await writing(scene)
    assert (await scene.do("concern", pair.id, pair.mentee, 1, text="  ")).status_code == 422
    for _ in range(2):
        page = await scene.do("concern", pair.id, pair.mentee, 1, text="He raised his voice.")
        assert "Your coordinator has it" in page.text
    await scene.log.wait(pair.id, "ConcernRaised")
    assert scene.log.names(pair.id).count("ConcernRaised") == 1
    assert all("voice" not in written.body for written in scene.log.of(pair.id))
    await scene.do("silent", pair.id, pair.mentee, 1, do="ask")
    await scene.log.wait(pair.id, "MemberAsked")

    async with browser_of(scene, scene.owner) as browser:
        text = (await browser.get(f"/coordinate/pairs/{scene.program}")).text
        assert "He raised his voice." in text
        assert "Has gone quiet" in text
        token = re.search(r'name="token" value="([^"]+)"', text)[1]
        concern = re.search(r'name="thing" value="([^"]+)"', text)[1]
        where = f"/coordinate/pairs/{scene.program}"
        assert (await browser.post(where, data={"token": "x", "do": "seen", "thing": concern})).status_code == 403
        text = (await browser.post(where, data={"token": token, "do": "seen", "thing": concern})).text
        assert "He raised his voice." not in text
        assert await listed(scene, pair.id)
        text = (await browser.post(where, data={"token": token, "do": "release", "thing": str(pair.id)})).text
        assert "Nobody. Whoever meets" in text
        assert not await listed(scene, pair.id)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side, ended.rematch_first) == ("released", "coordinator", (pair.mentee,))

    async with browser_of(scene, scene.guest) as browser:
        assert (await browser.get(f"/coordinate/pairs/{scene.program}")).status_code == 404
    await scene.send(PersonErased(person_id=pair.mentee, revision=9))

    async def forgotten():
        return await scene.db.fetchval("select text from scheduling.concerns where relationship_id = $1", pair.id) == ""

    assert await until(forgotten)
    assert (await scene.do("concern", pair.id, pair.mentee, 1, text="I am still here.")).status_code == 404
    assert await scene.db.fetchval("select count(*) from scheduling.concerns where relationship_id = $1", pair.id) == 1


@asynccontextmanager
async def browser_of(scene, organization):
    """A browser that is signed in with a key of this organization that may coordinate."""
    headers = await scene.key(organization, "coordinate")
    key_id = headers["Authorization"].split("_")[1]
    expires = int((scene.now + sessions.LASTS).timestamp())
    cookie = {sessions.COOKIE: sessions.sealed(key_id, expires, scene.service.settings.link_secret)}
    async with httpx.AsyncClient(base_url=scene.http.base_url, headers=PAGE, cookies=cookie, follow_redirects=True) as client:
        yield client


async def test_a_silence_writes_to_no_index_of_a_relationship(scene):
    """Among a million, six random pages for each silence make it cost twice as much as among ten thousand."""
    indexes = await scene.db.fetch(
        "select indexdef from pg_indexes where schemaname = 'scheduling' and tablename = 'relationships'"
    )
    written = {
        "stalled_at",
        "warned_at",
        "frozen_at",
        "asked",
        "asked_at",
        "heard_at",
        "contacts",
        "contacted_at",
        "held",
        "meeting_id",
    }
    assert [row[0] for row in indexes if written & set(re.findall(r"\w+", row[0]))] == []


async def test_those_that_are_quiet_are_found_by_index(scene):
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling; set local enable_seqscan = off")
        sql = f"{store.RELATIONSHIPS.select} {store.QUIET}"
        plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {sql}", scene.program, scene.owner, uuid4(), 20))
    assert "quiet_pkey" in plan, plan
    assert "relationships_pkey" in plan, plan
