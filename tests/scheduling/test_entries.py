"""Agenda, notes and follow-ups: who may write what, the brief before a meeting, and that no word of it leaves the page."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from html import unescape

import asyncpg
import pytest

from services.scheduling import store
from services.scheduling.domain import brief, entries, follow_ups, meetings
from services.scheduling.domain.entries import Due, Entry, EntryKind, Written
from services.scheduling.domain.model import MeetingStatus, Past
from services.scheduling.noting import Sent, entry_of
from shared.cloudevents import new_id
from shared.decisions import NOTHING, new
from shared.errors import Rejected
from shared.events import EndReason, Format, GroupCreated, Member, PersonEnrolled, PersonErased, Phase, Role
from shared.prompts import prompts
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.examples import NOW, At, agreed, armed, cleared, pair, took
from tests.scheduling.test_flow import everything

DAY = timedelta(days=1)


@dataclass
class Knowing(At):
    """A moment for which it is known how much was written."""

    written: Written | None = None

    def get(self, kind, key):
        return self.written if kind is Written else super().get(kind, key)


def entry(relationship, kind=EntryKind.point, by=0, **more):
    writer = relationship.members[by].person_id
    return Entry(new_id(), relationship.id, relationship.organization, writer, kind, "Words", NOW, **more)


# ---- what is written -----------------------------------------------------------------------------------------------------


def test_what_is_written_stays_here_and_a_form_that_is_sent_twice_adds_one():
    relationship, _ = agreed()
    point = entry(relationship)
    outcome = entries.add(relationship, None, None, point, At())
    assert (outcome.changed, outcome.events) == ((point,), ())
    assert entries.add(relationship, None, point, point, At()) == NOTHING
    sent, writer = Sent(add="point", form="1", text=" Sail "), relationship.members[0].person_id
    ids = [
        entry_of(one, relationship.id, by)
        for one in (sent, replace(sent, text="Sail"), replace(sent, form="2"), replace(sent, text="Row"))
        for by in (writer, new_id())
    ]
    assert ids[0] == ids[2]
    assert len(set(ids)) == 7, "another showing of the form, other words, somebody else: another entry"


def test_a_note_is_of_the_meeting_that_has_begun_or_else_of_the_last_one_held():
    relationship, known = agreed()
    meeting = known[relationship.meeting_id]
    relationship, known = took(meetings.schedule(relationship, meeting, meeting.slots[0], At()), relationship, known)
    meeting = known[meeting.id]
    first, second, missed = new_id(), new_id(), new_id()
    held = (Past(first, NOW - 9 * DAY, held=True), Past(second, NOW - 5 * DAY, held=True), Past(missed, NOW - DAY, held=False))

    def noted(relationship, planned, at):
        (note,) = entries.add(relationship, planned, None, entry(relationship, EntryKind.note), At(at)).changed
        return note.meeting_id

    assert noted(relationship, meeting, NOW) is None, "nobody has met yet"
    assert noted(relationship, meeting, meeting.starts_at) == meeting.id
    assert noted(replace(relationship, recent=held), meeting, NOW) == second
    assert noted(replace(relationship, recent=held), None, meeting.starts_at) == second


def test_what_is_done_is_ticked_off_once_and_opened_again():
    relationship, _ = agreed()
    follow_up = entry(relationship, EntryKind.follow_up)
    (done,) = entries.tick(relationship, follow_up, At(), done=True).changed
    assert done.done_at == NOW
    assert entries.tick(relationship, done, At(), done=True) == NOTHING
    assert entries.tick(relationship, done, At(), done=False).changed == (follow_up,)
    assert entries.tick(relationship, follow_up, At(), done=False) == NOTHING
    for other in (None, entry(relationship, EntryKind.note), entry(pair())):
        assert entries.tick(relationship, other, At(), done=True) == NOTHING


def test_whoever_wrote_it_takes_it_away_and_nobody_else():
    relationship, _ = agreed()
    mentor, mentee = (m.person_id for m in relationship.members)
    note = entry(relationship, EntryKind.note)
    assert entries.take_away(relationship, note, mentor).removed == (note,)
    for other, by in ((note, mentee), (None, mentor), (replace(note, relationship_id=new_id()), mentor)):
        assert entries.take_away(relationship, other, by) == NOTHING


def test_there_is_an_end_to_how_much_is_written():
    relationship, _ = agreed()
    with pytest.raises(Rejected):
        entries.add(relationship, None, None, entry(relationship), Knowing(written=Written(relationship.id, entries.MOST)))


@pytest.mark.parametrize(
    ("reason", "days", "may"),
    [
        (EndReason.completed, 13, True),
        (EndReason.goal_attained, 13, True),
        (EndReason.completed, 14, False),
        (EndReason.not_a_fit, 1, False),
        (EndReason.silent, 1, False),
    ],
)
def test_after_the_end_is_written_only_for_a_while_and_only_where_it_was_planned(reason, days, may):
    relationship, _ = agreed()
    ended, at = replace(relationship, ended_at=NOW, end_reason=reason), At(NOW + days * DAY)
    point = entry(ended)
    assert bool(entries.add(ended, None, None, point, at).changed) is may
    assert bool(entries.tick(ended, point, at, done=True).changed) is may
    assert entries.take_away(ended, point, point.person_id).removed == (point,)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"add": "point"}, ""),
        ({"add": "point", "text": " \r\n "}, "Please write what you want to talk about."),
        ({"add": "note", "text": "x" * 2001}, "Please keep it to 2000 characters."),
        ({"add": "note", "text": "x\r\n" * 700}, ""),
        ({"add": "follow_up"}, "Please choose who does it."),
        ({"add": "follow_up", "doer": str(new_id())}, "Please choose who does it."),
        ({"add": "follow_up", "doer": "everyone"}, ""),
        (
            {"add": "follow_up", "doer": "everyone", "due_on": "2026-11-22"},
            "Please choose a day from today on, or leave it empty.",
        ),
        ({"add": "follow_up", "doer": "everyone", "due_on": "soon"}, "Please choose a day from today on, or leave it empty."),
        ({"add": "all"}, "Please use one of the buttons."),
    ],
)
def test_what_a_form_cannot_say_is_told(more, told):
    relationship, _ = agreed()
    assert Sent(**{"text": "Sail"} | more).wrong(relationship, NOW.date()) == told


# ---- the brief -----------------------------------------------------------------------------------------------------------


def test_the_brief_knows_where_in_the_relationship_a_meeting_stands():
    relationship, _ = agreed()  # every second week, for half a year
    assert brief.phase(relationship, NOW + 100 * DAY) is Phase.first_meeting
    met = replace(relationship, held=1)
    days = (14, 70, 90, 110, 150, 160, 180)
    assert [brief.phase(met, relationship.agreed_at + n * DAY).value for n in days] == [
        "early", "early", "half_time", "later", "later", "near_the_end", "near_the_end",
    ]  # fmt: skip
    assert brief.phase(replace(met, agreed_at=None, until=None), NOW) is Phase.early


def test_the_reminder_tells_numbers():
    relationship, known = agreed()
    meeting = known[relationship.meeting_id]
    relationship, known = took(meetings.schedule(relationship, meeting, meeting.slots[0], At()), relationship, known)
    meeting = known[meeting.id]
    day = meeting.starts_at.date()
    written = Written(relationship.id, 9, 2, 4, tuple(Due(new_id(), on) for on in (day, day + DAY, date(2026, 1, 1))))
    (told,) = meetings.remind(replace(relationship, goals=1), meeting, Knowing(written=written)).events
    assert (told.points, told.follow_ups, told.follow_ups_due, told.goals, told.phase) == (2, 4, 2, 1, "first_meeting")
    (told,) = meetings.remind(relationship, meeting, At()).events
    assert (told.points, told.follow_ups, told.follow_ups_due, told.goals) == (0, 0, 0, 0)


# ---- what is due ---------------------------------------------------------------------------------------------------------

FRIDAY = date(2026, 12, 4)
THURSDAY_NOON = datetime(2026, 12, 3, 11, tzinfo=UTC)
"""In Lagos, which is the pair's."""


def waiting(relationship, *dues):
    """When so much is open, at noon of that Thursday."""
    return Knowing(THURSDAY_NOON, written=Written(relationship.id, due=tuple(Due(new_id(), on, doer) for on, doer in dues)))


def test_the_timer_stands_at_the_day_before_what_is_due_next():
    relationship, _ = agreed()
    follow_up = entry(relationship, EntryKind.follow_up, due_on=FRIDAY)
    added = entries.add(relationship, None, None, follow_up, At())
    assert armed(follow_ups.watched(relationship, added, At())) == {"follow_ups": THURSDAY_NOON}
    moment = Knowing(written=Written(relationship.id, due=(Due(follow_up.id, FRIDAY), Due(new_id(), FRIDAY + DAY))))
    for outcome in (
        entries.tick(relationship, follow_up, moment, done=True),
        entries.take_away(relationship, follow_up, follow_up.person_id),
    ):
        assert armed(follow_ups.watched(relationship, outcome, moment)) == {"follow_ups": THURSDAY_NOON + DAY}
    undone = entries.tick(relationship, replace(follow_up, done_at=NOW), At(), done=False)
    assert armed(follow_ups.watched(relationship, undone, At())) == {"follow_ups": THURSDAY_NOON}
    late = follow_ups.watched(relationship, added, At(THURSDAY_NOON))
    assert (armed(late), cleared(late)) == ({}, {"follow_ups"})
    assert armed(follow_ups.watched(replace(relationship, ended_at=NOW), added, At())) == {}
    point = new(entry(relationship))
    assert follow_ups.watched(relationship, point, At()) == point


def test_whoever_it_is_for_is_reminded_once_of_all_that_is_due_on_a_day():
    relationship, known = agreed()
    mentor, mentee = (m.person_id for m in relationship.members)

    def told(*dues, relationship=relationship, meeting=None, later=timedelta(0)):
        moment = waiting(relationship, *dues)
        moment.now += later
        return [(event.people, event.due_on, event.audience) for event in follow_ups.due(relationship, meeting, moment).events]

    assert told((FRIDAY, mentee), (FRIDAY, mentee)) == [((mentee,), FRIDAY, ())]
    assert told((FRIDAY, None)) == [((mentor, mentee), FRIDAY, ())]
    assert told((FRIDAY, mentee), (FRIDAY - DAY, mentor), (FRIDAY + DAY, mentor)) == [((mentee,), FRIDAY, ())]
    assert told((FRIDAY, new_id())) == [], "whose it was has left"
    assert told((FRIDAY, mentee), later=timedelta(hours=23)) == [((mentee,), FRIDAY, ())]
    assert told((FRIDAY, mentee), later=DAY) == [], "too late to be of use"
    away = tuple(replace(m, paused=m.person_id == mentee) for m in relationship.members)
    assert told((FRIDAY, None), relationship=replace(relationship, members=away)) == [((mentor,), FRIDAY, ())]
    for over in ({"ended_at": NOW}, {"frozen_at": NOW}):
        assert told((FRIDAY, None), relationship=replace(relationship, **over)) == []
    meeting = replace(known[relationship.meeting_id], status=MeetingStatus.scheduled)
    for days, count in ((2, 0), (3, 1)):
        planned = replace(meeting, starts_at=THURSDAY_NOON + days * DAY)
        assert len(told((FRIDAY, None), meeting=planned)) == count
    again = follow_ups.due(relationship, None, waiting(relationship, (FRIDAY, mentee), (FRIDAY + DAY, mentee)))
    assert armed(again) == {"follow_ups": THURSDAY_NOON + DAY}


def test_every_phase_has_prompts_for_each_side():
    for phase in set(Phase) - {Phase.other}:
        sides = [prompts(phase, role) for role in (Role.mentor, Role.mentee)]
        assert [len(side) for side in sides] == [3, 3]
        assert sides[0] != sides[1]
        assert prompts(phase, Role.peer) == sides[1]
    assert prompts(Phase.other, Role.mentor) == ()
    assert prompts(Phase.first_meeting, Role.mentee, once=True) != prompts(Phase.first_meeting, Role.mentee)


# ---- through Kafka, HTTP and PostgreSQL ------------------------------------------------------------------------------------


def pressed(page, label):
    """The entry that this button is about."""
    found = re.search(rf'value="([^"]+)" aria-label="{label}', page.text)
    assert found, label
    return found[1]


async def test_a_pair_prepares_meets_and_follows_up_and_no_word_of_it_is_told(scene):
    pair = await scene.pair()
    scheduled = await pair.scheduled()

    async def do(person, **form):
        return await scene.do("notes", pair.id, person, 1, **form)

    page = await scene.see("notes", pair.id, pair.mentee, 1)
    assert "You and your mentor" in page.text
    assert prompts(Phase.first_meeting, Role.mentee)[0] in unescape(page.text)
    assert "Say what you want to reach" in page.text
    for _ in range(2):
        page = await do(pair.mentee, add="point", form="1", text="Learn <b>sailing</b>")
    assert page.text.count("Learn &lt;b&gt;sailing&lt;/b&gt;</div>") == 1
    assert (await do(pair.mentee, add="point", text=" ")).status_code == 422
    due = f"{scheduled.starts_at:%Y-%m-%d}"
    await do(pair.mentor, add="follow_up", text="Ask the sailing club", doer=str(pair.mentee), due_on=due)
    assert "follow_ups" in await scene.timers(pair.id)
    await do(pair.mentee, add="follow_up", text="Rent a sailing boat", doer="everyone")
    await do(pair.mentee, add="note", text="I fear sailing", own="yes")

    await scene.clock_past(scheduled.starts_at - DAY)
    reminder = await scene.log.wait(pair.id, "ReminderDue")
    assert (reminder.phase, reminder.points, reminder.follow_ups, reminder.follow_ups_due) == ("first_meeting", 1, 2, 1)

    await scene.clock_past(scheduled.starts_at + timedelta(minutes=31))
    page = await scene.do("met", scheduled.meeting_id, pair.mentor, 0, met="yes", minutes="30")
    way = unescape(re.search(r'href="([^"]+/notes/[^"]+)"', page.text)[1])
    page = await scene.http.get(page.url.join(way), headers=PAGE)
    assert "Ask the sailing club" in page.text
    assert "I fear sailing" not in page.text, "that note is its writer's own"
    assert "Take it away: Learn" not in page.text, "nor may the other take away what she wrote"
    point, follow_up = pressed(page, "Talked about: Learn"), pressed(page, "Done: Ask")
    page = await do(pair.mentor, add="note", text="She can sail")
    assert re.search(r"Meeting of \d+ \w+ \d{4}</h3>\s*<div class=\"said\">She can sail", page.text)
    for entry_id in (point, follow_up):
        page = await do(pair.mentor, done=entry_id)
    assert "2 talked about or done" in page.text
    page = await do(pair.mentee, again=follow_up)
    assert "1 talked about or done" in page.text
    assert pressed(page, "Done: Ask") == follow_up
    page = await do(pair.mentor, away=point)
    assert "1 talked about or done" in page.text, "who didn't write it can't take it away"
    page = await do(pair.mentee, away=point)
    assert "Learn" not in page.text

    due_on = (scene.now + 5 * DAY).date()
    await do(pair.mentor, add="follow_up", text="Go sailing", doer=str(pair.mentee), due_on=due_on.isoformat())
    assert "follow_ups" in await scene.timers(pair.id)
    await scene.clock_past(datetime(due_on.year, due_on.month, due_on.day, tzinfo=UTC) - timedelta(hours=11))
    due = await scene.log.wait(pair.id, "FollowUpsDue")
    assert (due.people, due.due_on, due.audience) == ((pair.mentee,), due_on, ())

    stranger = await scene.see("notes", pair.id, new_id(), 1)
    assert stranger.status_code == 403
    assert (await do(pair.mentee, done="nothing")).status_code == 422
    async with scene.service.database.tenant(scene.owner) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from entries")
    assert not [w.name for w in scene.log.of(pair.id) if "sail" in w.body.lower()]

    async def quiet():
        return not await scene.db.fetchval("select count(*) from scheduling.outbox")

    assert await until(quiet)
    before = await everything(pair)
    for method in ("GET", "HEAD"):
        answer = await scene.http.request(method, scene.url("notes", pair.id, pair.mentor, 1), headers=PAGE)
        assert answer.status_code == 200
    assert await everything(pair) == before, "looking changes nothing"

    await scene.send(PersonErased(person_id=pair.mentee, revision=9))
    await scene.log.wait(pair.id, "PairEnded")
    rows = await scene.db.fetch("select person_id from scheduling.entries where relationship_id = $1", pair.id)
    assert {row["person_id"] for row in rows} == {pair.mentor}
    page = await do(pair.mentor, add="point", text="Still sailing?")
    assert "You can still read what you wrote." in page.text
    assert "She can sail" in page.text
    assert "Still sailing?" not in page.text
    assert (await do(pair.mentee, add="note", text="I am still here.")).status_code == 404
    assert len(await scene.db.fetch("select 1 from scheduling.entries where relationship_id = $1", pair.id)) == len(rows)
    assert await scene.timers(pair.id) == set()


async def test_a_group_shares_one_page_and_those_who_talk_once_have_one_too(scene):
    people = [scene.person(zone) for zone in ("Africa/Lagos", "America/Sao_Paulo", "Asia/Kolkata")]
    await scene.launch()
    await scene.send(*(scene.record(PersonEnrolled, person) for person in people))
    roles = (Role.mentor, Role.mentee, Role.mentee)
    members = tuple(Member(person_id=p, role=r, organization=scene.owner) for p, r in zip(people, roles, strict=True))
    group = GroupCreated(relationship_id=new_id(), program=scene.program, members=members, format=Format.group, score=1)
    await scene.send(group)
    await scene.log.wait(group.relationship_id, "AgreementProposed")
    await scene.do("notes", group.relationship_id, people[1], 1, add="follow_up", text="Bring charts", doer=str(people[2]))
    await scene.do("notes", group.relationship_id, people[1], 1, add="note", text="Mine", own="yes")
    for person, whose in ((people[0], "Nobody Knows"), (people[1], "The other mentee"), (people[2], "You")):
        page = await scene.see("notes", group.relationship_id, person, 1)
        assert "You and your group" in page.text
        assert re.search(rf"Bring charts</div><p class=\"hint\">{whose}", page.text)
        assert ("Mine</div>" in page.text) is (person == people[1])

    talk = await scene.pair(Format.conversation)
    page = await scene.do("notes", talk.id, talk.mentor, 0, add="point", text="Boats")
    assert "Boats" in page.text
    assert prompts(Phase.first_meeting, Role.mentor, once=True)[0] in unescape(page.text)
    assert "Say what you want to reach" not in page.text
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        await scene.db.execute("set local enable_seqscan = off")
        for sql, index in ((store.ENTRIES_OF_PERSON.sql, "entries_person"), (store.WRITTEN.load, "entries_relationship")):
            plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {sql}", [talk.mentor]))
            assert index in plan, plan
