"""One's own mentoring on one page: what goes on, why, what comes next, what is over; each other page one tap away, and back."""

import re
from html import unescape
from urllib.parse import urljoin

from shared.cloudevents import new_id
from shared.events import Contact, Format, GroupCreated, Member, PersonEnrolled, PersonErased, Reason, ReasonCode, Role
from tests.scheduling.conftest import PAGE, until

WHY = (
    Reason(code=ReasonCode.skills, number=2, items=("cloud", "data-engineering")),
    Reason(code=ReasonCode.fair_load, number=1),
    Reason(code=ReasonCode.overlap_hours, number=3.5),
)


async def mine(scene, person):
    return await scene.see("mine", person, person, 1)


async def matched_for_a_reason(scene):
    pair = await scene.pair(quiet_intervals_before_stalled=10)
    for person in (pair.mentor, pair.mentee):
        await scene.do("end", pair.id, person, 1, reason="other")
    again = scene.match(pair.mentor, pair.mentee).model_copy(update={"reasons": WHY})
    await scene.send(again)
    await scene.log.wait(again.relationship_id, "AgreementProposed")
    pair.id = again.relationship_id
    return pair


async def test_all_of_ones_mentoring_is_on_one_page_and_every_way_from_it_leads_back(scene):
    pair = await matched_for_a_reason(scene)
    text = (await mine(scene, pair.mentee)).text
    assert "Nobody Knows, your mentor" in text
    assert "Skills asked for and offered: cloud and data engineering" in text
    assert "3.5 hours a week when you are both free" in text
    assert "Room for" not in text
    assert "Read and sign your agreement" in text
    meeting = await pair.scheduled()
    await scene.do("goals", pair.id, pair.mentee, 1, kind="technical", text="Give a <talk>", due_on="")
    note = {"add": "follow_up", "text": "Read chapter one", "doer": str(pair.mentee), "form": "one"}
    await scene.do("notes", pair.id, pair.mentor, 1, **note)
    await scene.do("own", pair.mentor, pair.mentor, 1, act="place", kind="address", text="12 Marina, Lagos")
    text = (await mine(scene, pair.mentee)).text
    for said in (
        "Give a &lt;talk&gt;",
        "Read chapter one",
        "Your next meeting",
        "12 Marina, Lagos",
        "A goal is set",
        "What is over",
    ):
        assert said in text
    before = await scene.db.fetch("select * from scheduling.relationships where id = $1", pair.id)
    ways = [unescape(url) for url in re.findall(r'href="(\.\./[^"]+)"', text)]
    assert {url.split("/")[1] for url in ways} >= {
        "pick",
        "notes",
        "goals",
        "touch",
        "edit",
        "silent",
        "concern",
        "end",
        "own",
        "export",
    }
    here = scene.url("mine", pair.mentee, pair.mentee, 1)
    for url in ways:
        page = await scene.http.get(urljoin(here, url), headers=PAGE)
        assert page.status_code == 200, url
        assert f"/mine/{pair.mentee}?" in page.text, url
    assert before == await scene.db.fetch("select * from scheduling.relationships where id = $1", pair.id)
    where = await scene.see("where", meeting.meeting_id, pair.mentee, 1)
    assert "/mine/" not in where.text, "it stands in calendars, which others see"

    await scene.clock_past(meeting.starts_at)
    assert "Say whether you met" in (await mine(scene, pair.mentor)).text
    await scene.do("met", meeting.meeting_id, pair.mentor, 0, met="yes", minutes="75")
    await scene.log.wait(pair.id, "MeetingHeld")
    text = (await mine(scene, pair.mentor)).text
    assert "minutes given</dt><dd>75</dd>" in text
    assert "People you have met" in text
    assert "What you have given" not in (await mine(scene, pair.mentee)).text


async def test_a_link_of_somebody_else_shows_nothing_and_an_erased_person_has_no_page(scene):
    pair = await matched_for_a_reason(scene)
    assert (await scene.see("mine", pair.mentor, pair.mentee, 1)).status_code == 404
    await scene.send(PersonErased(person_id=pair.mentee, revision=9))

    async def gone():
        return (await mine(scene, pair.mentee)).status_code == 404

    assert await until(gone)
    text = (await mine(scene, pair.mentor)).text
    assert "Skills asked for" not in text
    reasons = await scene.db.fetchval("select reasons::text from scheduling.relationships where id = $1", pair.id)
    assert reasons == "[]"


async def test_who_does_not_want_records_has_none_until_they_do(scene):
    pair = await matched_for_a_reason(scene)
    for wish in ("no", "no"):
        page = await scene.do("mine", pair.mentor, pair.mentor, 1, recognised=wish)
    assert "No records are made of it" in page.text
    meeting = await pair.scheduled()
    await scene.clock_past(meeting.starts_at)
    await scene.do("met", meeting.meeting_id, pair.mentee, 0, met="yes", minutes="45")
    await scene.log.wait(pair.id, "MeetingHeld")
    fires = "select fire_at from scheduling.timers where kind = 'recognise' and owner = $1"
    await scene.clock_past(await scene.db.fetchval(fires, str(pair.mentor)))

    async def looked_at():
        return not await scene.timers(pair.mentor)

    assert await until(looked_at)
    assert not await scene.db.fetchval("select exists (select from scheduling.recognitions where person_id = $1)", pair.mentor)
    page = await scene.do("mine", pair.mentor, pair.mentor, 1, recognised="yes")
    assert "I don’t want records" in page.text


async def test_a_group_is_named_and_a_conversation_has_nothing_to_sign(scene):
    mentor, *mentees = [scene.person("Africa/Lagos") for _ in range(3)]
    await scene.launch()
    named = {one: Contact(name=name) for one, name in zip((mentor, *mentees), ("Ada Obi", "Ife Bello", "Tobi Ade"), strict=True)}
    await scene.send(*(scene.record(PersonEnrolled, one, contact=contact) for one, contact in named.items()))
    members = tuple(
        Member(person_id=one, role=Role.mentor if one == mentor else Role.mentee, organization=scene.owner) for one in named
    )
    group = GroupCreated(relationship_id=new_id(), program=scene.program, members=members, score=1, format=Format.group)
    await scene.send(group)
    await scene.log.wait(group.relationship_id, "AgreementProposed")
    text = (await mine(scene, mentees[0])).text
    for said in ("Your group", "Ada Obi, your mentor", "Tobi Ade, the other mentee", "Read and sign your agreement"):
        assert said in text
    talk = scene.match(mentor, mentees[1], form=Format.conversation)
    await scene.send(talk)
    await scene.log.wait(talk.relationship_id, "MeetingProposed")
    text = (await mine(scene, mentees[1])).text
    assert "Ada Obi, your mentor" in text
    assert "Choose a time" in text
    assert text.count("Read and sign your agreement") == 1
