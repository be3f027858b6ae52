"""Whether a message still holds when its time has come, and when it is tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.notifications.domain import HOOK_DELAYS, MAIL_DELAYS, MeetingState, after_try, obstacle
from shared.events import Failure
from tests.notifications.test_rules import ADA, AT, MEETING, NOW, PAIR, delivery


@pytest.mark.parametrize(
    ("template", "person", "failure"),
    [
        ("welcome", None, Failure.other),
        ("welcome", ADA, None),
        ("welcome", replace(ADA, email=None), Failure.no_address),
        ("welcome", replace(ADA, erased=True, email=None), Failure.gone),
        ("welcome", replace(ADA, unsubscribed_at=NOW), Failure.unsubscribed),
        ("welcome", replace(ADA, muted=("news",)), Failure.unsubscribed),
        ("milestone", replace(ADA, muted=("news", "reminders")), None),
        ("milestone", replace(ADA, muted=("celebrations",)), Failure.unsubscribed),
        ("ended", replace(ADA, muted=("news", "reminders", "celebrations")), None),
        ("ended", replace(ADA, unsubscribed_at=NOW), Failure.unsubscribed),
    ],
)
def test_who_wants_no_mail_or_has_no_address_gets_none(template, person, failure):
    assert obstacle(delivery(template), person, PAIR, MEETING, NOW) is failure


@pytest.mark.parametrize(
    ("template", "data", "meeting", "holds"),
    [
        ("invitation", {"sequence": 1}, {}, True),
        ("invitation", {"sequence": 1}, {"sequence": 2}, False),
        ("invitation", {"sequence": 1}, {"state": MeetingState.cancelled}, False),
        ("invitation", {"sequence": 1}, {"state": MeetingState.held}, True),
        ("suggested", {"sequence": 1, "suggested_at": AT.isoformat()}, {}, True),
        ("suggested", {"sequence": 1, "suggested_at": AT.isoformat()}, {"sequence": 2}, False),
        ("suggested", {"sequence": 1, "suggested_at": AT.isoformat()}, {"state": MeetingState.cancelled}, False),
        ("suggested", {"sequence": 1, "suggested_at": NOW.isoformat()}, {}, False),
        ("choose_time", {}, {"state": MeetingState.proposed}, True),
        ("choose_time", {}, {}, False),
        ("conversation", {}, {"state": MeetingState.proposed}, True),
        ("conversation", {}, {}, False),
        ("reminder", {"starts_at": AT.isoformat()}, {}, True),
        ("reminder", {"starts_at": AT.isoformat()}, {"starts_at": AT + timedelta(hours=1)}, False),
        ("reminder", {"starts_at": NOW.isoformat()}, {"starts_at": NOW}, False),
        ("did_you_meet", {"sequence": 1}, {}, True),
        ("did_you_meet", {"sequence": 1}, {"state": MeetingState.held}, False),
        ("missed", {}, {"state": MeetingState.missed}, True),
        ("missed", {}, {"state": MeetingState.held}, False),
        ("cancelled", {}, {"state": MeetingState.cancelled}, True),
    ],
)
def test_what_no_longer_holds_is_not_sent(template, data, meeting, holds):
    failure = obstacle(delivery(template, **data), ADA, PAIR, replace(MEETING, **meeting), NOW)
    assert failure is (None if holds else Failure.other)


def test_tries_get_rarer_and_end():
    for delays in (MAIL_DELAYS, HOOK_DELAYS):
        assert list(delays) == sorted(delays)
        assert [after_try(n, delays) for n in (1, len(delays), len(delays) + 1)] == [delays[0], delays[-1], None]
        assert timedelta(days=2) < sum(delays, timedelta()) < timedelta(days=4)
