"""What mails say and how they are built: every template, for every kind of reader."""

import email
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from urllib.parse import parse_qs, urlsplit

import pytest

from services.notifications.domain import Delivery, Meeting, MeetingState, Person, Relationship, State
from services.notifications.letters import TEMPLATES, Writer
from services.notifications.occasions import Letterhead, Occasion
from services.notifications.wording import short_when, when
from shared import links
from shared.cloudevents import new_id
from shared.errors import Rejected
from shared.events import (
    Channel,
    DeclineReason,
    EndReason,
    Format,
    Member,
    Milestone,
    NominationEnd,
    Phase,
    Reason,
    ReasonCode,
    Role,
    Terms,
    WaitlistReason,
    WithdrawalReason,
)
from shared.prompts import prompts
from shared.words import join_and

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
AT = datetime(2026, 3, 12, 16, tzinfo=UTC)
ADA = Person(new_id(), "northwind", 1, name="Ada Okafor", email="ada@northwind.example", time_zone="Africa/Lagos")
GRACA = Person(new_id(), "kestrel", 1, name="Graça Moreira", email="graca@kestrel.example", time_zone="America/Sao_Paulo")
JUN = Person(new_id(), "kestrel", 1, name="Jun <b>Ito</b>", email="jun@kestrel.example", time_zone="Asia/Tokyo")
PAIR = Relationship(
    new_id(),
    "northwind",
    "northwind.crossing",
    ("kestrel", "northwind"),
    (
        Member(person_id=GRACA.id, role=Role.mentor, organization="kestrel"),
        Member(person_id=ADA.id, role=Role.mentee, organization="northwind"),
    ),
    tuple(Reason(code=code, number=2, items=("cloud",)) for code in ReasonCode),
    1,
    Terms(),
    agreed=True,
)
GROUP = replace(PAIR, members=(*PAIR.members, Member(person_id=JUN.id, role=Role.mentee, organization="kestrel")), reasons=())
MEETING = Meeting(new_id(), "northwind", PAIR.id, MeetingState.scheduled, AT, 30, 1)
WRITER = Writer(Letterhead("Ithaca <no-reply@ithaca.example>", "secret", *["https://one.example"] * 4))
REQUEST = {"request": str(new_id()), "role": "mentee"}
ANSWER_BY = {"closes_at": "2026-03-08T16:00:00Z"}
TIME = {"starts_at": AT.isoformat(), "minutes": 30, "sequence": 1}
RECOGNISED = {"kind": "year", "year": 2026, "meetings": 9, "minutes": 400, "people": 2, "milestones": 3, "role": "mentor"}
RECOGNISED |= {"recognition": str(new_id())}
DATA = {
    "welcome": {"role": "mentee"},
    "waiting": {"role": "mentee", "reason": "nobody_offers", "missing": ["machine-learning"]},
    "introduction": {"version": 1},
    "unsigned": {"version": 1},
    "revised": {"version": 2, "by": str(GRACA.id), "held": True},
    "renewal": {"renewals": 0, "months": 6, "until": "2026-03-28T16:00:00Z", "renewed_until": "2026-09-28T16:00:00Z"},
    "renewed": {"until": "2026-09-28T16:00:00Z"},
    "choose_time": {"slots": ["2026-03-12T16:00:00Z"], "minutes": 30, "number": 1},
    "suggested": {"suggested_at": AT.isoformat(), "minutes": 30, "sequence": 0, "by": str(GRACA.id)},
    "conversation": {"slots": ["2026-03-12T16:00:00Z", "2026-03-14T16:00:00Z"], "minutes": 30, "number": 1},
    "write": {},
    "invitation": TIME,
    "moved": TIME | {"was_at": (AT - timedelta(days=1)).isoformat(), "reason": "work", "by": None},
    "cancelled": TIME | {"reason": "ill", "by": None},
    "reminder": TIME | {"phase": "early", "goals": 0, "points": 2, "follow_ups": 3, "due": 1},
    "follow_ups": {"due_on": "2026-03-05"},
    "did_you_meet": {"starts_at": AT.isoformat(), "sequence": 1, "revision": 0},
    "missed": {"starts_at": AT.isoformat(), "revision": 1, "misses": 1, "absent": "both_silent"},
    "milestone": {"milestone": "first_meeting", "own": None},
    "goal_reached": {"goal": str(new_id()), "by": str(GRACA.id)},
    "in_touch": {},
    "nudge": {"since": NOW.isoformat()},
    "warned": {"since": NOW.isoformat(), "freezes_at": AT.isoformat()},
    "frozen": {"ends_at": AT.isoformat()},
    "asked": {"answer_by": AT.isoformat()},
    "answered": {"who": str(GRACA.id)},
    "ended": {"reason": "completed", "meetings_held": 3, "first": []},
    "stay_in_touch": {},
    "recognised": RECOGNISED,
    "joined": {"version": 1, "sequence": 0},
    "newcomer": {"who": str(JUN.id)},
    "went_out": {"who": str(JUN.id)},
    "left": TIME | {"role": "mentee", "silent": False, "first": []},
    "host": TIME | {"host": str(ADA.id), "by": str(GRACA.id)},
    "opportunity": {"kind": "job", "by": str(GRACA.id)},
    "letter_asked": {"who": str(ADA.id)},
    "introduction_asked": {"introduction": str(new_id()), "by": str(GRACA.id), "who": str(JUN.id), "outside": False},
    "introduced": {"introduction": str(new_id()), "by": str(GRACA.id), "who": str(JUN.id), "outside": False},
    "not_now": {"introduction": str(new_id()), "by": str(GRACA.id), "who": str(JUN.id), "outside": False},
    "circle_asked": {"circle": str(new_id()), "who": str(JUN.id), "role": "mentee", "answer_by": AT.isoformat()},
    "circle_off": {"circle": str(new_id()), "role": "mentee"},
    "lighter": {"role": "mentor", "changes": 3},
    "request": REQUEST
    | ANSWER_BY
    | {
        "role": "mentor",
        "who": str(ADA.id),
        "told_more": False,
        "reasons": [{"code": "skills", "number": 1, "items": ["cloud"]}],
    },
    "request_question": REQUEST | ANSWER_BY,
    "request_accepted": REQUEST,
    "request_onwards": REQUEST | {"why": "no_time", "last": False},
    "request_withdrawn": REQUEST | {"reason": "another_accepted"},
    "invited": ANSWER_BY | {"role": "mentor", "who": str(ADA.id)},
    "nomination_ended": {"role": "mentee", "why": "declined"},
    "check_in": {"kind": "fit", "due_at": "2026-03-26T12:00:00Z"},
    "misaligned": {"kind": "scores"},
    "feedback_asked": {"who": str(ADA.id)},
    "feedback_given": {"who": str(ADA.id)},
}


def occasion(
    template,
    reader=ADA,
    relationship=PAIR,
    people=(ADA, GRACA, JUN),
    *,
    by_request=False,
    personal_rules=False,
    talks=False,
    **data,
):
    delivery = Delivery(
        new_id(), "northwind", ("northwind",), reader.id, "northwind.crossing", template, Channel.mail, new_id(), "ithaca.X",
        PAIR.id, MEETING.id, DATA[template] | data, State.waits, 0, NOW, NOW, new_id(), "",
    )  # fmt: skip
    known = {person.id: person for person in people}
    names = {"northwind": "Northwind", "kestrel": "Kestrel"}
    alone = template in ("welcome", "waiting", "invited", "nomination_ended", "lighter", "recognised") or template.startswith(
        "request"
    )
    alone = template in (
        "welcome",
        "waiting",
        "invited",
        "nomination_ended",
        "lighter",
        "circle_asked",
        "circle_off",
    ) or template.startswith("request")
    about = None if alone else relationship
    return Occasion(delivery, reader, "Crossing", "Northwind", about, MEETING, known, names, by_request, personal_rules, talks)


def parsed(raw):
    return email.message_from_bytes(raw, policy=policy.default)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("reader", [ADA, GRACA])
@pytest.mark.parametrize("relationship", [PAIR, GROUP], ids=["pair", "group"])
def test_every_mail_can_be_read_as_text_and_html(template, reader, relationship):
    message = parsed(WRITER.mail(occasion(template, reader, relationship), NOW))
    text, html = message.get_body(("plain",)).get_content(), message.get_body(("html",)).get_content()
    assert not message.defects
    for said in (text, html):
        assert reader.name in said
        assert "Crossing" in said
        assert "None" not in said
        assert "{{" not in said
    urls = re.findall(r"https?://\S+", text)
    assert len(urls) == len(set(urls))
    for url in urls:
        assert url.replace("&", "&amp;") in html
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        action, thing = parts.path.strip("/").split("/")
        link = links.Link(action, type(reader.id)(thing), reader.id, int(query["v"]), int(query["e"]))
        assert query["p"] == str(reader.id)
        links.check(link, query["s"], "secret", NOW)
    assert {urlsplit(url).path.split("/")[1] for url in urls} >= {"preferences", "unsubscribe"}
    assert not re.search(r"<script|<img|<link|src=", html)
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("kind", "page"), [("fit", "check-in"), ("belonging", "check-in"), ("skills", "skills"), ("other", "check-in")]
)
def test_a_check_in_leads_to_the_page_where_it_is_answered(kind, page):
    assert f"/{page}/{PAIR.id}?" in WRITER.write(occasion("check_in", kind=kind), NOW).text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_name_is_never_markup_and_never_another_header(template):
    evil = replace(ADA, name='Eve <script>alert(1)</script>\r\nBcc: all@example.com "x')
    raw = WRITER.mail(occasion(template, evil, people=(evil, GRACA)), NOW)
    message = parsed(raw)
    assert message["Bcc"] is None
    assert message["To"].addresses[0].addr_spec == "ada@northwind.example"
    assert "<script>" not in message.get_body(("html",)).get_content()
    other = parsed(WRITER.mail(occasion(template, GRACA, people=(evil, GRACA)), NOW))
    assert other["Bcc"] is None
    assert "<script>" not in other.get_body(("html",)).get_content()


@pytest.mark.parametrize("address", ["a b@example.com", "a@example.com\r\nBcc: x@example.com", "ünal@example.com", "nobody", ""])
def test_an_address_that_breaks_a_header_is_refused(address):
    with pytest.raises(ValueError):
        WRITER.mail(occasion("welcome", replace(ADA, email=address)), NOW)


def test_a_mail_program_can_unsubscribe_with_one_click():
    raw = WRITER.mail(occasion("welcome"), NOW)
    message = parsed(raw)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    header = next(line for line in raw.decode().split("\r\n") if line.startswith("List-Unsubscribe: "))
    assert re.fullmatch(r"List-Unsubscribe: <https://one\.example/unsubscribe/\S+>", header)  # whole, not as encoded words
    assert all(len(line) < 998 for line in raw.split(b"\r\n"))


def test_the_same_delivery_has_the_same_message_id():
    one = occasion("welcome")
    ids = {parsed(WRITER.mail(one, moment))["Message-ID"] for moment in (NOW, NOW + timedelta(days=1))}
    assert ids == {f"<{one.delivery.id}@ithaca.example>"}


def test_times_are_the_readers_with_the_others_beside():
    assert when(AT, "Africa/Lagos", ["America/Sao_Paulo"]) == "Thursday 12 March 2026, 17:00 in Lagos (13:00 in São Paulo)"
    assert when(AT, "Africa/Lagos", ["Europe/Paris", "Africa/Lagos"]) == "Thursday 12 March 2026, 17:00 in Lagos"
    assert when(AT, "America/Sao_Paulo", ["Asia/Tokyo"]) == "Thursday 12 March 2026, 13:00 in São Paulo (Friday 01:00 in Tokyo)"
    assert when(AT, "Mars/Olympus") == "Thursday 12 March 2026, 16:00 in UTC"
    assert short_when(AT, "Africa/Lagos") == "Thu 12 March, 17:00"


def test_an_hour_stays_right_across_the_change_of_clocks():
    before, after = datetime(2026, 3, 28, 16, tzinfo=UTC), datetime(2026, 3, 29, 15, tzinfo=UTC)
    assert "17:00 in Berlin" in when(before, "Europe/Berlin")
    assert "17:00 in Berlin" in when(after, "Europe/Berlin")


def test_lists_read_as_english():
    assert [join_and(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_every_code_has_words():
    for reason in WaitlistReason:
        for role in ("mentor", "mentee"):
            text = WRITER.write(occasion("waiting", reason=reason.value, role=role), NOW).text
            assert text.count("\n\n") >= 3, reason
            assert "_" not in text.split("-- ")[0]
    for reason in EndReason:
        text = WRITER.write(occasion("ended", reason=reason.value), NOW).text
        assert "_" not in text.split("-- ")[0]
    subjects = {WRITER.write(occasion("milestone", milestone=milestone.value), NOW).subject for milestone in Milestone}
    assert len(subjects) >= len(Milestone) - 1
    own = replace(occasion("milestone", milestone="of_the_program", own="talk"), own_milestone="A first talk given")
    assert WRITER.write(own, NOW).subject == "A first talk given, you and Graça Moreira"
    assert f"/goals/{PAIR.id}" in WRITER.write(own, NOW).text
    bare = replace(PAIR, reasons=tuple(Reason(code=code, number=3) for code in ReasonCode))
    for code in ReasonCode:
        text = WRITER.write(
            occasion("introduction", relationship=replace(bare, reasons=(Reason(code=code, number=3),))), NOW
        ).text
        assert f"- {code.value}" not in text
        assert "  - \n" not in text


def test_what_is_near_is_told_with_what_it_stands_for():
    why = (
        Reason(code=ReasonCode.related_skills, number=2, items=("dotnet", "machine-learning"), near=("c#", "data-science")),
        Reason(code=ReasonCode.adjacent_role, number=1, items=("cto",), near=("vp-engineering",)),
    )
    text = WRITER.write(occasion("introduction", relationship=replace(PAIR, reasons=why)), NOW).text
    assert "Skills close to those asked for: c# for dotnet, data science for machine learning\n" in text
    assert "A role held close to the one wanted: vp engineering for cto\n" in text


def test_a_circle_hears_why_without_a_mentor_in_it():
    peers = tuple(Member(person_id=p.id, role=Role.peer, organization=p.organization) for p in (ADA, GRACA, JUN))
    why = tuple(Reason(code=code, number=3.2, items=()) for code in (ReasonCode.experience, ReasonCode.overlap_hours))
    text = WRITER.write(occasion("introduction", relationship=replace(PAIR, members=peers, reasons=why)), NOW).text
    assert "Crossing has brought you together with Graça Moreira and Jun <b>Ito</b>, as a group." in text
    assert "3 years between you at work" in text
    assert "3.2 hours a week when one and another of you are free" in text
    assert "mentor" not in text.split("-- ")[0]


def test_those_who_mentor_by_letter_read_of_no_meeting_and_then_each_others_address():
    by_letter = replace(PAIR, format=Format.e_mentoring)
    first = WRITER.write(occasion("introduction", relationship=by_letter), NOW).text
    assert re.search(r"Write: +every 2 weeks\n", first)
    assert "we tell you where to write" in first
    assert "meeting" not in first
    assert "graca@kestrel.example" not in first
    begin = WRITER.write(occasion("write", relationship=by_letter), NOW).text
    assert "Graça Moreira: graca@kestrel.example" in begin
    assert "ada@" not in begin
    assert "/goals/" in begin
    assert "We have no mail address" not in begin
    without = occasion("write", relationship=by_letter, people=(ADA, replace(GRACA, email=None), JUN))
    assert "We have no mail address of Graça Moreira: your coordinator can help." in WRITER.write(without, NOW).text


def test_those_who_talk_once_read_of_nothing_to_sign_and_of_nothing_to_come():
    once = replace(PAIR, format=Format.conversation, agreement=0, terms=None)

    def write(template, **data):
        return WRITER.write(occasion(template, relationship=once, **data), NOW)

    first = write("conversation")
    assert first.subject == "Talk with Graça Moreira: choose a time"
    assert "Crossing has brought you and Graça Moreira (Kestrel) together to talk once, for 30 minutes." in first.text
    assert re.search(r"When: +Thursday 12 March 2026, 17:00 in Lagos", first.text)
    assert re.search(r"Or: +Saturday 14 March 2026", first.text)
    assert "There is nothing to sign" in first.text
    assert {"pick", "end"} <= {urlsplit(url).path.split("/")[1] for url in re.findall(r"https?://\S+", first.text)}
    invitation = write("invitation")
    assert "you two talk once" in invitation.text
    assert "the last one" not in invitation.text
    assert "/end/" in invitation.text
    missed = write("missed")
    assert "new times" not in missed.text
    assert "We did talk" in missed.text
    talked, off = write("ended", meetings_held=1), write("ended", reason="no_time", meetings_held=0, first=[str(ADA.id)])
    assert talked.subject == "You and Graça Moreira have talked"
    assert "months" not in talked.text
    assert off.subject == "Your conversation with Graça Moreira won’t take place"
    assert "You come first when we next bring people together to talk" in off.text
    welcome, waiting = write("welcome", talks=True), write("waiting", talks=True, reason="no_capacity")
    assert "you talk once, and there is nothing to sign" in welcome.text
    assert "Every mentor talks with as many people this month as they can." in waiting.text
    for letter in (first, invitation, missed, talked, off, welcome, waiting):
        assert "/sign/" not in letter.text
        assert "/goals/" not in letter.text
        assert "agreement" not in letter.text


def test_a_group_reads_who_leads_who_came_and_of_ways_that_are_its_own():
    invited, led = (WRITER.write(occasion("invitation", one, GROUP, host=str(GRACA.id)), NOW).text for one in (ADA, GRACA))
    assert re.search(r"Leads: +Graça Moreira", invited)
    assert "You lead this one. There isn’t much to it: look at the agenda" in led
    assert "/group/" in invited
    assert "call it off" not in invited
    reminder = WRITER.write(occasion("reminder", GRACA, GROUP, host=str(GRACA.id)), NOW).text
    assert "Begin with a round" in reminder
    assert "You can’t lead it? Hand it on in one tap" in reminder
    asked = WRITER.write(occasion("did_you_meet", relationship=GROUP), NOW)
    assert asked.subject == "Did your group meet?"
    assert "Tick who came" in asked.text
    too_few = WRITER.write(occasion("missed", relationship=GROUP, absent="too_few"), NOW).text
    assert "Too few of your group could come" in too_few
    times = WRITER.write(occasion("choose_time", relationship=GROUP), NOW).text
    assert "The one that most can come to holds" in times
    assert "Your group has missed you" in WRITER.write(occasion("asked", relationship=GROUP), NOW).text
    assert "/where/" in WRITER.write(occasion("host", relationship=GROUP), NOW).text
    gone = replace(JUN, name="", erased=True)
    assert (
        "Someone has left your group"
        in WRITER.write(occasion("went_out", relationship=GROUP, people=(ADA, GRACA, gone)), NOW).subject
    )
    for template in ("invitation", "reminder", "did_you_meet", "choose_time", "missed"):
        assert "group" not in WRITER.write(occasion(template), NOW).text


def test_without_a_secret_no_link_holds():
    link = links.mint("choose", ADA.id, ADA.id, 1, NOW + timedelta(days=1))
    links.check(link, link.signature("secret"), "secret", NOW)
    with pytest.raises(Rejected):
        links.check(link, link.signature(""), "", NOW)


def test_a_request_says_who_asks_why_they_fit_and_until_when():
    letter = WRITER.write(occasion("request", GRACA), NOW)
    assert letter.subject == "Ada Okafor would like you as a mentor"
    assert "Skills asked for and offered: cloud" in letter.text
    assert "Sunday 8 March 2026, 13:00 in São Paulo" in letter.text
    assert f"https://one.example/request/{REQUEST['request']}?p={GRACA.id}&" in letter.text
    again = WRITER.write(occasion("request", GRACA, told_more=True), NOW)
    assert again.subject == "Ada Okafor has answered your question"
    assert "Skills" not in again.text
    gone = replace(ADA, name="", erased=True)
    assert WRITER.write(occasion("request", GRACA, people=(gone, GRACA)), NOW).subject.startswith("Someone would like")


def test_a_no_is_worded_kindly_and_says_how_it_goes_on():
    for why in (*(reason.value for reason in DeclineReason), "no_capacity", "expired"):
        for last in (False, True):
            letter = WRITER.write(occasion("request_onwards", why=why, last=last), NOW)
            text = letter.text.split("-- ")[0].partition("https://")[0]
            assert "That says nothing about you." in text
            assert "_" not in text
            assert ("asked your next choice" in text) == (not last)
            assert f"/choose/{links.wishes_id('northwind.crossing', ADA.id)}?" in letter.text
    for reason in WithdrawalReason:
        assert "_" not in WRITER.write(occasion("request_withdrawn", reason=reason.value), NOW).text.split("-- ")[0]


def test_mentees_are_led_to_their_choice_where_the_program_has_it():
    for template in ("welcome", "waiting"):
        for link in ("/choose/", "/nominate/"):
            assert link in WRITER.write(occasion(template, by_request=True), NOW).text
            assert link not in WRITER.write(occasion(template), NOW).text
            assert link not in WRITER.write(occasion(template, by_request=True, role="mentor"), NOW).text


def test_where_the_program_asks_everyone_is_led_to_a_page_of_their_own_that_only_they_can_name():
    link = f"/personal/{links.personal_id('northwind.crossing', ADA.id, WRITER.head.link_secret)}?"
    for template in ("welcome", "waiting"):
        for role in ("mentor", "mentee"):
            assert link in WRITER.write(occasion(template, personal_rules=True, role=role), NOW).text
            assert "/personal/" not in WRITER.write(occasion(template, role=role), NOW).text
    assert str(links.personal_id("northwind.crossing", ADA.id, "another secret")) not in link


def test_who_is_invited_reads_who_asks_where_their_address_comes_from_and_until_when():
    letter = WRITER.write(occasion("invited", GRACA), NOW)
    assert letter.subject == "Ada Okafor would like you as a mentor"
    assert f"https://one.example/invited/{ADA.id}?p={GRACA.id}&" in letter.text
    assert "Sunday 8 March 2026, 13:00 in São Paulo" in letter.text
    assert "because Ada Okafor gave us your name and mail address" in letter.text
    assert "you take part in" not in letter.text


def test_who_named_someone_hears_kindly_that_it_comes_to_nothing():
    said = {why.value: WRITER.write(occasion("nomination_ended", why=why.value), NOW).text for why in NominationEnd}
    for text in said.values():
        assert "That says nothing about you." in text
        assert "_" not in text.split("-- ")[0].partition("https://")[0]
        assert f"/nominate/{links.wishes_id('northwind.crossing', ADA.id)}?" in text
    assert said["declined"].split("https://")[0] == said["not_invited"].split("https://")[0]  # known or not, it reads the same


def test_the_reminder_is_a_brief_of_numbers_and_of_what_is_worth_a_thought_at_this_stage():
    def write(reader=ADA, relationship=PAIR, **data):
        return WRITER.write(occasion("reminder", reader, relationship, **data), NOW).text

    text = write()
    assert all(f"  - {prompt}\n" in text for prompt in prompts(Phase.early, Role.mentee))
    assert re.search(r"On the agenda: +2 points\n *Follow-ups: +3 open, 1 due by then\n", text)
    assert f"/notes/{PAIR.id}?" in text
    assert "You have no goal yet" in text
    assert "You have no goal yet" not in write(GRACA), "the mentee's goals are the mentee's to set"
    assert "You have no goal yet" not in write(goals=1)
    assert re.search(r"Next steps: +2 open\n", write(steps=2))
    assert "Next steps" not in write(steps=0)
    assert all(f"  - {prompt}\n" in write(GRACA) for prompt in prompts(Phase.early, Role.mentor))
    bare = write(points=0, follow_ups=0, due=0, phase="other")
    assert re.search(r"On the agenda: +nothing yet\n", bare)
    assert "Follow-ups:" not in bare
    assert "Worth a thought" not in bare
    once = replace(PAIR, format=Format.conversation, agreement=0, terms=None)
    assert all(f"  - {prompt}\n" in write(relationship=once) for prompt in prompts(Phase.early, Role.mentee, once=True))
    assert "goal" not in write(relationship=once)

    before = occasion("reminder")
    old = replace(before, delivery=replace(before.delivery, data=TIME))
    text = WRITER.write(old, NOW).text
    assert "Soon: you meet" in WRITER.write(old, NOW).subject
    assert "On the agenda" not in text, "one that was written down before there were briefs"


def test_what_is_due_is_told_with_its_day_and_without_a_word_of_it():
    text = WRITER.write(occasion("follow_ups"), NOW).text
    assert "Something that you and Graça Moreira wrote down is for you to do by Thursday 5 March 2026" in text
    assert f"/notes/{PAIR.id}?" in text


def test_someone_erased_or_unknown_is_named_by_role():
    gone = replace(GRACA, name="", email=None, erased=True)
    assert "your mentor" in WRITER.write(occasion("reminder", people=(ADA, gone)), NOW).subject
    assert "your mentor" in WRITER.write(occasion("reminder", people=(ADA,)), NOW).subject


def test_another_language_reads_english_until_there_are_words_for_it():
    assert WRITER.write(occasion("welcome", replace(ADA, locale="pt-BR")), NOW).subject == "Welcome to Crossing"


def test_every_mail_of_a_running_pair_says_what_to_do_when_the_other_is_silent():
    for template in ("reminder", "missed", "milestone", "nudge", "frozen", "in_touch"):
        text = WRITER.write(occasion(template), NOW).text
        assert "You don’t hear from Graça" in text, template
        assert "/silent/" in text
        assert "/concern/" in text
    for template in ("introduction", "ended", "conversation"):
        talk = replace(PAIR, format=Format.conversation)
        about = {"conversation": replace(talk, agreed=False), "introduction": replace(PAIR, agreed=False)}.get(template, PAIR)
        text = WRITER.write(occasion(template, relationship=about), NOW).text
        assert "/silent/" not in text, template
    assert "You don’t hear from your mentor" in WRITER.write(occasion("reminder", relationship=GROUP), NOW).text
    assert "/silent/" not in WRITER.write(occasion("reminder", reader=GRACA, relationship=GROUP), NOW).text


def test_whoever_did_not_answer_reads_how_to_come_back_and_the_other_that_they_come_first():
    data = {"reason": "silent", "silent": str(GRACA.id), "first": [str(ADA.id)], "meetings_held": 0}
    silent = WRITER.write(occasion("ended", reader=GRACA, **data), NOW).text
    assert "I have time again" in silent
    assert "/again/" in silent
    other = WRITER.write(occasion("ended", **data), NOW).text
    assert "/again/" not in other
    assert "You come first when we match next" in other


@pytest.mark.parametrize(
    ("template", "silent"),
    [("asked", ""), ("left", True), ("left", False), ("ended", str(GRACA.id))],
    ids=["asked", "left by silence", "left", "ended by silence"],
)
def test_whoever_leaves_a_circle_of_co_mentees_reads_nothing_of_how_they_are_matched(template, silent):
    data = {"reason": "silent", "silent": silent, "first": [str(GRACA.id)], "meetings_held": 0}
    circle = replace(GROUP, format=Format.circle)
    theirs = WRITER.write(occasion(template, reader=GRACA, relationship=replace(circle, beside=True), **data), NOW).text
    assert "match" not in theirs
    assert "/again/" not in theirs
    assert "match" in WRITER.write(occasion(template, reader=GRACA, relationship=circle, **data), NOW).text


def test_further_questions_stand_in_the_same_mail_each_with_its_button():
    asked, nudge, renewal = occasion("asked"), occasion("nudge"), occasion("renewal")
    lead = replace(asked, others=(nudge, replace(renewal, own_words="Shall it go on? <b>Tell us.</b>")))
    message = parsed(WRITER.mail(lead, NOW))
    text, html = message.get_body(("plain",)).get_content(), message.get_body(("html",)).get_content()
    assert (message["Subject"], text.count("Hello Ada")) == ("Do you go on with Graça Moreira?", 1)
    for action in ("silent", "touch", "renew"):
        assert f"/{action}/{PAIR.id}" in text
        assert f"/{action}/{PAIR.id}" in html
    assert "Shall it go on? <b>Tell us.</b>" in text
    assert "is over on" not in text, "the program's own words stand instead of ours"
    assert "<b>" not in html
    second = replace(PAIR, id=new_id(), agreed=True)
    about_second = replace(nudge, relationship=second, delivery=replace(nudge.delivery, relationship_id=second.id))
    text = parsed(WRITER.mail(replace(asked, others=(about_second,)), NOW)).get_body(("plain",)).get_content()
    assert {f"/{action}/{second.id}" in text for action in ("touch", "silent", "concern")} == {True}
    joined = replace(nudge, delivery=replace(nudge.delivery, joins=asked.delivery.id))
    assert parsed(WRITER.mail(joined, NOW))["Message-ID"] == parsed(WRITER.mail(lead, NOW))["Message-ID"]


@pytest.mark.parametrize(
    ("said", "subject", "told"),
    [
        (
            {},
            "Your 2026 as a mentor in Crossing",
            r"Time given: +7 hours\n +Meetings: +9\n +People: +2\n +Milestones they reached: +3\n",
        ),
        (
            {"minutes": 20, "milestones": 0},
            "Your 2026 as a mentor in Crossing",
            r"Time given: +20 minutes\n +Meetings: +9\n +People: +2\n\n",
        ),
        ({"kind": "people", "people": 25}, "25 people in Crossing", r"25 people have had you as their mentor by now"),
        ({"kind": "relationship", "people": 1}, "What you gave in Crossing", r"You went the whole way together"),
    ],
)
def test_a_mentor_reads_what_they_gave_with_the_way_to_their_record(said, subject, told):
    about = occasion("recognised", GRACA)
    letter = WRITER.write(replace(about, delivery=replace(about.delivery, data=RECOGNISED | said)), NOW)
    assert letter.subject == subject
    assert re.search(told, letter.text)
    assert f"https://one.example/record/{RECOGNISED['recognition']}?p={GRACA.id}&" in letter.text


def test_every_mail_of_a_running_relationship_leads_to_ones_own_mentoring_and_the_planned_end_asks_what_came_of_it():
    for template in ("reminder", "milestone", "choose_time", "ended"):
        assert f"/mine/{ADA.id}?p={ADA.id}&" in WRITER.write(occasion(template), NOW).text
    for template in ("welcome", "introduction"):
        assert "/mine/" not in WRITER.write(occasion(template, relationship=replace(PAIR, agreed=False)), NOW).text
    outcome = f"/outcome/{links.wishes_id('northwind.crossing', ADA.id)}?"
    assert outcome in WRITER.write(occasion("ended"), NOW).text
    assert outcome not in WRITER.write(occasion("ended", reason="no_time"), NOW).text
