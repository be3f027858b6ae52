"""The agreement over time: who hasn't signed is reminded, and it ends where nobody does; it is changed, and every version kept."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduling import store
from services.scheduling.agreeing import Typed, draft_of, fields_of, fields_sent, merged, wrong
from services.scheduling.clauses import changes, clauses
from services.scheduling.domain import agreement, meetings, people, renewal, unsigned, versions
from services.scheduling.domain.model import About, Agreement, Rules, Written
from services.scheduling.domain.unsigned import Step, steps
from services.scheduling.domain.versions import Draft
from services.scheduling.wording import Words
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    EndReason,
    Format,
    GroupCreated,
    Member,
    Milestone,
    PersonEnrolled,
    PersonErased,
    PersonPaused,
    PersonResumed,
    PersonStatus,
    Policy,
    ProgramChanged,
    RevisionReason,
    Role,
    Side,
    StallReason,
    Term,
)
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.examples import NOW, PROGRAM, At, agreed, armed, cleared, names, pair, person, took
from tests.scheduling.test_rules import record, report

DAY = timedelta(days=1)
SPREAD = timedelta(hours=1)


def drafted(**more):
    """A relationship that waits for signatures, and when it is looked at next."""
    outcome = agreement.begun(pair(**more), At())
    relationship, _ = took(outcome, None)
    return relationship, armed(outcome)["unsigned"]


def waited(relationship, at):
    """All that comes of nobody doing anything: (days since the beginning, names, relationship after it)."""
    told = []
    while at is not None and relationship.ended_at is None:
        outcome = unsigned.due(relationship, At(at))
        relationship, _ = took(outcome, relationship)
        told.append(((at - NOW).days, names(outcome), outcome))
        at = armed(outcome).get("unsigned")
    return relationship, told


def signed_by(relationship, *which):
    for n in which:
        relationship, _ = took(agreement.sign(relationship, relationship.members[n].person_id, At()), relationship)
    return relationship


# ---- nobody signs, or only some do -----------------------------------------------------------------------------------------


def test_reminders_then_the_coordinator_then_an_end_that_blames_nobody():
    relationship, at = drafted()
    assert NOW + 3 * DAY <= at < NOW + 3 * DAY + SPREAD
    relationship, told = waited(relationship, at)
    assert [(days, what) for days, what, _ in told] == [
        (3, ["SignaturesAwaited"]),
        (7, ["SignaturesAwaited"]),
        (10, ["PairStalled"]),
        (14, ["PairEnded"]),
    ]
    first, _, stalled, ended = [outcome.events[0] for _, _, outcome in told]
    assert (first.people, first.days, first.version) == (tuple(m.person_id for m in relationship.members), 3, 1)
    assert stalled.reason is StallReason.unsigned
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.never_signed, Side.both, ())
    assert "unsigned" in cleared(told[-1][2])
    assert agreement.sign(relationship, relationship.members[0].person_id, At(NOW + 15 * DAY)) == NOTHING


@pytest.mark.parametrize(
    ("roles", "signed", "side"),
    [
        ((Role.mentor, Role.mentee), (0,), Side.mentee),
        ((Role.mentor, Role.mentee), (1,), Side.mentor),
        ((Role.peer, Role.peer), (0,), Side.other),
        ((Role.peer, Role.peer), (), Side.both),
        ((Role.mentor, Role.mentee, Role.mentee), (0, 1), Side.mentee),
        ((Role.mentor, Role.mentee, Role.mentee), (1, 2), Side.mentor),
        ((Role.mentor, Role.mentee, Role.mentee), (1,), Side.both),
    ],
)
def test_only_those_missing_are_reminded_and_who_signed_goes_first(roles, signed, side):
    relationship, at = drafted(people=[person() for _ in roles], roles=roles)
    relationship = signed_by(relationship, *signed)
    ids = [m.person_id for m in relationship.members]
    _, told = waited(relationship, at)
    assert told[0][2].events[0].people == tuple(p for n, p in enumerate(ids) if n not in signed)
    ended = told[-1][2].events[0]
    assert (ended.side, ended.rematch_first) == (side, tuple(ids[n] for n in signed))


def test_signed_by_all_nothing_waits_and_who_stood_still_is_alive():
    relationship, at = drafted()
    for _ in range(3):
        outcome = unsigned.due(relationship, At(at))
        relationship, _ = took(outcome, relationship)
        at = armed(outcome)["unsigned"]
    assert relationship.stalled_at is not None
    relationship = signed_by(relationship, 0)
    last = agreement.sign(relationship, relationship.members[1].person_id, At(NOW + 12 * DAY))
    assert names(last) == ["AgreementSigned", "PairRecovered", "MeetingProposed"]
    assert "unsigned" in cleared(last)
    relationship, _ = took(last, relationship)
    assert (relationship.unsigned, relationship.stalled_at) == (None, None)
    assert unsigned.due(relationship, At(at)) == NOTHING, "a timer that was read before is nothing"


def test_who_meets_without_having_signed_is_neither_stalled_nor_ended():
    relationship, at = drafted()
    event = report(relationship, NOW)
    relationship, _ = took(meetings.report(relationship, event, lambda _: None, At(NOW + DAY)), relationship)
    relationship, told = waited(relationship, at)
    assert [what for _, what, _ in told] == [["SignaturesAwaited"], ["SignaturesAwaited"], [], []]
    assert relationship.ended_at is None


def test_a_break_is_not_counted():
    someone = person()
    relationship, at = drafted(people=[person(), someone])
    stopped = people.told(relationship, None, record(PersonPaused, someone, status=PersonStatus.paused), At(NOW + DAY))
    assert "unsigned" in cleared(stopped)
    relationship, _ = took(stopped, relationship)
    assert unsigned.due(relationship, At(at)) == NOTHING
    again = people.told(relationship, None, record(PersonResumed, someone, 3), At(NOW + 21 * DAY))
    assert armed(again)["unsigned"] == at + 20 * DAY
    _, told = waited(took(again, relationship)[0], armed(again)["unsigned"])
    assert [days for days, _, _ in told] == [23, 27, 30, 34]


def test_who_begins_with_a_break_is_not_waited_for_in_it():
    someone = person(status=PersonStatus.paused)
    outcome = agreement.begun(pair(people=[person(), someone]), At())
    assert "unsigned" not in armed(outcome)
    relationship, _ = took(outcome, None)
    again = people.told(relationship, None, record(PersonResumed, someone), At(NOW + 9 * DAY))
    assert (armed(again)["unsigned"] - NOW).days == 12


def test_after_an_outage_one_step_at_a_time():
    relationship, _ = drafted()
    _, told = waited(relationship, NOW + 20 * DAY)
    assert [(days, what) for days, what, _ in told] == [
        (20, ["SignaturesAwaited"]),
        (24, ["SignaturesAwaited"]),
        (27, ["PairStalled"]),
        (31, ["PairEnded"]),
    ]


def test_a_changed_program_moves_what_is_to_come():
    relationship, at = drafted()
    relationship, _ = took(unsigned.due(relationship, At(at)), relationship)
    policy = {"unsigned_reminder_days": (2, 5), "unsigned_days_before_stalled": 20, "unsigned_days_before_end": 30}
    event = ProgramChanged(program=PROGRAM, organization="northwind", name="C", policy=policy, revision=2)
    outcome = people.caught_up(relationship, None, people.program_after(None, event), At(NOW + 4 * DAY))
    _, told = waited(took(outcome, relationship)[0], armed(outcome)["unsigned"])
    assert [days for days, _, _ in told] == [5, 20, 30]


def test_one_that_was_drafted_before_days_were_counted_begins_to_be_counted():
    relationship = replace(drafted()[0], unsigned=None)
    outcome = unsigned.due(relationship, At(NOW + 40 * DAY))
    assert names(outcome) == []
    assert (armed(outcome)["unsigned"] - NOW).days == 43


@given(
    reminders=st.lists(st.integers(1, 90), max_size=10),
    stalled=st.integers(1, 180),
    end=st.integers(2, 365),
)
def test_whatever_a_program_says_the_end_is_last(reminders, stalled, end):
    policy = Policy(unsigned_reminder_days=reminders, unsigned_days_before_stalled=stalled, unsigned_days_before_end=end)
    found = steps(Rules.of(policy), holds=False)
    assert found == sorted(found)
    assert found[-1] == (end, Step.end)
    assert [step for _, step in found].count(Step.end) == 1
    assert {step for _, step in steps(Rules.of(policy), holds=True)} <= {Step.remind}


# ---- changed -----------------------------------------------------------------------------------------------------------------


def changed(relationship, which, moment=None, kept=None, written=(), **terms):
    """(outcome, relationship, versions as kept by number) after a member's change."""
    kept = dict(kept or {})
    before = kept.get(relationship.version)
    draft = Draft(relationship.newest.model_copy(update=terms), dict(written))
    outcome = versions.revise(relationship, before, relationship.members[which].person_id, draft, moment or At())
    relationship, _ = took(outcome, relationship)
    return outcome, relationship, kept | {a.version: a for a in outcome.changed if isinstance(a, Agreement)}


def test_a_draft_is_changed_before_anyone_has_signed():
    relationship, _ = drafted()
    relationship = signed_by(relationship, 0)
    outcome, relationship, kept = changed(relationship, 1, every_weeks=3, written={About.purpose: " To lead a team "})
    assert names(outcome) == ["AgreementRevised", "AgreementSigned"]
    revised, signed = outcome.events
    mentor, mentee = (m.person_id for m in relationship.members)
    assert (revised.version, revised.reason, revised.revised_by) == (2, RevisionReason.edited, mentee)
    assert (signed.version, signed.person_id, signed.complete) == (2, mentee, False)
    assert all("lead" not in event.model_dump_json() for event in outcome.events), "words stay here"
    assert not relationship.has_signed(mentor), "the others sign anew"
    assert (relationship.terms.every_weeks, relationship.revised) == (3, None)
    assert (kept[1].terms.every_weeks, kept[1].reason, kept[2].text(About.purpose)) == (2, None, "To lead a team")
    last = agreement.sign(relationship, mentor, At())
    assert names(last) == ["AgreementSigned", "MeetingProposed"]


def test_until_all_have_signed_the_version_before_holds_and_another_rhythm_is_that_of_the_next_proposal():
    relationship, known = agreed()
    outcome, relationship, _ = changed(relationship, 0, every_weeks=4, minutes=60)
    assert names(outcome) == ["AgreementRevised", "AgreementSigned"]
    assert (relationship.terms.every_weeks, relationship.newest.every_weeks, relationship.revised.holds) == (2, 4, 1)
    _, waiting, _ = changed(relationship, 0, months=9)
    assert waiting.revised.holds == 1, "of several changes too"
    last = agreement.sign(relationship, relationship.members[1].person_id, At())
    assert names(last) == ["AgreementSigned"]
    assert last.events[0].complete
    assert armed(last) == {}
    relationship, _ = took(last, relationship)
    assert (relationship.terms.every_weeks, relationship.revised, relationship.unsigned) == (4, None, None)
    (meeting,) = known.values()
    relationship, known = took(meetings.pick(relationship, meeting, new_id(), meeting.slots[0], At()), relationship, known)
    held = meetings.say_met(relationship, known[meeting.id], relationship.members[0].person_id, 30, At(NOW + 20 * DAY))
    following = held.events[-1]
    assert (following.minutes, (following.slots[0] - meeting.slots[0]).days >= 26) == (60, True)


def test_other_months_move_the_end():
    relationship, _ = agreed()
    was = relationship.until
    _, relationship, _ = changed(relationship, 0, months=8)
    assert relationship.until == was
    last = agreement.sign(relationship, relationship.members[1].person_id, At())
    relationship, _ = took(last, relationship)
    assert armed(last)["end"] == relationship.until
    assert armed(last).keys() == {"end", "half_time", "renewal"}
    assert (relationship.until.month, relationship.until.year) == (7, 2027)
    with pytest.raises(Rejected):
        changed(relationship, 0, At(NOW + 70 * DAY), months=2)


def test_a_change_of_an_agreement_that_holds_is_reminded_of_and_never_ends_it():
    relationship, _ = agreed()
    outcome, relationship, _ = changed(relationship, 0, every_weeks=4)
    _, told = waited(relationship, armed(outcome)["unsigned"])
    assert [(days, what) for days, what, _ in told] == [(3, ["SignaturesAwaited"]), (7, ["SignaturesAwaited"])]


def test_words_keep_their_writer_and_go_with_them():
    relationship, _ = agreed()
    mentor, mentee = (m.person_id for m in relationship.members)
    _, relationship, kept = changed(relationship, 1, written={About.purpose: "Mine", About.boundaries: "No evenings"})
    both = {About.purpose: "Mine", About.boundaries: "No mornings"}
    _, relationship, kept = changed(relationship, 0, kept=kept, written=both)
    assert {(w.about, w.by) for w in kept[3].written} == {(About.purpose, mentee), (About.boundaries, mentor)}
    assert kept[3].writers == tuple(sorted(map(str, (mentor, mentee))))
    (forgotten,) = versions.forget(kept[3], mentee).changed
    assert [(w.about, w.text) for w in forgotten.written] == [(About.boundaries, "No mornings")]
    assert forgotten.writers == (str(mentor),)
    (forgotten,) = versions.forget(kept[2], mentee).changed
    assert (forgotten.written, forgotten.writers) == ((), ())
    assert versions.forget(forgotten, mentee) == NOTHING


def test_what_is_the_same_or_too_late_changes_nothing():
    relationship, _ = agreed()
    assert changed(relationship, 0)[0] == NOTHING
    assert changed(replace(relationship, ended_at=NOW), 0, every_weeks=5)[0] == NOTHING
    assert changed(replace(relationship, version=0, format=Format.conversation), 0, every_weeks=5)[0] == NOTHING
    with pytest.raises(Rejected):
        changed(replace(relationship, version=50), 0, every_weeks=5)


def test_a_group_goes_on_with_the_change_when_the_last_one_missing_leaves():
    trio, _ = agreed(people=[person(), person(), person()], roles=(Role.mentor, Role.mentee, Role.mentee))
    _, trio, _ = changed(trio, 0, every_weeks=4)
    trio, _ = took(agreement.sign(trio, trio.members[1].person_id, At()), trio)
    assert trio.is_open
    left = people.leave(trio, None, trio.members[2].person_id, EndReason.person_withdrawn, At())
    trio, _ = took(left, trio)
    assert (trio.terms.every_weeks, trio.is_open) == (4, False)


# ---- what the months bring -----------------------------------------------------------------------------------------------------


def running(term=Term.long, **more):
    """A relationship whose agreement holds, and the timers of its months."""
    relationship = replace(pair(**more), term=term)
    relationship, _ = took(agreement.begun(relationship, At()), None)
    for member in relationship.members:
        outcome = agreement.sign(relationship, member.person_id, At())
        relationship, _ = took(outcome, relationship)
    return relationship, armed(outcome)


@pytest.mark.parametrize(("months", "half", "offer"), [(6, 90, 151), (12, 182, 334), (3, 46, 61), (2, 30, 54), (1, 15, 23)])
def test_half_time_and_the_offer_hang_on_the_end(months, half, offer):
    relationship, timers = running(agreement={"months": months})
    assert timers["end"] == relationship.until
    assert ((timers["half_time"] - NOW).days, (timers["renewal"] - NOW).days) == (half, offer)
    assert "renewal" not in running(Term.short, agreement={"months": months})[1]


def test_half_time_is_celebrated_once_and_not_long_after():
    relationship, timers = running()
    outcome = renewal.half_time(relationship, At(timers["half_time"]))
    assert [e.milestone for e in outcome.events] == [Milestone.half_time]
    reached, _ = took(outcome, relationship)
    assert names(renewal.half_time(reached, At(timers["half_time"]))) == []
    assert renewal.half_time(relationship, At(timers["half_time"] + 60 * DAY)) == NOTHING
    assert renewal.half_time(replace(relationship, ended_at=NOW), At(timers["half_time"])) == NOTHING
    changed_then, _, _ = changed(reached, 0, At(timers["half_time"] + 3 * DAY), every_weeks=4)
    assert changed_then.events[0].reason is RevisionReason.half_time
    changed_later, _, _ = changed(reached, 0, At(timers["half_time"] + 30 * DAY), every_weeks=4)
    assert changed_later.events[0].reason is RevisionReason.edited


def test_those_who_all_say_yes_go_on_for_as_long_again():
    relationship, timers = running()
    until, (mentor, mentee) = relationship.until, (m.person_id for m in relationship.members)
    assert renewal.renew(relationship, mentor, At()) == NOTHING, "before it was offered"
    offered = renewal.offer(relationship, At(timers["renewal"]))
    (event,) = offered.events
    assert (event.renewals, event.months, event.until) == (0, 6, until)
    relationship, _ = took(offered, relationship)
    assert renewal.offer(relationship, At(timers["renewal"])) == NOTHING
    one = renewal.renew(relationship, mentor, At(timers["renewal"]))
    assert names(one) == []
    relationship, _ = took(one, relationship)
    assert renewal.renew(relationship, mentor, At(timers["renewal"])) == NOTHING
    both = renewal.renew(relationship, mentee, At(timers["renewal"]))
    assert names(both)[0] == "AgreementRevised"
    revised = both.events[0]
    assert (revised.reason, revised.version, revised.until) == (RevisionReason.renewed, 1, event.renewed_until)
    relationship, _ = took(both, relationship)
    assert (relationship.until, relationship.renewals, relationship.renewal) == (event.renewed_until, 1, None)
    assert (relationship.until.month, relationship.until.year) == (11, 2027)
    assert armed(both)["end"] == relationship.until
    assert until < armed(both)["renewal"] < relationship.until
    assert renewal.renew(relationship, mentee, At(timers["renewal"])) == NOTHING
    _, relationship, _ = changed(relationship, 0, At(until), months=9)
    relationship, _ = took(agreement.sign(relationship, mentee, At(until)), relationship)
    assert (relationship.until.month, relationship.until.year) == (2, 2028), "months are counted from where they were renewed"


def test_going_on_leaves_a_change_that_waits_as_it_is():
    relationship, timers = running()
    _, relationship, _ = changed(relationship, 0, every_weeks=4)
    relationship, _ = took(renewal.offer(relationship, At(timers["renewal"])), relationship)
    for member in relationship.members:
        outcome = renewal.renew(relationship, member.person_id, At(timers["renewal"]))
        relationship, _ = took(outcome, relationship)
    assert (outcome.events[0].version, outcome.events[0].terms.every_weeks) == (1, 2)
    assert (relationship.newest.every_weeks, relationship.version, relationship.is_open) == (4, 2, True)


def test_in_a_group_who_leaves_is_not_waited_for():
    trio, timers = running(people=[person(), person(), person()], roles=(Role.mentor, Role.mentee, Role.mentee))
    trio, _ = took(renewal.offer(trio, At(timers["renewal"])), trio)
    for member in trio.members[:2]:
        trio, _ = took(renewal.renew(trio, member.person_id, At(timers["renewal"])), trio)
    left = people.leave(trio, None, trio.members[2].person_id, EndReason.person_withdrawn, At(timers["renewal"]))
    assert names(left)[0] == "AgreementRevised"


def test_a_reached_goal_ends_a_short_relationship_with_a_celebration():
    relationship, _ = running(Term.short)
    mentor, mentee = (m.person_id for m in relationship.members)
    outcome = renewal.reached(relationship, None, mentee, At(NOW + 30 * DAY))
    assert names(outcome) == ["MilestoneReached", "PairEnded"]
    milestone, ended = outcome.events
    assert milestone.milestone is Milestone.completed
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.goal_attained, Side.mentee, ())
    assert {"end", "half_time", "renewal", "unsigned"} <= cleared(outcome)
    over, _ = took(outcome, relationship)
    assert renewal.reached(over, None, mentor, At(NOW + 31 * DAY)) == NOTHING
    assert renewal.reached(running(Term.long)[0], None, mentee, At()) == NOTHING
    assert renewal.reached(replace(drafted()[0], term=Term.short), None, mentee, At()) == NOTHING


# ---- in words ------------------------------------------------------------------------------------------------------------------


def test_a_difference_is_told_as_it_was_and_as_it_is():
    relationship, _ = agreed()
    mentor = relationship.members[0].person_id
    words = Words(relationship, mentor, NOW)
    terms = relationship.terms.model_copy(update={"every_weeks": 1, "mentor_hours_per_week": 1.5, "confidential": False})
    written = (Written(About.outcome, "A talk given", mentor),)
    after = replace(versions.as_drafted(relationship), version=2, terms=terms, written=written)
    before = clauses(words, relationship.terms, None)
    assert [(c.about, c.was, c.now) for c in changes(before, clauses(words, terms, after))] == [
        ("A good outcome", "", "A talk given"),
        ("How often", "We meet every 2 weeks, for 30 minutes.", "We meet every week, for 30 minutes."),
        ("The mentor’s time", "", "About 1.5 hours a week."),
        ("Confidential", "What we say stays between us.", ""),
    ]
    assert changes(before, before) == []


FIELDS = {
    "every_weeks": st.sampled_from(["1", "2", "26"]),
    "minutes": st.sampled_from(["30", "45"]),
    "months": st.sampled_from(["6", "7"]),
    "hours_per_week": st.sampled_from(["", "1.5", "2,25"]),
    "mentor_hours_per_week": st.sampled_from(["", "2"]),
    "confidential": st.sampled_from(["", "yes"]),
    "channels": st.lists(st.sampled_from(["video", "phone"]), unique=True),
    "topics": st.lists(st.sampled_from(["career", "skills"]), unique=True),
    "purpose": st.sampled_from(["", "To learn\r\nand to teach "]),
    "outcome": st.just(""),
    "boundaries": st.just("None"),
}


@given(mine=st.fixed_dictionaries(FIELDS), theirs=st.fixed_dictionaries(FIELDS))
def test_whose_form_is_of_before_overwrites_only_what_they_changed(mine, theirs):
    relationship, _ = agreed()
    first = versions.as_drafted(relationship)

    def version(fields):
        draft = draft_of(fields_sent(Typed(**fields)), [first])
        written = tuple(Written(about, text, new_id()) for about, text in draft.written.items() if text)
        return replace(first, terms=draft.terms, written=written)

    base, newest, typed = fields_of(first), fields_of(version(theirs)), fields_of(version(mine))
    upon = merged(base, typed, newest)
    for name, said in upon.items():
        assert said == (typed[name] if typed[name] != base[name] else newest[name])
    assert fields_of(version({**upon})) == upon, "what a form shows is what it says"
    assert wrong(upon, relationship, NOW) == {}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("every_weeks", "0"),
        ("every_weeks", "27"),
        ("every_weeks", ""),
        ("minutes", "x"),
        ("months", "61"),
        ("months", "1"),
        ("hours_per_week", "0"),
        ("hours_per_week", "41"),
        ("hours_per_week", "1e1"),
        ("purpose", "x" * 1001),
    ],
)
def test_what_a_form_cannot_say_is_marked(field, said):
    relationship, _ = agreed()
    fields = fields_of(versions.as_drafted(relationship)) | {field: said}
    assert list(wrong(fields, relationship, NOW + 40 * DAY)) == [field]


# ---- through Kafka, HTTP and PostgreSQL -------------------------------------------------------------------------------------


async def test_an_agreement_that_only_one_signs_ends_after_reminders_and_the_page_says_so_kindly(scene):
    pair = await scene.pair()
    began = scene.now
    await scene.do("sign", pair.id, pair.mentee, 1)
    for days, name, count in ((3, "SignaturesAwaited", 1), (7, "SignaturesAwaited", 2), (10, "PairStalled", 1)):
        await scene.clock_past(began + days * DAY + SPREAD)
        event = await scene.log.wait(pair.id, name, count)
        if name == "SignaturesAwaited":
            assert event.people == (pair.mentor,)
    assert event.reason is StallReason.unsigned
    assert await scene.timers(pair.id) == {"unsigned"}
    key = await scene.key(scene.owner, "coordinate")
    seen = (await scene.http.get(f"/v1/relationships/{pair.id}", headers=key)).json()
    assert seen["stalled_at"] is not None
    await scene.clock_past(began + 14 * DAY + 2 * SPREAD)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side, ended.rematch_first) == (EndReason.never_signed, Side.mentor, (pair.mentee,))
    assert await scene.timers(pair.id) == set()
    late = await scene.do("sign", pair.id, pair.mentor, 1)
    assert "There is nothing left to sign" in late.text
    assert "nobody is blamed" in late.text
    assert "you come first" in (await scene.see("sign", pair.id, pair.mentee, 1)).text
    assert scene.log.names(pair.id)[-1] == "PairEnded"


async def test_the_last_signature_clears_the_timer_and_a_group_is_told_of_its_missing(scene):
    pair = await scene.pair()
    assert await scene.timers(pair.id) == {"unsigned"}
    await pair.signed()
    assert "unsigned" not in await scene.timers(pair.id)

    people = [scene.person("Africa/Lagos") for _ in range(3)]
    await scene.send(*(scene.record(PersonEnrolled, p) for p in people))
    roles = (Role.mentor, Role.mentee, Role.mentee)
    members = tuple(Member(person_id=p, role=r, organization=scene.owner) for p, r in zip(people, roles, strict=True))
    group = GroupCreated(relationship_id=new_id(), program=scene.program, members=members, score=1, format=Format.group)
    await scene.send(group)
    await scene.log.wait(group.relationship_id, "AgreementProposed")
    for person_id in people[:2]:
        await scene.do("sign", group.relationship_id, person_id, 1)
    await scene.clock_past(scene.now + 3 * DAY + SPREAD)
    assert (await scene.log.wait(group.relationship_id, "SignaturesAwaited")).people == (people[2],)


async def test_a_pair_that_was_drafted_before_the_migration_is_counted_from_now(scene):
    pair = await scene.pair()
    await scene.db.execute("update scheduling.relationships set unsigned = null where id = $1", pair.id)
    await scene.db.execute("delete from scheduling.timers where owner = $1", str(pair.id))
    sql = (Path(store.__file__).parent / "migrations/0003_agreement.sql").read_text()
    insert = sql[sql.index("insert into timers") : sql.index("on conflict")] + "on conflict do nothing"
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        await scene.db.execute(insert)

    async def counted():
        return await scene.db.fetchval("select unsigned is not null from scheduling.relationships where id = $1", pair.id)

    assert await until(counted)
    assert await scene.timers(pair.id) == {"unsigned"}
    assert scene.log.names(pair.id) == ["AgreementProposed"]


async def form_of(page):
    """Where the form leads, and what stands in it."""
    address = unescape(re.search(r'<form method="post" action="([^"]+)"', page.text)[1])
    fields = dict(re.findall(r'<input id="(\w+)" name="\w+" type="\w+" value="([^"]*)"', page.text))
    fields |= dict(re.findall(r'<textarea id="(\w+)"[^>]*>([^<]*)</textarea>', page.text))
    for name, value in re.findall(r'<input type="checkbox" name="(\w+)" value="([^"]+)" checked', page.text):
        fields.setdefault(name, []).append(value)
    return str(page.url.join(address)), fields


async def send_form(scene, url, fields):
    answer = await scene.http.post(url, data=fields, headers=PAGE)
    if answer.status_code != 303:
        return answer
    return await scene.http.get(answer.url.join(answer.headers["location"]), headers=PAGE)


async def test_a_change_is_signed_anew_and_shows_what_is_different(scene):
    pair = await scene.pair()
    await pair.signed()
    url, fields = await form_of(await scene.see("edit", pair.id, pair.mentee, 1))
    assert (fields["every_weeks"], fields["months"], fields["confidential"]) == ("2", "6", ["yes"])
    same = await send_form(scene, url, fields)
    assert (same.status_code, "Nothing is different yet." in same.text) == (422, True)
    wrong_one = await send_form(scene, url, fields | {"months": "none"})
    assert (wrong_one.status_code, "A whole number, 1 to 60." in wrong_one.text) == (422, True)
    words = {"purpose": "Learn <b>sailing</b>", "months": "8", "topics": ["leadership", "made-up"]}
    page = await send_form(scene, url, fields | words)
    assert "You have signed. Once everyone has" in page.text
    revised = await scene.log.wait(pair.id, "AgreementRevised")
    assert (revised.version, revised.terms.months, revised.terms.topics) == (2, 8, ("leadership",))
    assert await scene.timers(pair.id) >= {"unsigned", "end"}

    old = await scene.do("sign", pair.id, pair.mentor, 1)
    assert "The newest mail has the link to sign it" in old.text
    page = await scene.see("sign", pair.id, pair.mentor, 2)
    assert "Your mentee changed it on" in page.text
    assert "until then what was agreed before does" in page.text
    assert re.search(r"For 6 months.*?For 8 months", page.text, re.DOTALL)
    assert "Learn &lt;b&gt;sailing&lt;/b&gt;" in page.text
    key = await scene.key(scene.owner, "read")
    seen = (await scene.http.get(f"/v1/relationships/{pair.id}", headers=key)).json()["agreement"]
    assert (seen["version"], seen["holds"], seen["months"], seen["signed_by"]) == (2, 1, 6, [str(pair.mentee)])
    end = await scene.db.fetchval("select fire_at from scheduling.timers where kind = 'end' and owner = $1", str(pair.id))
    page = await scene.do("sign", pair.id, pair.mentor, 2)
    assert "Everyone has signed: this is what holds between you." in page.text
    moved = await scene.db.fetchval("select fire_at from scheduling.timers where kind = 'end' and owner = $1", str(pair.id))
    assert 58 <= (moved - end).days <= 62
    assert await scene.timers(pair.id) == {"unpicked", "end", "half_time", "renewal"}
    assert (await scene.log.wait(pair.id, "AgreementSigned", 4)).complete
    assert scene.log.names(pair.id)[-3:] == ["AgreementRevised", "AgreementSigned", "AgreementSigned"]
    assert all("sailing" not in w.body for w in scene.log.of(pair.id))


async def test_of_two_who_change_it_at_once_the_second_sees_what_is_different_and_overwrites_nothing(scene):
    pair = await scene.pair()
    first, fields = await form_of(await scene.see("edit", pair.id, pair.mentor, 1))
    second, others = await form_of(await scene.see("edit", pair.id, pair.mentee, 1))
    await send_form(scene, first, fields | {"every_weeks": "3", "purpose": "To give back"})
    page = await send_form(scene, second, others | {"minutes": "45"})
    assert page.status_code == 409
    assert "It has changed meanwhile: your mentor changed it on" in page.text
    assert "We meet every 3 weeks, for 30 minutes." in page.text
    assert scene.log.names(pair.id).count("AgreementRevised") == 1
    url, upon = await form_of(page)
    assert (upon["every_weeks"], upon["minutes"], upon["purpose"]) == ("3", "45", "To give back")
    page = await send_form(scene, url, upon)
    assert "You have signed." in page.text
    revised = await scene.log.wait(pair.id, "AgreementRevised", 2)
    assert (revised.version, revised.terms.every_weeks, revised.terms.minutes) == (3, 3, 45)
    stale = await scene.see("edit", pair.id, pair.mentor, 1)
    assert "Change it as it is now" in stale.text
    assert "<textarea" not in stale.text

    races = [await form_of(await scene.see("edit", pair.id, p, 3)) for p in (pair.mentor, pair.mentee)]
    forms = zip(races, ("7", "8"), strict=True)
    answers = await asyncio.gather(*(send_form(scene, url, fields | {"months": months}) for (url, fields), months in forms))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert (await scene.log.wait(pair.id, "AgreementRevised", 3)).version == 4

    await scene.send(PersonErased(person_id=pair.mentor, revision=9))
    await scene.log.wait(pair.id, "PairEnded")

    async def forgotten():
        rows = await scene.db.fetch(
            "select written::text, writers::text from scheduling.agreements where relationship_id = $1", pair.id
        )
        return len(rows) == 4 and not any("give back" in row[0] or str(pair.mentor) in row[1] for row in rows)

    assert await until(forgotten)
    page = await scene.do("edit", pair.id, pair.mentee, 4, every_weeks="9")
    assert "there is nothing left to change" in page.text


async def test_no_partner_reads_a_version_and_an_erased_persons_words_are_found_by_index(scene):
    pair = await scene.pair()
    url, fields = await form_of(await scene.see("edit", pair.id, pair.mentor, 1))
    await send_form(scene, url, fields | {"purpose": "Between us"})
    async with scene.service.database.tenant(scene.owner) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from agreements")
    stranger = await scene.see("edit", pair.id, new_id(), 2)
    assert stranger.status_code == 403
    async with scene.db.transaction():
        await scene.db.execute("set local search_path = scheduling")
        await scene.db.execute("set local enable_seqscan = off")
        for sql, value, index in (
            (store.WRITTEN_BY_PERSON.sql, [pair.mentor], "agreements_writers"),
            (f"{store.AGREEMENTS.select} where relationship_id = $1 order by version", pair.id, "agreements_relationship_id"),
        ):
            plan = "\n".join(row[0] for row in await scene.db.fetch(f"explain {sql}", value))
            assert index in plan, plan


async def test_half_way_they_are_asked_to_look_again_and_at_the_end_whether_they_go_on(scene):
    pair = await scene.pair(form=Format.e_mentoring, agreement={"months": 3})
    for person_id in (pair.mentor, pair.mentee):
        await scene.do("sign", pair.id, person_id, 1)
    assert await scene.timers(pair.id) == {"end", "half_time", "renewal"}
    early = await scene.see("renew", pair.id, pair.mentor, 0)
    assert "You go on with your mentee" in early.text
    await scene.clock_past(scene.now + 47 * DAY)
    assert (await scene.log.wait(pair.id, "MilestoneReached")).milestone is Milestone.half_time
    await scene.clock_past(scene.now + 17 * DAY)
    offer = await scene.log.wait(pair.id, "RenewalOffered")
    page = await scene.see("renew", pair.id, pair.mentor, 0)
    assert "Yes, let’s go on" in page.text
    page = await scene.do("renew", pair.id, pair.mentor, 0)
    assert "You said yes." in page.text
    await scene.do("renew", pair.id, pair.mentor, 0)
    page = await scene.do("renew", pair.id, pair.mentee, 0)
    assert "You go on with your mentor" in page.text
    revised = await scene.log.wait(pair.id, "AgreementRevised")
    assert (revised.reason, revised.until) == (RevisionReason.renewed, offer.renewed_until)
    page = await scene.do("renew", pair.id, pair.mentor, 0)
    assert "You go on with your mentee" in page.text
    row = await scene.db.fetchrow("select until, renewals from scheduling.relationships where id = $1", pair.id)
    assert tuple(row) == (offer.renewed_until, 1)
    assert (await scene.see("renew", pair.id, new_id(), 1)).status_code == 403
    await scene.clock_past(offer.until + DAY)
    assert "PairEnded" not in scene.log.names(pair.id)
    await scene.clock_past(offer.renewed_until - 20 * DAY)
    await scene.log.wait(pair.id, "RenewalOffered", 2)
    await scene.clock_past(offer.renewed_until + DAY)
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert ended.reason is EndReason.completed, "it was offered again, and nobody said yes"
    assert "This has ended" in (await scene.do("renew", pair.id, pair.mentee, 1)).text


async def test_a_goal_that_is_reached_ends_what_was_for_it(scene):
    pair = await scene.pair(term=Term.short)
    page = await scene.do("reached", pair.id, pair.mentee, 1)
    assert "Once everyone has signed" in page.text
    scheduled = await pair.scheduled()
    assert "renewal" not in await scene.timers(pair.id)
    assert "Yes, our goal is reached" in (await scene.see("reached", pair.id, pair.mentee, 1)).text
    page = await scene.do("reached", pair.id, pair.mentee, 1)
    assert "You reached your goal" in page.text
    ended = await scene.log.wait(pair.id, "PairEnded")
    assert (ended.reason, ended.side) == (EndReason.goal_attained, Side.mentee)
    assert scene.log.names(pair.id)[-3:] == ["MilestoneReached", "MeetingCancelled", "PairEnded"]
    assert await scene.timers(pair.id) == set()
    assert "You reached your goal" in (await scene.do("reached", pair.id, pair.mentor, 1)).text
    assert "This has ended" in (await scene.see("pick", scheduled.meeting_id, pair.mentor, 1)).text
