"""An agreement that is changed: every version is kept, told by what is different, and nobody overwrites anybody."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduling import store
from services.scheduling.agreeing import Typed, draft_of, fields_of, fields_sent, merged, wrong
from services.scheduling.clauses import changes, clauses
from services.scheduling.domain import agreement, meetings, people, versions
from services.scheduling.domain.model import About, Agreement, Written
from services.scheduling.domain.versions import Draft
from services.scheduling.wording import Words
from shared.cloudevents import new_id
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import (
    EndReason,
    Format,
    PersonErased,
    RevisionReason,
    Role,
)
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.examples import NOW, At, agreed, armed, names, person, took
from tests.scheduling.test_unsigned import drafted, signed_by, waited

DAY = timedelta(days=1)


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
    assert armed(last) == {"quiet": NOW + 42 * DAY}, "six weeks without a word are as long as three were"
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
    assert armed(last).keys() == {"end", "half_time", "renewal", "quiet", "check_in"}
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
    assert await scene.timers(pair.id) == {"unpicked", "end", "half_time", "renewal", "quiet", "check_in", "risk"}
    assert (await scene.log.wait(pair.id, "AgreementSigned", 4)).complete
    assert scene.log.names(pair.id)[-3:] == ["AgreementRevised", "AgreementSigned", "AgreementSigned"]
    assert all("sailing" not in w.body for w in scene.log.of(pair.id))

    for action, form, told in (
        ("goals", {"kind": "technical", "text": "Sail alone"}, "Sail alone"),
        ("end", {"reason": "other"}, "This has ended"),
    ):
        page = await scene.do(action, pair.id, pair.mentee, 1, **form)
        assert told in page.text, "a mail of before the change still leads there"


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
