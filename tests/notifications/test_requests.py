"""Who is told what of a request, and of who is named: rules without a database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.notifications import handlers, requests
from services.notifications.domain import Person, obstacle
from shared.cloudevents import new_id
from shared.errors import TryLater
from shared.events import (
    Failure,
    MentorRequested,
    NominationEnded,
    PersonInvited,
    RequestAccepted,
    RequestDeclined,
    RequestExpired,
    RequestQuestioned,
    RequestWithdrawn,
)
from tests.notifications.test_rules import ADA, AT, GRACA, MENTEE, MENTOR, PROGRAM, Circumstances, enrolled, told

ABOUT = {"request_id": new_id(), "program": PROGRAM, "mentee_id": MENTEE, "mentor_id": MENTOR}


@pytest.mark.parametrize(
    ("event", "do", "template", "person"),
    [
        (MentorRequested(**ABOUT, closes_at=AT), requests.mentor_requested, "request", GRACA),
        (RequestQuestioned(**ABOUT, closes_at=AT), requests.request_questioned, "request_question", ADA),
        (RequestAccepted(**ABOUT, relationship_id=new_id()), requests.request_accepted, "request_accepted", ADA),
        (RequestDeclined(**ABOUT, reason="no_time"), requests.request_declined, "request_onwards", ADA),
        (RequestExpired(**ABOUT, last=True), requests.request_expired, "request_onwards", ADA),
        (RequestWithdrawn(**ABOUT, reason="no_capacity"), requests.request_withdrawn, "request_onwards", ADA),
        (RequestWithdrawn(**ABOUT, reason="changed_mind"), requests.request_withdrawn, "request_withdrawn", GRACA),
        (RequestWithdrawn(**ABOUT, reason="person_left"), requests.request_withdrawn, "request_withdrawn", GRACA),
    ],
)
def test_each_fact_of_a_request_is_told_to_one_of_the_two(event, do, template, person):
    (line,) = [h for h in handlers.HANDLERS if h.subject is type(event) and h.kind is Person]
    assert (line.do, tuple(line.ids(event))) == (do, (person.id,))
    (message,) = do(person, event, Circumstances()).changed
    assert (message.template, message.person_id, message.relationship_id) == (template, person.id, None)
    assert message.data["request"] == str(event.request_id)
    assert person.name not in str(message.data)
    assert do(replace(person, erased=True), event, Circumstances()).changed == ()
    with pytest.raises(TryLater):
        do(None, event, Circumstances())


def test_a_rule_that_keeps_two_apart_who_had_said_yes_is_told_to_both():
    event = RequestWithdrawn(**ABOUT, reason="not_allowed")
    (line,) = [h for h in handlers.HANDLERS if h.subject is RequestWithdrawn and h.kind is Person]
    assert set(line.ids(event)) == {ADA.id, GRACA.id}
    for person, template in ((ADA, "request_onwards"), (GRACA, "request_withdrawn")):
        assert told(requests.request_withdrawn(person, event, Circumstances())) == [(template, person.id)]


def test_who_is_invited_gets_one_mail_and_is_not_welcomed_when_they_say_yes():
    record = enrolled(1)
    about = record.model_dump() | {"status": "invited", "enrolments": (), "program": PROGRAM}
    event = PersonInvited(**about, invited_by=MENTOR, closes_at=AT)
    outcome = handlers.person_recorded(None, event, Circumstances())
    person, message = outcome.changed
    assert (person.status, message.template, message.person_id) == ("invited", "invited", record.person_id)
    assert message.data == {"role": "mentor", "who": str(MENTOR), "closes_at": "2026-03-08T09:00:00.000000Z"}
    assert message.audience == (), "no organization hears of them before they say yes"
    assert obstacle(message, person, None, None, AT - timedelta(seconds=1)) is None
    assert obstacle(message, person, None, None, AT) is Failure.other
    assert told(handlers.person_recorded(person, event, Circumstances())) == []
    assert told(handlers.person_recorded(person, enrolled(2), Circumstances())) == []


def test_the_end_of_a_nomination_is_told_to_the_mentee():
    event = NominationEnded(program=PROGRAM, mentee_id=ADA.id, reason="declined")
    assert told(requests.nomination_ended(ADA, event, Circumstances())) == [("nomination_ended", ADA.id)]
    assert told(requests.nomination_ended(replace(ADA, erased=True), event, Circumstances())) == []
    with pytest.raises(TryLater):
        requests.nomination_ended(None, event, Circumstances())


def test_a_request_whose_time_is_over_is_not_sent_any_more():
    (message,) = requests.mentor_requested(GRACA, MentorRequested(**ABOUT, closes_at=AT), Circumstances()).changed
    assert obstacle(message, GRACA, None, None, AT - timedelta(seconds=1)) is None
    assert obstacle(message, GRACA, None, None, AT) is Failure.other
