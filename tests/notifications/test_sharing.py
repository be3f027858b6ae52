"""Who is told of what is passed on, of introductions and of circles: rules without a database."""

from dataclasses import replace

import pytest

from services.notifications import sharing
from services.notifications.asks import distinct
from services.notifications.domain import State, outdated
from shared.cloudevents import new_id
from shared.errors import TryLater
from shared.events import (
    CircleProposed,
    IntroductionMade,
    MatchRejected,
    OpportunityShared,
    RecommendationAsked,
    RejectionReason,
)
from tests.notifications.test_asks import question
from tests.notifications.test_rules import ADA, AT, MENTEE, MENTOR, NOW, PAIR, PROGRAM, Circumstances, of_pair, told

THIRD = new_id()


def opportunity(**fields):
    return OpportunityShared(relationship_id=PAIR.id, program=PROGRAM, **fields)


def introduced(**more):
    event = of_pair(
        IntroductionMade, introduction_id=new_id(), introduced_by=MENTOR, **{"person_id": MENTEE, "to_person_id": THIRD} | more
    )
    return sharing.introduction_made(PAIR, event, Circumstances())


@pytest.mark.parametrize(("taken_up", "mails"), [(None, [("opportunity", MENTEE)]), (True, []), (False, [])])
@pytest.mark.parametrize("person_id", [MENTEE, None])
def test_whom_an_opening_is_for_hears_of_its_kind_and_its_answer_is_no_mail(taken_up, mails, person_id):
    shared = {"opportunity_id": new_id(), "shared_by": MENTOR, "person_id": person_id, "kind": "job", "taken_up": taken_up}
    outcome = sharing.opportunity_shared(PAIR, opportunity(**shared), Circumstances())
    assert told(outcome) == mails
    assert all(d.data == {"kind": "job", "by": str(MENTOR)} for d in outcome.changed)


def test_a_letter_is_asked_of_the_mentor():
    asked = of_pair(RecommendationAsked, asked_by=MENTEE, person_id=MENTOR)
    outcome = sharing.recommendation_asked(PAIR, asked, Circumstances())
    assert (told(outcome), outcome.changed[0].state) == ([("letter_asked", MENTOR)], State.to_ask)


def test_both_are_asked_and_each_gets_a_link_of_their_own_about_the_other():
    outcome = introduced()
    assert told(outcome) == [("introduction_asked", MENTEE), ("introduction_asked", THIRD)]
    assert [d.data["who"] for d in outcome.changed] == [str(THIRD), str(MENTEE)]
    assert {d.state for d in outcome.changed} == {State.to_ask}
    assert [d.audience for d in outcome.changed] == [("northwind",), ("northwind",)]
    assert outdated(outcome.changed[0], replace(PAIR, ended=True), None, NOW)
    assert not outdated(outcome.changed[0], PAIR, None, NOW)


def test_with_both_yeses_all_three_are_told_and_otherwise_the_mentor_alone():
    assert told(introduced(accepted=True)) == [("introduced", MENTEE), ("introduced", THIRD), ("introduced", MENTOR)]
    assert told(introduced(accepted=True, to_person_id=None)) == [("introduced", MENTEE), ("introduced", MENTOR)]
    assert told(introduced(accepted=False)) == [("not_now", MENTOR)]
    assert told(introduced(to_person_id=None)) == [("introduction_asked", MENTEE)]


def test_facts_that_come_before_their_relationship_wait_for_it():
    for do, event in (
        (sharing.opportunity_shared, opportunity(opportunity_id=new_id(), shared_by=MENTOR, kind="job")),
        (sharing.recommendation_asked, of_pair(RecommendationAsked, asked_by=MENTEE, person_id=MENTOR)),
        (
            sharing.introduction_made,
            of_pair(IntroductionMade, introduction_id=new_id(), introduced_by=MENTOR, person_id=MENTEE),
        ),
    ):
        with pytest.raises(TryLater):
            do(None, event, Circumstances())


def test_each_of_the_others_is_asked_for_a_circle_until_its_day_and_who_is_left_hears_that_it_fell_through():
    proposed = CircleProposed(
        mentor_id=MENTOR, program=PROGRAM, circle_id=new_id(), proposed_by=THIRD, people=(ADA.id,), answer_by=AT
    )
    outcome = sharing.circle_proposed(ADA, proposed, Circumstances())
    (asked,) = outcome.changed
    assert (told(outcome), asked.state, asked.relationship_id) == ([("circle_asked", ADA.id)], State.to_ask, None)
    assert (outdated(asked, None, None, NOW), outdated(asked, None, None, AT)) == (False, True)
    rejected = MatchRejected(
        relationship_id=proposed.circle_id, program=PROGRAM, reason=RejectionReason.no_longer_holds, people=(ADA.id,)
    )
    assert told(sharing.circle_rejected(ADA, rejected, Circumstances())) == [("circle_off", ADA.id)]
    for do, event in ((sharing.circle_proposed, proposed), (sharing.circle_rejected, rejected)):
        assert do(replace(ADA, erased=True), event, Circumstances()).changed == ()
        with pytest.raises(TryLater):
            do(None, event, Circumstances(loaded=()))


def test_two_who_ask_for_a_letter_or_two_introductions_are_two_questions():
    letters = [question("letter_asked", who=str(new_id())) for _ in range(2)]
    several = [question("introduction_asked", who=str(MENTEE), introduction=str(new_id())) for _ in range(2)]
    assert distinct([*letters, *several]) == [*letters, *several]
    assert len(distinct([letters[0], replace(letters[0], id=new_id())])) == 1
