"""When it is over each looks back: what is said of it, what isn't, and the way through the page."""

from dataclasses import replace

import pytest

from services.scheduling.domain import endings, looking_back
from services.scheduling.domain.looking_back import Again, LookBack, Said
from shared.events import EndReason, Format, PersonErased, Side
from tests.scheduling.conftest import PAGE, until
from tests.scheduling.examples import At, agreed, names, pair, took
from tests.scheduling.test_quiet import browser_of, writing


class Knowing(At):
    """A moment at which these looks back are known."""

    def get(self, kind, key):
        return self.planned.get(key) if kind is LookBack else super().get(kind, key)


def over(reason=EndReason.completed, **more):
    relationship, _ = agreed(form=Format.e_mentoring, **more)
    return took(endings.end(relationship, None, reason, Side.platform, At()), relationship)[0]


def looks(relationship, which, known=(), **said):
    moment = Knowing(planned={look.id: look for look in known})
    chosen = Said(**({"worth": 4, "again": Again.yes} | said))
    return looking_back.look_back(relationship, relationship.members[which].person_id, chosen, moment)


def test_codes_are_told_and_no_words():
    outcome = looks(over(EndReason.no_time), 1, why=EndReason.not_a_fit, text="We never found an hour.")
    (told,) = outcome.events
    assert (told.kind, told.score, told.tags, told.audience) == ("end", 4, ("again:yes", "why:not_a_fit"), ())
    assert "hour" not in told.model_dump_json()


def test_what_was_planned_has_no_why():
    assert looks(over(), 1, why=EndReason.no_time).events[0].tags == ("again:yes",)


def test_the_same_again_is_nothing_and_another_answer_counts_instead():
    relationship = over()
    (first,) = looks(relationship, 0).changed
    assert looks(relationship, 0, [first]).changed == ()
    (told,) = looks(relationship, 0, [first], worth=2).events
    assert (told.check_in_id, told.score, told.revision) == (first.id, 2, 2)


def test_addresses_are_shared_once_both_want_it():
    relationship = over()
    (mentor,) = looks(relationship, 0, stay=True).changed
    assert names(looks(relationship, 0, stay=True)) == ["CheckInAnswered"]
    assert names(looks(relationship, 1, [mentor])) == ["CheckInAnswered"]
    both = looks(relationship, 1, [mentor], stay=True)
    assert names(both) == ["CheckInAnswered", "AddressesShared"]
    assert names(looks(relationship, 1, [mentor, both.changed[0]], stay=True, worth=1)) == ["CheckInAnswered"]
    forgotten = looking_back.forget(replace(mentor, text="x")).changed[0]
    assert (forgotten.text, names(looks(relationship, 1, [forgotten], stay=True))) == ("", ["CheckInAnswered"])


@pytest.mark.parametrize("form", [Format.e_mentoring, Format.conversation])
def test_nobody_looks_back_before_the_end_or_on_what_never_began(form):
    drafted = pair(form=form)
    ended = took(endings.end(drafted, None, EndReason.never_signed, Side.both, At()), drafted)[0]
    running, _ = agreed()
    for relationship in (drafted, ended, running):
        assert looks(relationship, 0).changed == ()


async def test_both_look_back_stay_in_touch_and_a_coordinator_reads_it(scene):
    pair = await writing(scene)
    assert "You are in the middle of it" in (await scene.see("after", pair.id, pair.mentee, 1)).text
    await scene.do("end", pair.id, pair.mentor, 1, reason="no_time")
    await scene.log.wait(pair.id, "PairEnded")
    said = {"worth": "4", "again": "maybe", "stay": "yes", "text": "It was good while it lasted."}
    for wrong in ({}, {"worth": "4"}, said | {"worth": "9"}, said | {"why": "x"}, said | {"text": "x" * 2001}):
        assert (await scene.do("after", pair.id, pair.mentee, 1, **wrong)).status_code == 422
    for _ in range(2):
        page = await scene.do("after", pair.id, pair.mentee, 1, **said)
        assert "Thank you, it is noted." in page.text
    page = await scene.do("after", pair.id, pair.mentor, 1, worth="5", again="yes", stay="yes")
    assert "each of you has the other’s address" in page.text
    shared = await scene.log.wait(pair.id, "AddressesShared")
    assert set(shared.people) == {pair.mentor, pair.mentee}
    assert scene.log.names(pair.id).count("CheckInAnswered") == 2
    assert all("lasted" not in written.body for written in scene.log.of(pair.id))
    before = await scene.db.fetch("select * from scheduling.looks_back where relationship_id = $1 order by id", pair.id)
    for method in ("GET", "HEAD"):
        url = scene.url("after", pair.id, pair.mentee, 1)
        assert (await scene.http.request(method, url, headers=PAGE)).status_code == 200
    assert before == await scene.db.fetch("select * from scheduling.looks_back where relationship_id = $1 order by id", pair.id)

    async with browser_of(scene, scene.owner) as browser:
        where = f"/coordinate/pairs/{scene.program}"
        text = (await browser.get(where)).text
        assert "It was good while it lasted." in text
        token = text.split('name="token" value="')[1].split('"')[0]
        (mentees,) = [row["id"] for row in before if row["text"]]
        text = (await browser.post(where, data={"token": token, "do": "read", "thing": str(mentees)})).text
        assert "It was good while it lasted." not in text
    async with browser_of(scene, scene.guest) as browser:
        assert (await browser.get(where)).status_code == 404
    await scene.send(PersonErased(person_id=pair.mentee, revision=9))
    forgotten = "select text = '' and not stay from scheduling.looks_back where id = $1"
    assert await until(lambda: scene.db.fetchval(forgotten, mentees))
    assert (await scene.do("after", pair.id, pair.mentee, 1, **said)).status_code == 404
