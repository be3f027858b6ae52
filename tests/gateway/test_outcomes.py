"""What people say themselves became of them: counted once, told to no partner; by the rules and over real Kafka and PostgreSQL."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.gateway import exporting
from services.gateway.domain import outcomes
from services.gateway.domain.outcomes import MONTHS, MOST, months
from shared.decisions import NOTHING
from shared.errors import Rejected
from shared.events import OutcomeKind, PersonStatus
from shared.links import wishes_id
from tests.gateway.conftest import until
from tests.gateway.test_nominations import ADA, PAGE, Scene, mentee  # noqa: F401 - a fixture
from tests.gateway.test_rules import CROSSING, NOW

MAY = datetime(2026, 5, 1, tzinfo=UTC)


def say(person, kind=OutcomeKind.promotion, month=None):
    return outcomes.say(CROSSING, kind, month or months(NOW)[1], person, Scene())


def test_the_months_that_may_be_chosen_are_two_years_and_none_to_come():
    found = months(datetime(2026, 2, 28, 23, tzinfo=UTC))
    assert (found[0], found[1], found[2], found[-1]) == (
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2025, 12, 1, tzinfo=UTC),
        datetime(2024, 3, 1, tzinfo=UTC),
    )
    assert len(set(found)) == MONTHS


def test_a_persons_own_word_is_told_once_for_each_kind_and_month_and_to_no_partner():
    outcome = say(ADA)
    (person,) = outcome.changed
    (fact,) = outcome.events
    assert (fact.kind, fact.at, fact.said_by_person, fact.audience) == ("promotion", months(NOW)[1], True, ())
    assert (fact.report_source, fact.organization, fact.person_id) == (outcomes.SOURCE, ADA.organization, ADA.id)
    assert say(person) == NOTHING
    assert say(person, OutcomeKind.move).events[0].report_id != fact.report_id
    assert say(person, month=months(NOW)[2]).events[0].report_id != fact.report_id
    assert outcomes.said(say(person, month=months(NOW)[2]).changed[0])[0] == (OutcomeKind.promotion, months(NOW)[1])


@pytest.mark.parametrize(
    ("person", "kind", "month"),
    [
        (None, OutcomeKind.promotion, None),
        (replace(ADA, erased=True), OutcomeKind.promotion, None),
        (replace(ADA, status=PersonStatus.invited), OutcomeKind.promotion, None),
        (ADA, OutcomeKind.retained_6_months, None),
        (ADA, OutcomeKind.other, None),
        (ADA, OutcomeKind.promotion, datetime(2090, 1, 1, tzinfo=UTC)),
        (ADA, OutcomeKind.promotion, datetime(2001, 1, 1, tzinfo=UTC)),
        (replace(ADA, outcomes=tuple(f"move {n}" for n in range(MOST))), OutcomeKind.promotion, None),
    ],
)
def test_what_nobody_can_say_of_themselves_is_refused(person, kind, month):
    with pytest.raises(Rejected):
        say(person, kind, month)


@pytest.mark.platform
async def test_a_person_says_what_became_of_them_and_takes_their_data_along(gate, mentee):  # noqa: F811
    program = mentee.program
    url = mentee.url("outcome", wishes_id(program, mentee.id), mentee.id)
    page = await mentee.http.get(url, headers=PAGE)
    assert "Has something good happened?" in page.text
    month = page.text.split('<option value="')[2].split('"')[0]
    for wrong in ({}, {"kind": "promotion"}, {"kind": "retained_6_months", "month": month}, {"kind": "move", "month": "1999-01"}):
        assert (await mentee.http.post(url, headers=PAGE, data=wrong)).status_code == 422
    assert not await mentee.told("reports")
    for _ in range(2):
        said = await mentee.http.post(url, headers=PAGE, data={"kind": "promotion", "month": month}, follow_redirects=True)
        assert "Thank you, and congratulations." in said.text
    ((kind, fact),) = await mentee.told("reports")
    assert (kind, fact["kind"], fact["at"], fact["said_by_person"]) == (
        "OutcomeReported",
        "promotion",
        f"{month}-01T00:00:00Z",
        True,
    )
    assert not fact.get("audience")
    assert (await mentee.partner.get(f"/v1/events/{fact['report_id']}")).status_code == 404

    other = mentee.url("outcome", mentee.id, mentee.id)
    assert (await mentee.http.get(other, headers=PAGE)).status_code == 403
    export = mentee.url("export", mentee.id, mentee.id)
    assert "Download the file" in (await mentee.http.get(export, headers=PAGE)).text
    data = json.loads((await mentee.http.post(export)).text)["data"]
    (profile,) = data["profile"]
    assert set(data) == {part.name for part in exporting.KEPT}
    assert (profile["outcomes"], profile["contact"]["email"]) == ([f"promotion {month}"], "ada@x.example")
    await mentee.partner.delete("/v1/people/n1")

    async def forgotten():
        return await gate.sql("select 1 from people where id = $1 and erased and outcomes = '{}'", mentee.id)

    assert await until(forgotten)
    assert (await mentee.http.post(url, headers=PAGE, data={"kind": "move", "month": month})).status_code == 404
    assert (await mentee.http.post(export, headers=PAGE)).status_code == 404
