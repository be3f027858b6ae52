"""Whoever was a mentee, and is through, becomes a mentor: behind the link of a mail, over real Kafka and PostgreSQL."""

from dataclasses import replace

import pytest

from services.gateway import domain
from shared.cloudevents import new_id
from shared.events import Member, PairCreated, PairEnded, PersonStatus, Role
from shared.links import wishes_id
from tests.gateway.conftest import until
from tests.gateway.test_nominations import ADA, OPENED, PAGE, mentee, person  # noqa: F401 - a fixture
from tests.producing import send


@pytest.mark.parametrize(
    ("who", "matched", "may"),
    [
        (ADA, False, True),
        (ADA, True, False),
        (person("m", Role.mentor), False, False),
        (person("gone", None), False, False),
        (person("paused", status=PersonStatus.paused), False, False),
    ],
)
def test_who_may_become_a_mentor(who, matched, may):
    assert domain.may_mentor(who, OPENED, matched=matched) is may
    assert not domain.may_mentor(who, replace(OPENED, closed=True), matched=matched)


@pytest.mark.platform
async def test_a_mentee_who_is_through_becomes_a_mentor_once(gate, mentee):  # noqa: F811
    program = mentee.program
    await mentee.partner.say("ProfileChanged", person="n1", skills_wanted=["public speaking", "python"])
    url = mentee.url("mentor", wishes_id(program, mentee.id), mentee.id)
    members = tuple(
        Member(person_id=who, role=role, organization=mentee.partner.name)
        for who, role in ((new_id(), Role.mentor), (mentee.id, Role.mentee))
    )
    about = {"relationship_id": new_id(), "program": program, "audience": (mentee.partner.name,)}
    await send(
        gate.stage.kafka, [PairCreated(**about, members=members, score=1)], organization=mentee.partner.name, program=program
    )

    async def says(words):
        return words in (await mentee.http.get(url, headers=PAGE)).text

    assert await until(lambda: says("You are still a mentee here"))
    over = PairEnded(**about, reason="completed", side="platform")
    await send(gate.stage.kafka, over, organization=mentee.partner.name, program=program)
    assert await until(lambda: says("Become a mentor yourself?"))
    assert await says('value="public speaking, python"')
    for wrong in ({"skills": "?", "capacity": "1"}, {"skills": "python", "capacity": "99"}, {}):
        assert (await mentee.http.post(url, headers=PAGE, data=wrong)).status_code == 422
    before = await mentee.told("people")
    for _ in range(2):
        said = await mentee.http.post(url, headers=PAGE, data={"skills": "python", "capacity": "2"}, follow_redirects=True)
        assert "You are a mentor here" in said.text
    ((kind, enrolled),) = (await mentee.told("people"))[len(before) :]
    (enrolment,) = enrolled["enrolments"]
    assert (kind, enrolment["role"], enrolment["capacity"]) == ("PersonEnrolled", "mentor", 2)
    assert enrolled["profile"]["skills_offered"] == ["python"]
