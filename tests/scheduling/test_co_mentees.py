"""Mentees of one mentor see each other where they want to, and may form a circle: rules, and the way through the page."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduling.domain import co_mentees, endings
from services.scheduling.domain.co_mentees import APART, LEAST, Came, CoMentees, Mentees, co_mentees_id
from shared.cloudevents import new_id
from shared.events import (
    Contact,
    EndReason,
    Format,
    GroupCreated,
    MatchRejected,
    Member,
    PersonEnrolled,
    PersonErased,
    RejectionReason,
    Role,
    Side,
)
from tests.scheduling.conftest import until
from tests.scheduling.examples import PROGRAM, At, agreed, armed, cleared, names, pair, person, took

MENTOR = new_id()
ID = co_mentees_id(PROGRAM, MENTOR)
ADA, BEN, CAM, DIA = (UUID(int=n) for n in range(1, 5))


class Knowing(At):
    """A moment at which these have the mentor."""

    def get(self, kind, key):
        return Mentees(key, tuple(map(str, self.planned))) if kind is Mentees else None


def now(*mentees, **later):
    return Knowing(At().now + timedelta(**later), list(mentees or (ADA, BEN, CAM, DIA)))


def seen(*people):
    return CoMentees(ID, "northwind", PROGRAM, MENTOR, tuple(map(str, people)))


def proposed(*people, by=ADA):
    """(co-mentees, id of the circle) after one of these proposed it."""
    outcome = co_mentees.propose(seen(*people), None, by, "form", now())
    (co,) = outcome.changed
    return co, co.proposal.circle_id


def said(co, circle, *answers, **later):
    """The last outcome of answers (person, yes)."""
    outcome = None
    for one, yes in answers:
        outcome = co_mentees.answer(co, circle, one, now(**later), yes=yes)
        (co,) = outcome.changed
    return outcome


def test_only_who_wants_to_be_seen_sees_and_is_seen():
    (co,) = co_mentees.opt_in(seen(), ADA).changed
    assert co_mentees.opt_in(co, ADA).changed == ()
    (co,) = co_mentees.opt_in(co, BEN).changed
    mentees = Mentees(ID, (str(ADA), str(BEN), str(CAM)))
    assert co_mentees.others(co, mentees, ADA) == (BEN,)
    assert co_mentees.others(co, mentees, CAM) == ()
    assert co_mentees.others(co, Mentees(ID, (str(ADA),)), ADA) == ()  # it has ended between Ben and the mentor
    (co,) = co_mentees.opt_out(co, BEN).changed
    assert (co_mentees.others(co, mentees, ADA), co_mentees.opt_out(co, BEN).changed) == ((), ())


@pytest.mark.parametrize("form", list(Format))
def test_whose_members_see_each_other_anyway_need_no_page(form):
    relationship = pair(form=form)
    mentor, mentee = (member.person_id for member in relationship.members)
    assert co_mentees.mentor_of(relationship, mentee) == (None if form in APART else mentor)
    assert co_mentees.mentor_of(relationship, mentor) is None
    assert co_mentees.mentor_of(relationship, new_id()) is None


def test_a_circle_is_proposed_to_all_who_want_to_be_seen_once():
    outcome = co_mentees.propose(seen(ADA, BEN, CAM), None, ADA, "form", now())
    (told,) = outcome.events
    assert (told.mentor_id, told.proposed_by, told.people) == (MENTOR, ADA, (BEN, CAM))
    assert armed(outcome) == {"circle": now(days=14).now} == {"circle": told.answer_by}
    (co,) = outcome.changed
    for by, form in ((ADA, "form"), (ADA, "other"), (BEN, "other")):
        assert co_mentees.propose(co, None, by, form, now()).events == ()
    for few in (seen(ADA, BEN), seen(BEN, CAM, DIA), seen()):
        assert co_mentees.propose(few, None, ADA, "form", now()).events == ()
    assert co_mentees.propose(seen(ADA, BEN, CAM), None, ADA, "form", now(ADA, BEN)).events == ()


def test_when_all_have_said_yes_it_is_agreed_at_once():
    co, circle = proposed(ADA, BEN, CAM)
    outcome = said(co, circle, (BEN, True), (CAM, True))
    (told,) = outcome.events
    assert (told.circle_id, set(told.people), cleared(outcome)) == (circle, {ADA, BEN, CAM}, {"circle"})
    (co,) = outcome.changed
    assert co_mentees.answer(co, circle, CAM, now(), yes=False).changed == ()
    assert co_mentees.time_is_up(co, circle).changed == ()


def test_at_the_end_of_the_time_three_are_enough_and_two_are_not():
    co, circle = proposed(ADA, BEN, CAM, DIA)
    (three,) = said(co, circle, (BEN, True), (CAM, True)).changed
    assert set(co_mentees.time_is_up(three, circle).events[0].people) == {ADA, BEN, CAM}
    (two,) = said(co, circle, (BEN, True)).changed
    over = co_mentees.time_is_up(two, circle)
    assert (over.events, over.changed[0].proposal.came) == ((), Came.too_few)
    assert co_mentees.time_is_up(two, new_id()).changed == ()
    assert said(co, circle, (BEN, True), (CAM, True), (DIA, False)).events[0].people == (ADA, BEN, CAM)


def test_nobody_answers_for_another_nor_late_nor_an_older_proposal():
    co, circle = proposed(ADA, BEN, CAM)
    for one, about, later in ((DIA, circle, 0), (ADA, circle, 0), (BEN, new_id(), 0), (BEN, circle, 14)):
        assert co_mentees.answer(co, about, one, now(days=later), yes=True).changed == ()


def test_who_is_not_seen_any_more_or_erased_is_not_waited_for_nor_counted():
    co, circle = proposed(ADA, BEN, CAM, DIA)
    (co,) = said(co, circle, (BEN, True), (CAM, True)).changed
    assert set(co_mentees.opt_out(co, DIA).events[0].people) == {ADA, BEN, CAM}
    gone = co_mentees.forget(co, CAM)
    assert (gone.events, gone.changed[0].proposal.people) == ((), (ADA, BEN, DIA))
    without = co_mentees.forget(co, MENTOR)
    assert (without.events, without.changed[0].people, without.changed[0].proposal) == ((), (), None)
    assert cleared(without) == {"circle"}


def test_there_is_another_proposal_a_month_later_or_once_the_circle_is_over():
    co, circle = proposed(ADA, BEN, CAM)
    (co,) = co_mentees.time_is_up(co, circle).changed
    assert co_mentees.propose(co, None, BEN, "x", now(days=29)).events == ()
    assert names(co_mentees.propose(co, None, BEN, "x", now(days=30))) == ["CircleProposed"]
    (made,) = said(*proposed(ADA, BEN, CAM), (BEN, True), (CAM, True)).changed
    three = [person() for _ in range(3)]
    running, _ = agreed(people=three, roles=[Role.peer] * 3, form=Format.circle)
    assert co_mentees.propose(made, running, BEN, "x", now(days=99)).events == ()
    over = took(endings.end(running, None, EndReason.completed, Side.platform, At()), running)[0]
    assert names(co_mentees.propose(made, over, BEN, "x", now(days=1))) == ["CircleProposed"]
    (fell,) = co_mentees.fell_through(made, circle).changed
    assert (fell.proposal.came, co_mentees.fell_through(fell, circle).changed) == (Came.fell_through, ())
    assert names(co_mentees.propose(fell, None, BEN, "x", now())) == ["CircleProposed"]


STEPS = st.lists(st.tuples(st.sampled_from(["yes", "no", "out", "in", "up", "forget"]), st.integers(0, 4)), max_size=12)


@given(STEPS)
def test_whatever_they_say_it_is_agreed_once_at_most_and_by_three_who_said_so(steps):
    everyone = [UUID(int=n) for n in range(1, 6)]
    co, circle = proposed(*everyone)
    agreed_on, yes = [], {ADA}
    for what, which in steps:
        one = everyone[which]
        if what in {"yes", "no"}:
            outcome = co_mentees.answer(co, circle, one, now(), yes=what == "yes")
            yes |= {one} if what == "yes" else set()
        elif what == "in":
            outcome = co_mentees.opt_in(co, one)
        elif what == "up":
            outcome = co_mentees.time_is_up(co, circle)
        else:
            outcome = (co_mentees.opt_out if what == "out" else co_mentees.forget)(co, one)
        (co,) = outcome.changed or (co,)
        agreed_on += outcome.events
    assert len(agreed_on) <= 1
    for told in agreed_on:
        assert LEAST <= len(told.people) == len(set(told.people))
        assert set(told.people) <= yes


# ---- through the page ------------------------------------------------------------------------------------------------------


async def mentees_of_one(scene, count):
    """A mentor's relationships with so many, by name."""
    mentor = scene.person("Africa/Lagos")
    mentees = {name: scene.person("Africa/Lagos") for name in ("Ada Obi", "Ben Eze", "Cam Ito", "Dia Lux")[:count]}
    await scene.launch()
    await scene.send(scene.record(PersonEnrolled, mentor, role=Role.mentor))
    contacts = {one: Contact(name=name, email="nobody@example.org") for name, one in mentees.items()}
    await scene.send(*(scene.record(PersonEnrolled, one, contact=contacts[one]) for one in mentees.values()))
    matches = {name: scene.match(mentor, one) for name, one in mentees.items()}
    await scene.send(*matches.values())
    for match in matches.values():
        await scene.log.wait(match.relationship_id, "AgreementProposed")
    return mentor, {name: (match.relationship_id, mentees[name]) for name, match in matches.items()}


async def test_those_who_want_to_see_each_other_and_form_a_circle(scene):
    mentor, pairs = await mentees_of_one(scene, 4)

    async def say(name, **form):
        return (await scene.do("co-mentees", *pairs[name], 1, **form)).text

    assert "See each other" in (await scene.see("co-mentees", *pairs["Ada Obi"], 1)).text
    assert (await scene.see("co-mentees", pairs["Ada Obi"][0], mentor, 1)).status_code == 404
    for stranger in (pairs["Ben Eze"][1], new_id()):
        assert (await scene.see("co-mentees", pairs["Ada Obi"][0], stranger, 1)).status_code == 403
        assert (await scene.do("co-mentees", pairs["Ada Obi"][0], stranger, 1, do="in")).status_code == 403
    assert (await scene.do("co-mentees", *pairs["Ada Obi"], 1, do="dance")).status_code == 422
    for _ in range(2):
        assert "Nobody else has said so yet" in await say("Ada Obi", do="in")
    page = await say("Ben Eze", do="in")
    assert "Ada Obi" in page
    assert "Propose a circle" not in page
    assert "Ada Obi" not in (await scene.see("co-mentees", *pairs["Cam Ito"], 1)).text
    await say("Cam Ito", do="in")
    assert "Cam Ito" in await say("Dia Lux", do="in")
    assert "Dia Lux" not in await say("Dia Lux", do="out")
    page = await say("Ada Obi")
    assert "Dia Lux" not in page

    for _ in range(2):
        assert "You said yes" in await say("Ada Obi", do="propose", form="f")
    told = await scene.log.wait(mentor, "CircleProposed")
    assert (set(told.people), told.proposed_by) == ({pairs["Ben Eze"][1], pairs["Cam Ito"][1]}, pairs["Ada Obi"][1])
    circle = str(told.circle_id)
    page = await scene.see("co-mentees", told.circle_id, pairs["Ben Eze"][1], 1)  # as in the mail
    assert "Ada Obi would like to form a circle" in page.text
    assert (await scene.see("co-mentees", told.circle_id, new_id(), 1)).status_code == 403
    await say("Ben Eze", do="yes", form=str(new_id()))
    for _ in range(2):
        page = await scene.do("co-mentees", told.circle_id, pairs["Ben Eze"][1], 1, do="yes", form=circle)
        assert "You said yes" in page.text
    assert "Enough of you said yes" in await say("Cam Ito", do="yes", form=circle)
    agreed_on = await scene.log.wait(mentor, "CircleAgreed")
    assert agreed_on.circle_id == told.circle_id
    assert scene.log.names(mentor) == ["CircleProposed", "CircleAgreed"]
    assert all(name not in written.body for written in scene.log.of(mentor) for name in pairs)

    peers = tuple(Member(person_id=one, role=Role.peer, organization=scene.owner) for one in agreed_on.people)
    made = GroupCreated(relationship_id=told.circle_id, program=scene.program, members=peers, score=0, format=Format.circle)
    await scene.send(made, made)
    await scene.log.wait(told.circle_id, "AgreementProposed")
    for name in ("Ada Obi", "Ben Eze", "Cam Ito"):
        assert "You are in a circle together" in await say(name)
        await scene.do("sign", told.circle_id, pairs[name][1], 1)
    await scene.log.wait(told.circle_id, "MeetingProposed")
    assert (await scene.see("share", told.circle_id, pairs["Ada Obi"][1], 1)).status_code == 200


async def test_when_the_time_is_up_or_too_few_could_come_it_is_said_on_the_page(scene):
    mentor, pairs = await mentees_of_one(scene, 3)
    for name in pairs:
        await scene.do("co-mentees", *pairs[name], 1, do="in")
    await scene.do("co-mentees", *pairs["Ada Obi"], 1, do="propose", form="f")
    told = await scene.log.wait(mentor, "CircleProposed")
    await scene.clock_past(told.answer_by)

    async def over():
        return "there weren’t enough of you" in (await scene.see("co-mentees", *pairs["Ben Eze"], 1)).text

    assert await until(over)
    await scene.clock_past(told.answer_by + timedelta(days=30))
    await scene.do("co-mentees", *pairs["Ben Eze"], 1, do="propose", form="g")
    again = await scene.log.wait(mentor, "CircleProposed", 2)
    for name in ("Ada Obi", "Cam Ito"):
        await scene.do("co-mentees", again.circle_id, pairs[name][1], 1, do="yes", form=str(again.circle_id))
    await scene.log.wait(mentor, "CircleAgreed")
    people = tuple(one for _, one in pairs.values())[:2]
    reason = RejectionReason.no_longer_holds
    rejected = MatchRejected(relationship_id=again.circle_id, program=scene.program, reason=reason, people=people)
    await scene.send(rejected, rejected)

    async def fell():
        return "Too few of those who said yes" in (await scene.see("co-mentees", *pairs["Cam Ito"], 1)).text

    assert await until(fell)


async def test_an_erased_mentee_is_seen_by_nobody_and_without_the_mentor_there_is_no_circle(scene):
    mentor, pairs = await mentees_of_one(scene, 4)
    for name in pairs:
        await scene.do("co-mentees", *pairs[name], 1, do="in")
    await scene.do("co-mentees", *pairs["Ada Obi"], 1, do="propose", form="f")
    told = await scene.log.wait(mentor, "CircleProposed")
    await scene.send(PersonErased(person_id=pairs["Dia Lux"][1], revision=9))

    async def unseen():
        return "Dia Lux" not in (await scene.see("co-mentees", *pairs["Ben Eze"], 1)).text

    assert await until(unseen)
    assert (await scene.do("co-mentees", *pairs["Dia Lux"], 1, do="in")).status_code == 404
    await scene.do("co-mentees", *pairs["Ben Eze"], 1, do="yes", form=str(told.circle_id))
    await scene.do("co-mentees", *pairs["Cam Ito"], 1, do="yes", form=str(told.circle_id))
    assert pairs["Dia Lux"][1] not in (await scene.log.wait(mentor, "CircleAgreed")).people
    await scene.send(PersonErased(person_id=mentor, revision=9))
    nobody = "select people = '{}' and proposal is null from scheduling.co_mentees where mentor_id = $1"
    assert await until(lambda: scene.db.fetchval(nobody, mentor))
