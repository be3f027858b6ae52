"""Facts become mails: real Kafka, PostgreSQL and SMTP, the service in this process."""

import base64
import re
import time
from datetime import timedelta
from urllib.parse import urlsplit

import icalendar

from services.notifications import exporting
from shared.cloudevents import new_id
from shared.events import (
    Format,
    MeetingCancelled,
    MeetingHeld,
    MeetingMissed,
    MeetingRescheduled,
    MentorRecognised,
    MentorRequested,
    MilestoneReached,
    NominationEnded,
    PairEnded,
    PersonErased,
    PersonInvited,
    PersonWaitlisted,
    ProgramChanged,
    Reason,
    ReminderDue,
    RequestAccepted,
    RequestDeclined,
    RequestQuestioned,
    RequestWithdrawn,
    WaitlistReason,
)
from shared.links import mint, personal_id, wishes_id

HOUR = timedelta(hours=1)


def links(mail):
    return {urlsplit(url).path.split("/")[1]: url for url in re.findall(r"https?://\S+", mail["text"])}


def calendar(mail):
    part = next(a for a in mail["attachments"] if a["filename"] == "invite.ics")
    event = icalendar.Calendar.from_ical(part["text"] or base64.b64decode(part["content"]))
    return event, event.walk("VEVENT")[0]


async def test_a_pairs_story_is_told_to_both_one_mail_a_fact(scene, now):
    starts_at = now + timedelta(days=7)
    async with scene.build().running():
        await scene.open()
        await scene.send(scene.agreement())
        mail = await scene.mail(scene.mentee, "Meet Graça Moreira, your mentor")
        assert "Skills asked for and offered: cloud and leadership" in mail["text"]
        assert "every 2 weeks, 30 minutes" in mail["text"]
        sign = urlsplit(links(mail)["sign"])
        assert (sign.netloc, sign.path) == ("scheduling.test", f"/sign/{scene.pair}")
        assert f"p={scene.mentee}&v=1&" in sign.query
        assert mail["headers"]["From"][0].startswith("Crossing <")
        assert mail["headers"]["To"][0] == f"Ada Okafor <{scene.address(scene.mentee)}>"
        assert (await scene.mail(scene.mentor, "Meet Ada Okafor, your mentee"))["html"]

        await scene.send(scene.proposed(starts_at, starts_at + HOUR))
        mail = await scene.mail(scene.mentee, "Choose a time for your first meeting")
        assert "&v=0&" in links(mail)["pick"]
        assert f"/goals/{scene.pair}" in links(mail)["goals"]
        assert "goals" not in links(await scene.mail(scene.mentor, "Choose a time"))

        await scene.send(scene.scheduled(starts_at))
        mail = await scene.mail(scene.mentee, "You meet Graça Moreira")
        whole, event = calendar(mail)
        assert whole["METHOD"] == "REQUEST"
        assert event["UID"] == f"{scene.meeting}@localhost"
        assert event["SEQUENCE"] == 1
        assert event["DTSTART"].dt == starts_at
        assert event["DTEND"].dt == starts_at + timedelta(minutes=30)
        assert {str(a) for a in event["ATTENDEE"]} == {f"mailto:{scene.address(p)}" for p in (scene.mentor, scene.mentee)}

        moved_to = starts_at + timedelta(days=1)
        moved = scene.of_meeting(
            MeetingRescheduled,
            starts_at=moved_to,
            minutes=30,
            time_zone="Africa/Lagos",
            sequence=2,
            was_at=starts_at,
            rescheduled_by=scene.mentor,
        )
        await scene.send(moved)
        mail = await scene.mail(scene.mentee, "Moved")
        assert "Graça Moreira moved your meeting" in mail["text"]
        assert calendar(mail)[1]["SEQUENCE"] == 2

        await scene.stage.move_clock(timedelta(days=7))
        await scene.send(scene.of_meeting(ReminderDue, starts_at=moved_to))
        mail = await scene.mail(scene.mentor, "Soon: you meet Ada Okafor")
        assert "&v=0&" in links(mail)["met"]

        await scene.stage.move_clock(timedelta(days=1, hours=1))
        mail = await scene.mail(scene.mentee, "Did you and Graça Moreira meet?")
        assert urlsplit(links(mail)["met"]).path == f"/met/{scene.meeting}"
        assert "&v=0&" in links(mail)["met"]

        await scene.send(scene.of_meeting(MeetingMissed, starts_at=moved_to, absent="both_silent", misses_in_a_row=1, revision=1))
        assert "&v=1&" in links(await scene.mail(scene.mentee, "didn’t get to meet"))["met"]
        held = scene.of_meeting(MeetingHeld, held_at=moved_to, minutes=30, attended=(), revision=2, corrects_missed=True)
        await scene.send(held, scene._of_pair(MilestoneReached, milestone="first_meeting", meeting_id=scene.meeting))
        assert "goals" in links(await scene.mail(scene.mentee, "You have met for the first time"))
        ended = scene._of_pair(PairEnded, reason="completed", side="platform", meetings_held=1, rematch_first=(scene.mentee,))
        await scene.send(ended)
        assert "you come first" in (await scene.mail(scene.mentee, "Your time with Graça Moreira"))["text"]

        rows = await scene.settled(2 + 2 * 9)
        assert {row["state"] for row in rows} == {"sent"}
        assert all(row["attempts"] == 1 for row in rows)
        for person in (scene.mentor, scene.mentee):
            subjects = [mail["subject"] for mail in await scene.mails(person)]
            assert len(subjects) == 10
            assert subjects[0] == "Welcome to Crossing"


async def test_a_fact_that_comes_twice_makes_no_second_mail(scene, now):
    async with scene.build().running():
        await scene.open()
        events = (scene.agreement(), scene.proposed(now + HOUR), scene.scheduled(now + HOUR))
        ids = await scene.send(*events)
        await scene.send(*events, ids=ids)
        await scene.settled(2 + 6)
        await scene.send(*events)  # the same again under new ids, as another revision of what is known
        await scene.send(scene.pair_created())
        await scene.send(scene._of_pair(MilestoneReached, milestone="goals_set"))
        await scene.mail(scene.mentee, "Your goals are set")
        await scene.settled(2 + 6 + 2)  # a proposal that is overtaken by its meeting may be among the dropped
        subjects = [mail["subject"] for mail in await scene.mails(scene.mentee)]
        assert len(subjects) == len(set(subjects)) == len(await scene.deliveries(person_id=scene.mentee, state="sent"))


async def test_facts_may_come_in_any_order(scene):
    """Topics are read side by side: the agreement may come before the pair, and the pair before its people."""
    async with scene.build().running():
        await scene.send(scene.agreement())
        await scene.send(scene.pair_created())
        rows = await scene.settled_waiting(2)
        assert {row["state"] for row in rows} == {"waits"}
        await scene.open()
        await scene.mail(scene.mentee, "Welcome", settled=False)
        await scene.stage.move_clock(timedelta(seconds=20))
        await scene.mail(scene.mentee, "Meet Graça Moreira, your mentor")
        await scene.settled(4)


async def test_the_question_moves_and_goes_with_its_meeting(scene, now):
    async with scene.build().running():
        await scene.open()
        await scene.send(scene.proposed(now + HOUR), scene.scheduled(now + HOUR))
        await scene.mail(scene.mentee, "You meet")
        armed = "select fire_at from notifications.timers where key = $1"
        assert await scene.db.fetchval(armed, str(scene.meeting)) == now + HOUR + timedelta(minutes=30)
        await scene.send(scene.of_meeting(MeetingCancelled, starts_at=now + HOUR, sequence=2, reason="ill"))
        mail = await scene.mail(scene.mentor, "Called off")
        whole, event = calendar(mail)
        assert whole["METHOD"] == "CANCEL"
        assert event["STATUS"] == "CANCELLED"
        assert event["SEQUENCE"] == 2
        assert "someone is ill" in mail["text"]
        assert await scene.db.fetchval(armed, str(scene.meeting)) is None


async def test_who_has_no_address_is_recorded_and_nothing_fails(scene):
    async with scene.build().running():
        await scene.open(mentee_email=None)
        await scene.send(scene.agreement())
        rows = await scene.settled(4)
        assert [(r["state"], r["failure"]) for r in rows if r["person_id"] == scene.mentee] == [("dropped", "no_address")] * 2
        assert [r["state"] for r in rows if r["person_id"] == scene.mentor] == ["sent"] * 2
        failed = await scene.topic_events("NotificationFailed", 2)
        assert all(f["failure"] == "no_address" and f["final"] and f["key"] == str(scene.mentee) for f in failed)
        sent = await scene.topic_events("NotificationSent", 2)
        assert {s["template"] for s in sent} == {"welcome", "introduction"}
        facts = {r["fact_id"] for r in rows}
        assert all(s["headers"]["ce_causationid"] in {str(f) for f in facts} for s in sent)
        assert "Graça" not in str(sent)
        assert "@" not in str([s | {"headers": ""} for s in sent])


async def test_a_refusal_for_now_is_tried_again_and_one_for_good_is_not(scene):
    later, refused = new_id(), new_id()
    async with scene.build().running():
        await scene.open()
        await scene.send(
            scene.enrolled(later, "mentee", scene.owner, "Lola", email=scene.address(later, "later")),
            scene.enrolled(refused, "mentee", scene.owner, "Rex", email=scene.address(refused, "refuse")),
        )
        failed = await scene.topic_events("NotificationFailed", 2)
        assert {(f["person_id"], f["failure"], f["final"]) for f in failed} == {
            (str(later), "refused", False),
            (str(refused), "refused", True),
        }
        (row,) = await scene.deliveries(person_id=later)
        assert (row["state"], row["attempts"], row["failure"]) == ("waits", 1, "refused")
        assert timedelta(seconds=50) < row["due_at"] - row["created_at"] < timedelta(seconds=80)
        await scene.stage.move_clock(timedelta(minutes=1))
        failed = await scene.topic_events("NotificationFailed", 3)
        assert failed[-1]["attempt"] == 2
        (row,) = await scene.deliveries(person_id=refused)
        assert (row["state"], row["attempts"]) == ("failed", 1)


async def test_an_erased_person_gets_nothing_and_is_forgotten(scene):
    async with scene.build().running():
        await scene.open()
        await scene.mail(scene.mentee, "Welcome")
        await scene.send(PersonErased(person_id=scene.mentee, revision=2, audience=(scene.owner,)))
        await scene.send(scene.agreement())
        mail = await scene.mail(scene.mentor, "your mentee")
        assert "Ada" not in mail["text"]
        (row,) = await scene.deliveries(person_id=scene.mentee, template="introduction")
        assert (row["state"], row["failure"]) == ("dropped", "gone")
        person = await scene.db.fetchrow("select * from notifications.people where id = $1", scene.mentee)
        assert (person["erased"], person["name"], person["email"]) == (True, "", None)
        # a late fact about them changes nothing
        await scene.send(scene.enrolled(scene.mentee, "mentee", scene.owner, "Ada Okafor", revision=3))
        await scene.send(scene.enrolled(scene.mentor, "mentor", scene.guest, "Graça M.", revision=2))
        renamed = "select count(*) from notifications.people where name = 'Graça M.' and id = $1"
        assert await scene.until(lambda: scene.db.fetchval(renamed, scene.mentor))
        assert await scene.db.fetchval("select name from notifications.people where id = $1", scene.mentee) == ""


async def test_a_waiting_person_is_told_why_once(scene):
    waits = PersonWaitlisted(
        person_id=scene.mentee,
        program=scene.program,
        role="mentee",
        reason="nobody_offers",
        missing=("security",),
        audience=(scene.owner,),
    )
    async with scene.build().running():
        await scene.open()
        await scene.send(waits)
        assert "Nobody in the program offers security yet." in (await scene.mail(scene.mentee, "still looking"))["text"]
        await scene.send(waits)
        await scene.send(waits.model_copy(update={"reason": WaitlistReason.no_capacity}))
        await scene.settled(4)
        assert "as many mentees as they can take" in (await scene.mail(scene.mentee, "still looking"))["text"]


async def test_who_asked_for_conversations_alone_reads_of_nothing_else_in_a_program_that_has_more(scene):
    policy = {"formats": ["one_to_one", "conversation"], "by_request": True}
    talks = scene.enrolled(new_id(), "mentee", scene.owner, "Jun Sato")
    only = tuple(enrolment.model_copy(update={"formats": (Format.conversation,)}) for enrolment in talks.enrolments)
    waits = PersonWaitlisted(person_id=talks.person_id, program=scene.program, role="mentee", reason="no_capacity")
    async with scene.build().running():
        await scene.open()
        await scene.send(
            ProgramChanged(program=scene.program, organization=scene.owner, name="Crossing", revision=2, policy=policy),
            talks.model_copy(update={"enrolments": only}),
            waits,
        )
        welcome = await scene.mail(talks.person_id, "Welcome")
        assert "you talk once, and there is nothing to sign" in welcome["text"]
        waiting = await scene.mail(talks.person_id, "still looking")
        assert "Every mentor talks with as many people this month as they can." in waiting["text"]
        assert not {"choose", "nominate"} & {*links(welcome), *links(waiting)}


async def test_one_click_stops_all_mail_and_looking_changes_nothing(scene):
    async with scene.build().running():
        await scene.open()
        mail = await scene.mail(scene.mentee, "Welcome")
        header = mail["headers"]["List-Unsubscribe"][0].strip("<>")
        assert mail["headers"]["List-Unsubscribe-Post"] == ["List-Unsubscribe=One-Click"]
        unsubscribe, preferences = scene.local(links(mail)["unsubscribe"]), scene.local(links(mail)["preferences"])
        assert links(mail)["unsubscribe"] == header
        before = await scene.db.fetch("select * from notifications.people")
        for url in (unsubscribe, preferences):
            for _ in range(2):
                assert (await scene.http.head(url)).status_code == 200
                page = await scene.http.get(url)
                assert page.status_code == 200
                assert "<h1>" in page.text
                assert "Ada" not in page.text
        assert await scene.db.fetch("select * from notifications.people") == before
        assert (await scene.http.get(unsubscribe.replace("v=1", "v=2"), headers={"accept": "text/html"})).status_code == 403
        assert (await scene.http.get(unsubscribe.replace("/unsubscribe/", "/preferences/"))).status_code == 403

        answer = await scene.http.post(unsubscribe, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        await scene.send(scene.agreement())
        await scene.mail(scene.mentor, "Meet Ada")
        (row,) = await scene.deliveries(person_id=scene.mentee, template="introduction")
        assert (row["state"], row["failure"]) == ("dropped", "unsubscribed")

        again = await scene.http.post(preferences, data={"do": "start"}, follow_redirects=True)
        assert again.status_code == 200
        assert "Which mails" in again.text
        assert "Saved." in again.text
        saved = await scene.http.post(preferences, data={"kind": ["reminders"]})
        assert saved.status_code == 303
        assert set(await scene.db.fetchval("select muted from notifications.people where id = $1", scene.mentee)) == {
            "celebrations",
            "news",
        }
        await scene.send(scene._of_pair(MilestoneReached, milestone="goals_set"))
        await scene.mail(scene.mentor, "Your goals are set")
        (row,) = await scene.deliveries(person_id=scene.mentee, template="milestone")
        assert (row["state"], row["failure"]) == ("dropped", "unsubscribed")


async def test_where_a_program_asks_or_has_asked_whom_people_meet_mails_and_preferences_lead_to_their_own_page(scene):
    asked = [{"attribute": "gender", "answers": ["woman", "man"]}]
    program = {"program": scene.program, "organization": scene.owner, "name": "Crossing"}
    async with scene.build().running():
        await scene.open()
        preferences = scene.local(links(await scene.mail(scene.mentee, "Welcome"))["preferences"])
        assert "/personal/" not in (await scene.http.get(preferences)).text
        await scene.send(ProgramChanged(**program, revision=2, policy={"personal_rules": asked}))
        await scene.send(ProgramChanged(**program, revision=3, policy={}))
        waits = {"person_id": scene.mentee, "program": scene.program, "run_id": new_id(), "role": "mentee"}
        await scene.send(PersonWaitlisted(**waits, reason="nobody_to_meet"))
        way = urlsplit(links(await scene.mail(scene.mentee, "still looking"))["personal"])
        assert (way.netloc, way.path) == (
            "matching.test",
            f"/personal/{personal_id(scene.program, scene.mentee, scene.stage.link_secret)}",
        )
        assert f"http://matching.test{way.path}?" in (await scene.http.get(preferences)).text


async def test_a_message_that_no_longer_holds_is_not_sent(scene, now):
    """The relay was away while the meeting moved: only the newest time is told."""
    async with scene.build(smtp="127.0.0.1:1").running():
        await scene.open()
        await scene.send(scene.proposed(now + HOUR), scene.scheduled(now + HOUR))
        moved = scene.of_meeting(
            MeetingRescheduled,
            starts_at=now + 2 * HOUR,
            minutes=30,
            time_zone="UTC",
            sequence=2,
            was_at=now + HOUR,
        )
        await scene.send(moved)
        rows = await scene.settled_waiting(8)
        assert all(row["attempts"] == 0 for row in rows)  # nobody's failure but the relay's
    async with scene.build().running():
        await scene.mail(scene.mentee, "Moved")
        rows = await scene.settled(8)
        states = {row["template"]: row["state"] for row in rows if row["person_id"] == scene.mentee}
        assert states == {"welcome": "sent", "choose_time": "dropped", "invitation": "dropped", "moved": "sent"}


async def test_what_cannot_be_noted_goes_again_ever_later_and_always_as_the_same_mail(scene, now):
    """A database that answers and takes no new rows: a full disk. What is no longer true by then was sent all the same."""
    async with scene.build().running():
        await scene.open()
        await scene.mail(scene.mentor, "Welcome")
        await scene.settled(2)
        await scene.db.execute("alter table notifications.outbox add constraint full_disk check (false) not valid")
        try:
            started = time.monotonic()
            await scene.send(scene.proposed(now + HOUR))
            begun = "select max(begun) from notifications.deliveries where organization = $1"
            assert await scene.until(lambda: at_least(scene.db.fetchval(begun, scene.owner), 3))
            assert time.monotonic() - started > 5  # after 0, 2 and 6 s
            await scene.send(scene.scheduled(now + HOUR))
            known = "select count(*) from notifications.meetings where state = 'scheduled'"
            assert await scene.until(lambda: at_least(scene.db.fetchval(known), 1))
            mails = [mail for mail in await scene.mails(scene.mentee) if "Choose" in mail["subject"]]
            assert 2 <= len(mails) <= 4
            assert len({mail["headers"]["Message-ID"][0] for mail in mails}) == 1
        finally:
            await scene.db.execute("alter table notifications.outbox drop constraint full_disk")
        rows = await scene.settled(6, 60)
        chosen = [row for row in rows if row["template"] == "choose_time"]
        assert {(row["state"], row["failure"]) for row in chosen} == {("dropped", "other")}
        assert all(row["attempts"] >= 2 for row in chosen)


async def at_least(count, least):
    return (await count or 0) >= least


async def test_deliveries_are_shown_to_owner_home_and_operator(scene):
    stranger = f"{scene.owner}-x"
    async with scene.build().running():
        await scene.open()
        await scene.send(scene.agreement())
        await scene.settled(4)
        owner, guest, other = [await scene.key(o) for o in (scene.owner, scene.guest, stranger)]
        weak = await scene.key(scene.owner, "send")
        url = scene.url("/v1/deliveries")
        assert len((await scene.http.get(url, headers=owner)).json()["deliveries"]) == 4
        seen = (await scene.http.get(url, headers=guest)).json()["deliveries"]
        assert {d["person_id"] for d in seen} == {str(scene.mentor)}
        assert len(seen) == 2
        assert (await scene.http.get(url, headers=other)).json()["deliveries"] == []
        assert (await scene.http.get(url, headers=weak)).status_code == 403
        assert (await scene.http.get(url)).status_code == 401
        operator = {"Authorization": f"Bearer {scene.stage.operator_token}"}
        first = (await scene.http.get(url, headers=operator, params={"program": scene.program, "limit": 3})).json()
        rest = (await scene.http.get(url, headers=operator, params={"program": scene.program, "before": first["next"]})).json()
        ids = [d["id"] for d in (*first["deliveries"], *rest["deliveries"])]
        assert len(ids) == len(set(ids)) == 4
        assert rest["next"] is None
        assert "@" not in str(first)
        assert "Ada" not in str(first)
        found = await scene.http.get(
            url, headers=owner, params={"template": "introduction", "state": "sent", "person_id": scene.mentee}
        )
        assert len(found.json()["deliveries"]) == 1
        assert (await scene.http.get(url, headers=owner, params={"before": "x"})).status_code == 422


async def test_a_requests_story_is_told_one_mail_a_fact(scene, now):
    about = {"request_id": new_id(), "program": scene.program, "mentee_id": scene.mentee, "mentor_id": scene.mentor}
    closes_at = now + timedelta(days=7)
    async with scene.build().running():
        await scene.open()
        await scene.send(
            ProgramChanged(
                program=scene.program, organization=scene.owner, name="Crossing", revision=2, policy={"by_request": True}
            )
        )
        asked = MentorRequested(**about, closes_at=closes_at, reasons=(Reason(code="skills", number=1, items=("cloud",)),))
        ids = await scene.send(asked)
        await scene.send(asked, ids=ids)  # a relay's resend
        mail = await scene.mail(scene.mentor, "Ada Okafor would like you as a mentor")
        assert "Skills asked for and offered: cloud" in mail["text"]
        answer = urlsplit(links(mail)["request"])
        assert (answer.netloc, answer.path) == ("matching.test", f"/request/{about['request_id']}")

        await scene.send(RequestQuestioned(**about, closes_at=closes_at))
        mail = await scene.mail(scene.mentee, "would like to know more")
        assert urlsplit(links(mail)["choose"]).path == f"/choose/{wishes_id(scene.program, scene.mentee)}"
        await scene.send(MentorRequested(**about, closes_at=closes_at, told_more=True))
        assert await scene.mail(scene.mentor, "Ada Okafor has answered your question")
        await scene.send(RequestDeclined(**about, reason="not_my_field"))
        mail = await scene.mail(scene.mentee, "We have asked your next choice")
        assert "That says nothing about you." in mail["text"]
        assert "Graça" not in mail["text"]
        await scene.send(RequestAccepted(**about | {"request_id": new_id()}, relationship_id=new_id()))
        assert await scene.mail(scene.mentee, "A mentor said yes")
        await scene.send(RequestWithdrawn(**about | {"request_id": new_id()}, reason="changed_mind", last=True))
        assert await scene.mail(scene.mentor, "needs no answer any more")
        of_requests = [row["template"] for row in await scene.deliveries() if row["template"].startswith("request")]
        assert sorted(of_requests) == sorted(
            ["request", "request_question", "request", "request_onwards", "request_accepted", "request_withdrawn"]
        )


async def test_who_is_invited_is_asked_once_and_forgotten_and_the_mentee_hears_how_it_went(scene, now):
    invited = new_id()
    closes_at = now + timedelta(days=30)
    async with scene.build().running():
        await scene.open()
        await scene.mail(scene.mentee, "Welcome to Crossing")
        record = scene.enrolled(invited, "mentor", scene.owner, "Kim Okafor")
        about = record.model_dump() | {"status": "invited", "enrolments": (), "audience": ()}
        event = PersonInvited(**about, invited_by=scene.mentee, closes_at=closes_at)
        ids = await scene.send(event)
        await scene.send(event, ids=ids)  # a relay's resend
        mail = await scene.mail(invited, "Ada Okafor would like you as a mentor")
        answer = urlsplit(links(mail)["invited"])
        assert (answer.netloc, answer.path) == ("gateway.test", f"/invited/{scene.mentee}")

        await scene.send(PersonErased(person_id=invited, revision=2))
        ended = NominationEnded(program=scene.program, mentee_id=scene.mentee, reason="declined", audience=scene.audience)
        ids = await scene.send(ended)
        await scene.send(ended, ids=ids)
        mail = await scene.mail(scene.mentee, "can’t be your mentor just now")
        assert "Kim" not in mail["text"]
        assert urlsplit(links(mail)["nominate"]).path == f"/nominate/{wishes_id(scene.program, scene.mentee)}"
        told = [row["template"] for row in await scene.deliveries() if row["template"] in ("invited", "nomination_ended")]
        assert sorted(told) == ["invited", "nomination_ended"]
        gone = "select erased and email is null and name = '' from notifications.people where id = $1"
        assert await scene.until(lambda: scene.db.fetchval(gone, invited))


async def test_a_mentor_who_is_recognised_hears_of_it_once_and_takes_along_what_they_were_told(scene, now):
    made = MentorRecognised(
        person_id=scene.mentor, program=scene.program, recognition_id=new_id(), kind="year", year=2026, meetings=9, minutes=400
    )
    async with scene.build().running():
        await scene.open()
        await scene.send(made)
        mail = await scene.mail(scene.mentor, "Your 2026 as a mentor in Crossing")
        assert "Time given: 7 hours" in " ".join(mail["text"].split())
        assert urlsplit(links(mail)["record"]).path == f"/record/{made.recognition_id}"
        link = mint("export", scene.mentor, scene.mentor, 1, now + timedelta(days=1)).url(
            "http://notifications.test", scene.stage.link_secret
        )
        data = (await scene.http.post(scene.local(link))).json()["data"]
        assert set(data) == {part.name for part in exporting.KEPT}
        assert (data["profile"][0]["id"], {one["template"] for one in data["mails"]}) == (
            str(scene.mentor),
            {"welcome", "recognised"},
        )
        assert all(one["state"] == "sent" for one in data["mails"])
