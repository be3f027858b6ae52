"""Who hears of which event by webhook, and what becomes of a call: rules without a database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.notifications import webhooks
from services.notifications.channels import Answer
from services.notifications.domain import HOOK_DELAYS, Call, Endpoint, Hook, State, Subscriber, shown_to
from services.notifications.jobs import failed, got_through
from shared.cloudevents import new_id
from shared.events import CATALOGUE, Failure, PairEnded, WebhookDelivered, WebhookDisabled
from tests.notifications.test_rules import MENTEE, NOW, PROGRAM, Circumstances, after, enrolled, of_pair

ENDPOINT = Endpoint(new_id(), "northwind", "https://example.com/", (), NOW)
CALL = Call(
    new_id(), "northwind", ENDPOINT.id, None, new_id(), "ithaca.PairCreated", PROGRAM, {}, State.waits, 1, NOW, NOW, new_id(), ""
)


def test_why_a_match_was_made_goes_to_the_owner_alone():
    data = {"reasons": [1], "score": 2}
    assert shown_to("northwind", PROGRAM, data) == data
    assert shown_to("kestrel", PROGRAM, data) == {"score": 2}


def test_an_endpoint_hears_of_the_types_it_wants_and_of_its_own_people():
    everything, pairs = Hook(new_id(), ()), Hook(new_id(), ("ithaca.PairCreated",))
    subscriber = Subscriber("northwind", (everything, pairs))
    ended = of_pair(PairEnded, reason="completed", side="platform")
    assert [c.endpoint_id for c in webhooks.pass_on(subscriber, ended, Circumstances()).changed] == [everything.id]
    assert webhooks.pass_on(None, ended, Circumstances()).changed == ()
    (call,) = webhooks.pass_on(subscriber, enrolled(2), Circumstances()).changed
    assert call.person_id == MENTEE
    assert webhooks.pass_on(subscriber, enrolled(1), Circumstances()).changed == ()  # a daily tick
    assert webhooks.pass_on(Subscriber("kestrel", (everything,)), enrolled(2), Circumstances()).changed == ()


def test_each_event_may_be_passed_on_but_keys_and_our_own():
    assert {event.TYPE for event in webhooks.PASSED_ON} == {
        event.TYPE for event in CATALOGUE.values() if event.topic not in {"access", "notifications", "people"}
    }


def test_a_call_that_gets_through_makes_its_endpoint_well_and_forgets_its_body():
    outcome = got_through(replace(ENDPOINT, failing_since=NOW), CALL, Answer(200), Circumstances())
    endpoint, call = outcome.changed
    assert endpoint.failing_since is None
    assert (call.state, call.body, call.status) == (State.sent, None, 200)
    assert isinstance(outcome.events[0], WebhookDelivered)


@pytest.mark.parametrize(
    ("attempts", "failing_for", "answer", "state", "disabled"),
    [
        (1, None, Answer(500, Failure.bad_status), State.waits, False),
        (9, timedelta(days=2), Answer(None, Failure.timed_out), State.waits, False),
        (10, timedelta(days=3), Answer(500, Failure.bad_status), State.failed, True),
        (10, timedelta(hours=5), Answer(500, Failure.bad_status), State.failed, False),  # others got through meanwhile
        (1, None, Answer(410, Failure.gone), State.failed, True),
    ],
)
def test_an_endpoint_is_given_up_when_nothing_gets_through_for_days(attempts, failing_for, answer, state, disabled):
    endpoint = replace(ENDPOINT, failing_since=NOW - failing_for if failing_for else None)
    outcome = failed(endpoint, replace(CALL, attempts=attempts), answer, Circumstances())
    call = after(outcome, Call)
    assert call.state is state
    assert (call.body is None) == (state is State.failed)
    assert [type(e) for e in outcome.events] == ([WebhookDisabled] if disabled else [])
    if state is State.waits:
        assert call.due_at == NOW + HOOK_DELAYS[attempts - 1]
