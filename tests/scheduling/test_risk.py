"""Relationships at risk: what is seen, when it adds up and when not any more; on the topic for the owner alone, and on its coordinators' page."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from services.scheduling import at_risk, store
from services.scheduling.domain import agreement, changes, meetings, risk
from services.scheduling.domain.check_ins import Answer, Answers
from services.scheduling.domain.model import Apart, Past
from services.scheduling.domain.risk import FLAGGED_FROM, POINTS, WELL_UP_TO, Finding, findings, points
from shared.cloudevents import new_id
from shared.events import ChangeReason, CheckInKind, Fit, Format, Misalignment, PersonErased, RiskSign
from tests.scheduling.examples import NOW, At, agreed, armed, pair, took
from tests.scheduling.test_quiet import browser_of

DAY = timedelta(days=1)
NOTHING_SAID = Answers(new_id())


def running(**fields):
    """Two who signed a hundred days ago, met three days ago and have a goal: nothing is to be seen of them."""
    relationship, _ = agreed(At(NOW - 100 * DAY))
    healthy = {"held": 5, "last_held_at": NOW - 3 * DAY, "heard_at": NOW - 3 * DAY, "goals": 1}
    return replace(relationship, **(healthy | fields))


def past(*held):
    return tuple(Past(new_id(), NOW - (len(held) - n) * 14 * DAY, h) for n, h in enumerate(held))


def said(relationship, who, *scores, kind=CheckInKind.quality, fit=None, ago=5):
    """This member's answers to one check-in after another, two months apart; None for one that they let lapse."""
    for n, score in enumerate(scores):
        at = NOW - (ago + 60 * (len(scores) - 1 - n)) * DAY
        answered = at if score is not None else None
        person = relationship.members[who].person_id
        yield Answer(new_id(), person, kind, n, None, at - DAY, at, answered, score if kind is CheckInKind.quality else None, fit)


def seen(relationship, *answers, now=NOW):
    return {(f.sign, f.level): f.number for f in findings(relationship, Answers(relationship.id, answers), now)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"held": 0, "last_held_at": None, "agreed_at": NOW - 22 * DAY}, {(RiskSign.no_first_meeting, 1): 22}),
        ({"held": 0, "last_held_at": None, "agreed_at": NOW - 36 * DAY}, {(RiskSign.no_first_meeting, 2): 36}),
        ({"held": 0, "contacts": 1, "last_held_at": None, "agreed_at": NOW - 36 * DAY}, {}),
        ({"goals": 0}, {(RiskSign.no_goals, 1): 100}),
        ({"recent": past(True, True, False), "misses": (NOW,)}, {(RiskSign.misses, 2): 1}),
        ({"recent": past(True, False, False), "misses": (NOW, NOW)}, {(RiskSign.misses, 3): 2}),
        ({"recent": past(False, True, False, True, False, True)}, {(RiskSign.misses, 1): 3}),
        ({"changes": (NOW - 61 * DAY, NOW - DAY)}, {}),
        ({"changes": (NOW - 50 * DAY, NOW - DAY)}, {(RiskSign.moved, 1): 2}),
        ({"changes": (NOW - 50 * DAY, NOW - DAY, NOW)}, {(RiskSign.moved, 2): 3}),
        ({"picks": (False, True, True, True)}, {}),
        ({"picks": (True, False, False)}, {(RiskSign.slow, 2): 2}),
        ({"heard_at": NOW - 22 * DAY}, {(RiskSign.quiet, 1): 22}),
        ({"heard_at": NOW - 22 * DAY, "stalled_at": NOW - DAY}, {(RiskSign.quiet, 2): 22}),
        ({"heard_at": NOW - 30 * DAY, "stalled_at": NOW - 9 * DAY, "warned_at": NOW - 2 * DAY}, {(RiskSign.quiet, 3): 30}),
        ({"apart": (Apart(Misalignment.scores, NOW, 2),)}, {(RiskSign.apart, 1): 1}),
    ],
)
def test_signs_are_read_from_what_is_known_anyway(fields, expected):
    assert seen(running(**fields)) == expected


def test_signatures_that_are_missing_weigh_more_with_each_day():
    waiting, _ = took(agreement.begun(pair(), At()), None)
    found = [seen(waiting, now=NOW + days * DAY) for days in (3, 4, 6)]
    assert found == [{}, {(RiskSign.unsigned, 1): 4}, {(RiskSign.unsigned, 2): 6}]


def test_days_in_which_nobody_waits_for_a_signature_weigh_nothing():
    waiting, _ = took(agreement.begun(pair(), At()), None)
    stopped = replace(waiting, unsigned=replace(waiting.unsigned, stopped_at=NOW + 4 * DAY))
    assert seen(stopped, now=NOW + 9 * DAY) == {(RiskSign.unsigned, 1): 4}


def test_what_whoever_has_left_answered_weighs_nothing():
    pair = running()
    doubts = list(said(pair, 1, 0, kind=CheckInKind.fit, fit=Fit.not_a_fit))
    other = replace(pair, members=(pair.members[0], replace(pair.members[1], person_id=new_id())))
    assert (seen(pair, *doubts), seen(other, *doubts)) == ({(RiskSign.fit, 2): 0}, {})


def test_answers_are_weighed_by_the_lowest_and_by_each_ones_own_before():
    pair = running()
    assert seen(pair, *said(pair, 0, 4), *said(pair, 1, 5)) == {}
    assert seen(pair, *said(pair, 0, 3), *said(pair, 1, 5)) == {(RiskSign.low_score, 1): 0}
    assert seen(pair, *said(pair, 1, 4, 2)) == {(RiskSign.low_score, 2): 0, (RiskSign.falling_score, 1): 0}
    assert seen(pair, *said(pair, 0, 2), *said(pair, 1, 5, ago=101)) == {(RiskSign.low_score, 2): 0}, "a mild and a severe one"
    assert seen(pair, *said(pair, 0, 1, ago=101)) == {}, "long ago"
    assert seen(pair, *said(pair, 0, 0, kind=CheckInKind.fit, fit=Fit.unsure)) == {(RiskSign.fit, 1): 0}
    assert seen(pair, *said(pair, 0, 0, kind=CheckInKind.fit, fit=Fit.not_a_fit)) == {(RiskSign.fit, 2): 0}
    assert seen(pair, *said(pair, 0, None)) == {(RiskSign.unanswered, 1): 1}
    assert seen(pair, *said(pair, 0, None, None)) == {(RiskSign.unanswered, 2): 2}


def test_every_sign_has_its_points_its_words_and_what_would_help():
    assert {sign for sign, _ in POINTS} == set(RiskSign) - {RiskSign.other}
    assert set(at_risk.WORDS) == set(at_risk.HELP) == set(RiskSign)
    for sign in RiskSign:
        steps = [POINTS[at] for at in sorted(POINTS) if at[0] is sign]
        assert steps == sorted(steps), "the stronger, the more points"
    assert WELL_UP_TO < FLAGGED_FROM


FROZEN = {"heard_at": NOW - 40 * DAY, "stalled_at": NOW - 20 * DAY, "warned_at": NOW - 12 * DAY, "frozen_at": NOW - 4 * DAY}
"""With points enough alone."""


def test_it_is_flagged_where_points_add_up_and_told_to_the_owner_alone():
    outcome = risk.look(running(**FROZEN), At())
    (flagged,) = outcome.events
    assert flagged.signs == (RiskSign.quiet,)
    assert flagged.audience == ("northwind",), "the guest isn't told"
    after, _ = took(outcome, None)
    assert (after.risk, after.flagged_at) == (("quiet",), NOW)
    assert NOW < armed(outcome)["risk"] <= NOW + risk.EVERY

    again = risk.look(after, At().later(hours=1))
    assert (again.events, again.changed) == ((), ()), "told with a change alone"
    more = risk.look(replace(after, goals=0), At().later(hours=2))
    assert more.events[0].signs == (RiskSign.quiet, RiskSign.no_goals), "the heaviest first"


def test_between_the_two_bounds_it_stays_as_it_was(monkeypatch):
    monkeypatch.setattr(risk, "FLAGGED_FROM", 5)
    monkeypatch.setattr(risk, "WELL_UP_TO", 2)
    told = []
    relationship = running()
    for total in (4, 5, 3, 4, 2, 4, 6):
        found = [Finding(RiskSign.quiet, 1, 20)]
        monkeypatch.setattr(risk, "findings", lambda *_, found=found: found)
        monkeypatch.setattr(risk, "points", lambda _, total=total: total)
        relationship, _ = took(risk.look(relationship, At()), relationship)
        told.append(relationship.flagged_at is not None)
    assert told == [False, True, True, True, False, False, True]


def test_in_a_break_and_after_the_end_nobody_is_judged():
    paused = running(**FROZEN)
    paused = replace(paused, members=(replace(paused.members[0], paused=True), paused.members[1]))
    outcome = risk.look(paused, At())
    assert (outcome.events, set(armed(outcome))) == ((), {"risk"}), "it is looked at again"
    over = risk.look(running(ended_at=NOW, **FROZEN), At())
    assert (over.events, over.timers) == ((), ())
    assert not risk.look(pair(form=Format.conversation), At()).timers


def test_looks_are_spread_over_a_day_and_stay_at_their_moment():
    moments = {armed(risk.watched(pair(), At()))["risk"] for _ in range(50)}
    assert len(moments) == 50
    assert all(NOW < at <= NOW + DAY for at in moments)
    one = pair()
    first = armed(risk.watched(one, At()))["risk"]
    assert armed(risk.watched(one, At(first)))["risk"] == first + risk.EVERY
    late = armed(risk.watched(one, At(first + 5 * DAY)))["risk"]
    assert (late - first) % risk.EVERY == timedelta(), "after an outage they are spread as before"
    assert "risk" in armed(agreement.begun(one, At()))
    assert "risk" not in armed(agreement.begun(pair(form=Format.conversation), At()))


def test_what_members_move_and_what_nobody_picks_is_counted():
    relationship, known = agreed()
    meeting = known[relationship.meeting_id]
    person = relationship.members[0].person_id
    picked, _ = took(meetings.pick(relationship, meeting, person, meeting.slots[1], At()), relationship)
    assert (picked.picks, picked.changes) == ((True,), ())
    unpicked, _ = took(meetings.unpicked(relationship, meeting, At().later(days=3)), relationship)
    assert unpicked.picks == (False,)
    for reason, counted in ((ChangeReason.work, 1), (ChangeReason.ill, 0)):
        off, _ = took(changes.call_off(relationship, meeting, person, reason, At()), relationship)
        assert len(off.changes) == counted, reason
    many = relationship
    for n in range(20):
        many = risk.offered(risk.changed(many, NOW + n * DAY), picked=False)
    assert (len(many.changes), len(many.picks)) == (risk.REMEMBERED, risk.REMEMBERED)


def test_whoever_meets_is_looked_at_at_once():
    relationship, known = agreed()
    meeting = known[relationship.meeting_id]
    flagged = replace(relationship, flagged_at=NOW, risk=("slow",))
    scheduled = took(meetings.pick(flagged, meeting, flagged.members[0].person_id, meeting.slots[0], At()), flagged, known)
    relationship, known = scheduled
    after = At(meeting.slots[0] + timedelta(hours=2))
    held = meetings.say_met(relationship, known[meeting.id], relationship.members[0].person_id, 30, after)
    assert armed(held)["risk"] == after.now
    unflagged = meetings.say_met(
        replace(relationship, flagged_at=None), known[meeting.id], relationship.members[0].person_id, 30, after
    )
    assert "risk" not in armed(unflagged)


def test_having_written_rests_until_a_sign_more_is_seen():
    flagged, _ = took(risk.look(running(**FROZEN), At()), None)
    written, _ = took(risk.wrote(flagged, At()), flagged)
    assert written.written_at == NOW
    assert not risk.wrote(written, At().later(days=1)).changed, "twice is once"
    more = replace(written, recent=past(True, False, False), misses=(NOW, NOW))
    more, _ = took(risk.look(more, At().later(hours=1)), more)
    assert set(more.risk) == {"quiet", "misses"}
    assert more.written_at is None
    fewer = replace(more, written_at=NOW, risk=("quiet", "misses"), recent=(), misses=())
    fewer, _ = took(risk.look(fewer, At().later(hours=1)), fewer)
    assert (fewer.risk, fewer.written_at) == (("quiet",), NOW)
    well, _ = took(risk.look(running(flagged_at=NOW, risk=("quiet",), written_at=NOW), At()), None)
    assert (well.risk, well.flagged_at, well.written_at) == ((), None, None)
    assert points(()) == 0


# ---- through Kafka, the clock and the page --------------------------------------------------------------------------------


async def test_a_pair_at_risk_is_told_to_its_owner_listed_written_to_and_well_again(scene):
    pair = await scene.pair()
    created = await scene.db.fetchval("select created_at from scheduling.relationships where id = $1", pair.id)
    assert await scene.timers(pair.id) == {"unsigned", "risk"}
    await scene.clock_past(created + 8 * DAY)
    flagged = await scene.log.wait(pair.id, "PairFlagged")
    assert "unsigned" in flagged.signs
    assert flagged.audience == (scene.owner,)
    assert scene.log.names(pair.id).count("PairFlagged") == 1, "looked at several times, told once"

    where = f"/coordinate/pairs/{scene.program}"
    async with browser_of(scene, scene.owner) as browser:
        text = (await browser.get(where)).text
        assert "<h2>At risk</h2>" in text
        days = (scene.now - created).days
        assert f"Not signed by everyone for {days} days." in text
        assert "Ask what keeps them from signing." in text
        assert text.index("At risk</h2>") < text.index("Gone quiet</h2>")
        token = re.search(r'name="token" value="([^"]+)"', text)[1]
        assert (await browser.post(where, data={"token": "x", "do": "wrote", "thing": str(pair.id)})).status_code == 403
        for _ in range(2):
            text = (await browser.post(where, data={"token": token, "do": "wrote", "thing": str(pair.id)})).text
            assert "Not signed by everyone for" not in text
        other = {"token": token, "do": "wrote", "thing": str(new_id())}
        assert (await browser.post(where, data=other)).status_code == 404
    async with browser_of(scene, scene.guest) as browser:
        assert (await browser.get(where)).status_code == 404

    await pair.signed()
    await scene.clock_past(scene.now + risk.EVERY)
    well = await scene.log.wait(pair.id, "PairFlagged", 2)
    assert well.signs == ()
    row = await scene.db.fetchrow("select risk, flagged_at, written_at from scheduling.relationships where id = $1", pair.id)
    assert tuple(row) == ([], None, None)


async def test_scores_count_though_nobody_may_see_whose_they_are(scene):
    pair = await scene.pair()
    await pair.signed()
    await scene.db.execute(
        """insert into scheduling.check_ins (id, relationship_id, organization, program, person_id, kind, number, stage, asked_at,
        due_at, answered_at, score, answers, fit, tags, first_goal, differs, told, revision)
        select gen_random_uuid(), $1, $2, $3, who, what, 1, null, $5::timestamptz, $5::timestamptz + interval '9 days', $5::timestamptz, case when what = 'quality' then 1 end,
        '[]', case when what = 'fit' then 'not_a_fit' end, '{}', null, false, '{}', 1
        from unnest($4::uuid[]) as who cross join unnest(array['quality', 'fit']) as what""",
        pair.id,
        scene.owner,
        scene.program,
        [pair.mentor, pair.mentee],
        scene.now,
    )
    await scene.db.execute(
        "update scheduling.relationships set misses = jsonb_build_array(created_at, created_at) where id = $1", pair.id
    )
    await scene.clock_past(scene.now + risk.EVERY)
    flagged = await scene.log.wait(pair.id, "PairFlagged")
    assert RiskSign.low_score in flagged.signs
    async with browser_of(scene, scene.owner) as browser:
        text = (await browser.get(f"/coordinate/pairs/{scene.program}")).text
    card = text[text.index("<h2>At risk</h2>") : text.index("<h2>Gone quiet</h2>")]
    assert "Scores are low." in card
    assert "Doubts whether it fits." in card


async def test_an_erased_person_leaves_the_list_with_the_relationship(scene):
    pair = await scene.pair()
    created = await scene.db.fetchval("select created_at from scheduling.relationships where id = $1", pair.id)
    await scene.clock_past(created + 8 * DAY)
    await scene.log.wait(pair.id, "PairFlagged")
    await scene.send(PersonErased(person_id=pair.mentee, revision=9))
    await scene.log.wait(pair.id, "PairEnded")
    assert await scene.timers(pair.id) == set()
    async with browser_of(scene, scene.owner) as browser:
        text = (await browser.get(f"/coordinate/pairs/{scene.program}")).text
    assert "Not signed by everyone for" not in text


async def test_those_at_risk_are_found_by_index(scene):
    await scene.pair()
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        await scene.db.execute("set local enable_seqscan = off")
        sql = f"{store.RELATIONSHIPS.select} {store.AT_RISK}"
        plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {sql}", scene.program, scene.owner, 20))
        assert "relationships_at_risk" in plan, plan
        assert "Sort" not in plan, plan
