"""Matching over real Kafka and PostgreSQL: from people on a topic to pairs on a topic."""

import asyncio
import subprocess
import sys
from uuid import UUID

import pytest

from shared.cloudevents import new_id
from shared.events import (
    EndReason,
    Format,
    PairEnded,
    PersonErased,
    PersonPaused,
    ProgramClosed,
    Role,
    Side,
)
from tests.matching.conftest import until
from tests.matching.people import free, person_id, record

pytestmark = pytest.mark.platform

AFTERNOON = free((1, "14:00", "18:00"), (3, "14:00", "18:00"))
MORNING = free((1, "10:00", "12:00"), (3, "10:00", "12:30"))
"""In São Paulo, when it is afternoon in Lagos."""


def people(town, mentors=3, mentees=5):
    """Mentors of sql and go, mentees who want one of them; the last mentee wants what nobody offers."""
    made = [
        record(
            f"k{n:02}", Role.mentor, town.program, organization=town.organization, skills_offered=("sql", "go")[n % 2 :],
            languages=("en",), time_zone="America/Sao_Paulo", availability=MORNING,
        )
        for n in range(mentors)
    ]  # fmt: skip
    made += [
        record(
            f"n{n:02}", Role.mentee, town.program, organization=town.organization, skills_wanted=(("sql", "go")[n % 2],),
            languages=("en", "yo"), time_zone="Africa/Lagos", availability=AFTERNOON,
        )
        for n in range(mentees - 1)
    ]  # fmt: skip
    last = record(
        "n99", Role.mentee, town.program, organization=town.organization, skills_wanted=("security",), languages=("en",)
    )
    return [*made, last]


async def test_people_become_pairs_with_reasons_and_everyone_left_hears_why(town):
    await town.open()
    async with town.running() as client:
        everyone = people(town)
        answer = await client.post(
            "/v1/programs/crossing/match-runs", json={"after": {"people": len(everyone), "revisions": len(everyone)}}
        )
        run_id = answer.json()["run_id"]
        assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/match-runs/{run_id}")
        await town.send(*everyone[:4])
        waits = lambda: client.get(f"/v1/match-runs/{run_id}")  # noqa: E731
        assert await until(lambda: _roster_of(waits, 4))
        assert (await waits()).json()["status"] == "waiting_for_roster"
        await town.send(*everyone[4:])
        run = await town.finished(client, run_id)
        assert (run["people"], run["pairs"], run["gap"], run["progress"]["share"]) == (8, 3, 0, 1.0)
        assert run["waitlisted"] == {"no_capacity": 1, "nobody_offers": 1}
        assert run["trace_id"] == answer.headers["traceresponse"][3:35]

        page = (await client.get(f"/v1/match-runs/{run_id}/pairs", params={"limit": 2})).json()
        rest = (await client.get(f"/v1/match-runs/{run_id}/pairs", params={"after": page["next"]})).json()
        pairs = page["pairs"] + rest["pairs"]
        assert (len(page["pairs"]), len(rest["pairs"]), rest["next"]) == (2, 1, None)
        assert {r["code"] for r in pairs[0]["reasons"]} == {"skills", "overlap_hours", "language"}
        assert next(r["number"] for r in pairs[0]["reasons"] if r["code"] == "overlap_hours") == 4.5
        waitlist = (await client.get(f"/v1/match-runs/{run_id}/waitlist")).json()["waitlist"]
        assert [(h["people"], h["pairs"]) for h in run["helps"]] == [(1, 1)] * 3  # of anyone who offers what the last one wants
        security = next(w for w in waitlist if w["reason"] == "nobody_offers")
        assert (security["missing"], security["mentors_that_would_help"]) == (["security"], 1)
        assert security["person_id"] == str(person_id(town.organization, "n99"))

    facts = await town.told()
    assert [f["type"] for f in facts] == [
        "MatchRunRequested",
        *["PairCreated"] * 3,
        *["PersonWaitlisted"] * 2,
        "MatchRunFinished",
    ]
    assert {f["headers"]["traceparent"][3:35] for f in facts} == {run["trace_id"]}
    assert {f["relationship_id"] for f in facts if f["type"] == "PairCreated"} == {p["relationship_id"] for p in pairs}
    assert facts[-1]["score_total"] == sum(p["score"] for p in pairs)
    assert facts[0]["after_roster"] == {"people": 8, "revisions": 8}


async def _roster_of(ask, count):
    roster = (await ask()).json()["roster"]
    return roster and roster["people"] == count


async def test_a_finished_run_says_how_fair_it_was_and_forgets_who_was_in_which_group(town):
    await town.open(audit=["country", "organization"])
    where = lambda n: "NG" if n < 6 else "BR"  # noqa: E731
    common = {"organization": town.organization, "languages": ("en",)}
    everyone = [record(f"k{n:02}", Role.mentor, town.program, country=where(n), **common) for n in range(12)]
    everyone += [record(f"n{n:02}", Role.mentee, town.program, country=where(n), **common) for n in range(8)]
    await town.send(*everyone)
    async with town.running() as client:
        run = await town.match(client, {"people": 20, "revisions": 20})
        told = (await client.get(f"/v1/match-runs/{run['run_id']}/fairness")).json()
        assert told["run_id"] == run["run_id"]
        found = [(g["role"], g["attribute"], g["value"], g["merged"], g["people"]) for g in told["groups"]]
        assert found == [
            ("mentee", "country", "", 2, 8),  # two from BR would be too few to tell of, and could be reckoned back
            ("mentee", "organization", town.organization, 1, 8),
            ("mentor", "country", "BR", 1, 6),
            ("mentor", "country", "NG", 1, 6),
            ("mentor", "organization", town.organization, 1, 12),
        ]
        everyone_s = told["groups"][-1]
        assert (everyone_s["matched"], everyone_s["rate"]) == (8, pytest.approx(8 / 12))
        assert everyone_s["mean_score"] == pytest.approx(run["score_total"] / 8, abs=1)
        gone = "select count(*) = 0 from matching.audited"
        assert await until(lambda: town.see.fetchval(gone))

        stranger = type(town)(town.stage, town.see)
        await stranger.open()
        await stranger.known()
        alien = {"Authorization": f"Bearer {stranger.key}"}
        assert (await client.get(f"/v1/match-runs/{run['run_id']}/fairness", headers=alien)).status_code == 404


async def test_people_may_come_before_their_program(town):
    await town.send(*people(town))
    await town.open()
    async with town.running() as client:
        assert (await town.match(client, {"people": 8, "revisions": 8}))["pairs"] == 3


async def test_another_run_keeps_the_pairs_and_matches_whom_the_end_of_one_has_freed(town):
    await town.open(least_score=0)
    await town.send(*people(town, mentors=2, mentees=3))
    async with town.running() as client:
        first = await town.match(client, {"people": 5, "revisions": 5})
        assert (first["pairs"], first["waitlisted"]) == (2, {"nobody_offers": 1})
        assert (await town.match(client))["pairs"] == 0

        pair = (await town.told("PairCreated"))[0]
        relationship, mentee = UUID(pair["relationship_id"]), next(m for m in pair["members"] if m["role"] == "mentee")
        await town.send(PairEnded(relationship_id=relationship, program=town.program, reason=EndReason.not_a_fit, side=Side.both))
        free_again = "select count(*) from matching.people where places = '[]' and id = $1"
        assert await until(lambda: town.see.fetchval(free_again, UUID(mentee["person_id"])))
        again = await town.match(client)
        pairs = (await client.get(f"/v1/match-runs/{again['run_id']}/pairs")).json()["pairs"]
        assert [{m["person_id"] for m in p["members"]} for p in pairs] == [
            {next(m["person_id"] for m in pair["members"] if m["role"] == "mentor"), str(person_id(town.organization, "n99"))}
        ]


async def test_a_second_run_prefers_the_mentor_who_has_more_room(town):
    """Both fit the newcomer alike; by ids alone, which decide among equals, the fuller one would get them."""
    await town.open(aim="score")
    common = {"organization": town.organization, "languages": ("en",)}
    names = sorted(("k00", "k01"), key=lambda name: person_id(town.organization, name))
    fuller, other = (
        record(name, Role.mentor, town.program, capacity=3, skills_offered=offered, **common)
        for name, offered in zip(names, (("sql", "go"), ("sql",)), strict=True)
    )
    first = record("n00", Role.mentee, town.program, skills_wanted=("go",), **common)
    await town.send(fuller, other, first)
    async with town.running() as client:
        assert (await town.match(client, {"people": 3, "revisions": 3}))["pairs"] == 1
        second = record("n01", Role.mentee, town.program, skills_wanted=("sql",), **common)
        await town.send(second)
        run = await town.match(client, {"people": 4, "revisions": 4})
        (pair,) = (await client.get(f"/v1/match-runs/{run['run_id']}/pairs")).json()["pairs"]
        assert {m["person_id"] for m in pair["members"]} == {str(other.person_id), str(second.person_id)}
        assert {(r["code"], r["number"]) for r in pair["reasons"]} >= {("fair_load", 3.0)}


async def test_a_run_learns_from_its_people_which_skills_are_near_each_other_and_names_both(town):
    await town.open(aim="score")
    common = {"organization": town.organization, "languages": ("en",)}
    wanted = [("sql", "mysql")] * 11 + [("law",)] * 24 + [("mysql",)]
    everyone = [record(f"n{n:02}", Role.mentee, town.program, skills_wanted=wants, **common) for n, wants in enumerate(wanted)]
    everyone.append(record("k00", Role.mentor, town.program, skills_offered=("sql",), capacity=12, **common))
    await town.send(*everyone)
    async with town.running() as client:
        run = await town.match(client, {"people": 37, "revisions": 37})
        pairs = (await client.get(f"/v1/match-runs/{run['run_id']}/pairs")).json()["pairs"]
        told = [(r["items"], r["near"]) for p in pairs for r in p["reasons"] if r["code"] == "related_skills"]
        assert told == [(["mysql"], ["sql"])] * 12
    created = [r for fact in await town.told("PairCreated") for r in fact["reasons"] if r["code"] == "related_skills"]
    assert [(r["items"], r["near"]) for r in created] == told


async def test_late_facts_about_an_erased_person_bring_nobody_back(town):
    await town.open(least_score=0)
    everyone = people(town, mentors=1, mentees=2)
    gone = person_id(town.organization, "n00")
    await town.send(*everyone, PersonErased(person_id=gone, revision=2))
    late = record("n00", Role.mentee, town.program, organization=town.organization, revision=3, skills_wanted=("sql",))
    await town.send(late)
    async with town.running() as client:
        run = await town.match(client, {"people": 2, "revisions": 2})
        assert (run["people"], run["pairs"]) == (2, 1)
        stored = await town.see.fetchrow("select * from matching.people where id = $1", gone)
        assert (stored["erased"], stored["profile"], stored["own_id"], stored["organization"]) == (True, None, "", "")


async def test_a_proposal_waits_for_approval_and_falls_with_whoever_leaves(town):
    await town.open(match_mode="propose")
    everyone = people(town, mentors=3, mentees=4)
    await town.send(*everyone)
    async with town.running() as client:
        run = await town.match(client, {"people": 7, "revisions": 7})
        assert (run["pairs"], run["proposed"]) == (0, 3)
        one, two, three = [
            p["relationship_id"] for p in (await client.get(f"/v1/match-runs/{run['run_id']}/pairs")).json()["pairs"]
        ]

        for _ in range(2):
            answer = await client.post(f"/v1/relationships/{one}/approve")
            assert (answer.status_code, answer.json()["status"]) == (200, "active")
        assert (await client.post(f"/v1/relationships/{one}/reject")).status_code == 409
        assert (await client.post(f"/v1/relationships/{two}/reject", json={"reason": "known_conflict"})).status_code == 200
        assert (await client.post(f"/v1/relationships/{two}/approve")).json()["detail"] == "This match is rejected."
        assert (await client.post(f"/v1/relationships/{new_id()}/approve")).status_code == 404

        left = next(f for f in await town.told("MatchProposed") if f["relationship_id"] == three)["members"][1]["person_id"]
        record_of = next(r for r in everyone if str(r.person_id) == left)
        await town.send(
            PersonPaused.model_validate(record_of.model_dump() | {"status": "paused", "revision": 2}),
        )
        fallen = "select count(*) from matching.relationships where id = $1 and status = 'rejected'"
        assert await until(lambda: town.see.fetchval(fallen, UUID(three)))
        assert (await town.match(client))["proposed"] >= 1

    kinds = [f["type"] for f in await town.told() if f.get("relationship_id") == one]
    assert kinds == ["MatchProposed", "MatchApproved", "PairCreated"]
    assert {f["reason"] for f in await town.told("MatchRejected")} == {"known_conflict", "no_longer_holds"}


async def test_the_same_idempotency_key_gives_the_same_run_and_requests_in_between_are_queued(town):
    await town.open()
    async with town.running() as client:
        url, key = f"/v1/programs/{town.program}/match-runs", {"Idempotency-Key": "monday"}
        first = (await client.post(url, headers=key)).json()["run_id"]
        await town.finished(client, first)
        assert (await client.post(url, headers=key)).json()["run_id"] == first
        other = {"after": {"people": 1, "revisions": 1}}
        assert (await client.post(url, headers=key, json=other)).json()["type"].endswith("idempotency_key_reused")
        waiting = (await client.post(url, json=other)).json()
        assert (waiting["status"], waiting["run_id"] != first) == ("waiting_for_roster", True)
        joined = (await client.post(url)).json()["run_id"]
        assert joined == waiting["run_id"]
        await town.finished(client, joined)
    assert len(await town.told("MatchRunFinished")) == 2


async def test_what_is_not_yours_or_not_there_is_refused_in_words(town):
    await town.open()
    async with town.running() as client:
        run = await town.match(client)
        url = "/v1/programs/elsewhere/match-runs"
        assert (await client.post(url)).status_code == 404
        assert (await client.post(url, json={"after": {"people": 1, "revisions": 1}})).headers["retry-after"]
        assert (await client.post(url, json={"after": {"people": -1, "revisions": 1}})).status_code == 422
        assert (await client.post(url, headers={"Authorization": "Bearer ith_x_y"})).status_code == 401
        assert (await client.get(f"/v1/match-runs/{new_id()}")).status_code == 404

        stranger = type(town)(town.stage, town.see)
        await stranger.open()
        await stranger.known()
        alien = {"Authorization": f"Bearer {stranger.key}"}
        assert (await client.get(f"/v1/match-runs/{run['run_id']}", headers=alien)).status_code == 404
        answer = await client.post(f"/v1/programs/{town.program}/match-runs", headers=alien)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:ithaca:problem:not_yours")

        await town.send(ProgramClosed(program=town.program))
        closed = "select closed from matching.programs where id = $1"
        assert await until(lambda: town.see.fetchval(closed, town.program))
        assert (await client.post("/v1/programs/crossing/match-runs")).status_code == 409


async def test_a_big_run_s_pairs_have_traces_of_their_own_and_its_end_has_the_request_s(town):
    await town.open(capacity=1)
    await town.send(*people(town, mentors=25, mentees=30))
    async with town.running() as client:
        run = await town.match(client, {"people": 55, "revisions": 55})
    pairs = await town.told("PairCreated")
    assert len(pairs) == run["pairs"] == 25
    assert len({f["headers"]["traceparent"][3:35] for f in pairs} | {run["trace_id"]}) == 26
    assert (await town.told("MatchRunFinished"))[0]["headers"]["traceparent"][3:35] == run["trace_id"]


async def test_the_service_s_own_process_never_loads_the_solver_s_libraries():

    code = "import sys, services.matching.main; sys.exit(any(name in sys.modules for name in ('numba', 'numpy', 'ortools', 'scipy')))"
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
    assert done.returncode == 0


@pytest.mark.usefixtures("soon")
async def test_a_rolling_program_finds_a_partner_for_whoever_waits_when_somebody_comes_or_is_free(town):
    """Nobody asks: a new mentor goes to the one who waits, and a freed one to whom the other side released."""
    await town.open(rolling=True)
    await town.send(*people(town, mentors=1, mentees=3)[:3])  # one mentor, two mentees who want sql or go
    async with town.running() as client:
        first = await town.match(client, {"people": 3, "revisions": 3})
        assert (first["pairs"], sum(first["waitlisted"].values())) == (1, 1)

        async def pairs(count):
            told = await town.told("PairCreated")
            return told if len(told) == count else None

        new = record(
            "k90", Role.mentor, town.program, organization=town.organization, skills_offered=("sql", "go"), languages=("en",),
            time_zone="America/Sao_Paulo", availability=MORNING,
        )  # fmt: skip
        await town.send(new)
        told = await until(lambda: pairs(2))
        assert told, await town.told()
        assert {m["person_id"] for m in told[1]["members"]} & {str(new.person_id)}
        asked = await town.told("MatchRunRequested")
        assert asked[-1].get("requested_by") is None

        (mentor,) = [m["person_id"] for m in told[0]["members"] if m["role"] == "mentor"]
        (mentee,) = [m["person_id"] for m in told[1]["members"] if m["role"] == "mentee"]
        over = [UUID(fact["relationship_id"]) for fact in told]
        for relationship in over:
            await town.send(
                PairEnded(
                    relationship_id=relationship, program=town.program, reason=EndReason.no_time, side=Side.mentor,
                    rematch_first=(UUID(mentee),) if relationship == over[1] else (),
                )
            )  # fmt: skip
        told = await until(lambda: pairs(4))
        assert told, await town.told()
        assert {frozenset(m["person_id"] for m in fact["members"]) for fact in told[2:]}.isdisjoint(
            frozenset(m["person_id"] for m in fact["members"]) for fact in told[:2]
        )
        released = next(fact for fact in told[2:] if mentee in {m["person_id"] for m in fact["members"]})
        assert mentor in {m["person_id"] for m in released["members"]}


async def test_peers_become_circles_in_which_nobody_is_left_over_and_a_proposed_one_begins_when_approved(town):
    """Eleven people in circles of four to six: six and five. A later run lets them be."""
    await town.open(formats=["circle"], match_mode="propose")
    crowd = [
        record(
            f"p{n:02}", Role.peer, town.program, organization=town.organization, languages=("en",), time_zone="Africa/Lagos",
            skills_offered=(("sql", "go")[n % 2],), skills_wanted=(("go", "sql")[n % 2],), availability=AFTERNOON,
        )
        for n in range(11)
    ]  # fmt: skip
    await town.send(*crowd)
    async with town.running() as client:
        run = await town.match(client, {"people": 11, "revisions": 11})
        assert (run["groups"], run["proposed"], run["pairs"], run["waitlisted"]) == (2, 2, 0, {})
        assert run["score_total"] + run["gap"] >= run["score_total"] > 0
        page = (await client.get(f"/v1/match-runs/{run['run_id']}/pairs")).json()["pairs"]
        assert sorted(len(circle["members"]) for circle in page) == [5, 6]
        assert {m["person_id"] for circle in page for m in circle["members"]} == {str(p.person_id) for p in crowd}
        assert {m["role"] for circle in page for m in circle["members"]} == {"peer"}
        proposed = await town.told("MatchProposed")
        assert {fact["format"] for fact in proposed} == {"circle"}

        first = page[0]["relationship_id"]
        for _ in range(2):
            answer = await client.post(f"/v1/relationships/{first}/approve")
            assert answer.json() == {"relationship_id": first, "status": "active"}
        (begun,) = await town.told("GroupCreated")
        assert (begun["relationship_id"], begun["members"], begun["format"]) == (first, page[0]["members"], "circle")
        assert begun["score"] == page[0]["score"]

        again = await town.match(client)
        assert (again["groups"], again["pairs"], again["proposed"]) == (0, 0, 0)
        over = PairEnded(relationship_id=UUID(first), program=town.program, reason=EndReason.completed, side=Side.both)
        await town.send(over)
        free_again = "select count(*) from matching.people where places = '[]' and id = any($1)"
        members = [UUID(m["person_id"]) for m in page[0]["members"]]
        assert await until(lambda: _all_of(town.see.fetchval(free_again, members), len(members)))


async def _all_of(query, count):
    return await query == count


async def test_peers_of_a_program_without_circles_become_pairs(town):
    await town.open(formats=["one_to_one", "peer_pair"])
    peers = [
        record(f"p{n}", Role.peer, town.program, organization=town.organization, languages=("en",), skills_offered=("sql",))
        for n in range(5)
    ]
    await town.send(*people(town, mentors=1, mentees=2), *peers)
    async with town.running() as client:
        run = await town.match(client, {"people": 8, "revisions": 8})
        assert (run["pairs"], run["groups"]) == (3, 0)  # a mentor and a mentee, two pairs of peers
        assert sum(run["waitlisted"].values()) == 2
        formats = sorted(fact["format"] for fact in await town.told("PairCreated"))
        assert formats == ["one_to_one", "peer_pair", "peer_pair"]


async def test_a_run_makes_each_of_its_programs_formats(town):
    """Groups with a mentor, letters over no hour in common, a junior who mentors, several mentors for one: each once, and no more later."""
    await town.open(formats=["group", "e_mentoring", "reverse", "multi_mentor"])
    some = {"organization": town.organization, "languages": ("en",)}

    def one(name, role, form, **said):
        made = record(name, role, town.program, **(some | said))
        return made.model_copy(update={"enrolments": (made.enrolments[0].model_copy(update={"formats": (form,)}),)})

    crowd = [
        one("k1", Role.mentor, Format.group, skills_offered=("sql",)),
        *(one(f"n{n}", Role.mentee, Format.group, skills_wanted=("sql",)) for n in range(4)),
        one("k2", Role.mentor, Format.e_mentoring, availability=AFTERNOON),
        one("n8", Role.mentee, Format.e_mentoring, availability=free((3, "20:00", "22:00"))),
        one("k3", Role.mentor, Format.reverse, skills_wanted=("ai", "video")),
        one("n9", Role.mentee, Format.reverse, skills_offered=("ai",)),
        one("k4", Role.mentor, Format.multi_mentor, skills_offered=("law",)),
        one("k5", Role.mentor, Format.multi_mentor, skills_offered=("go",)),
        one("n7", Role.mentee, Format.multi_mentor, skills_wanted=("law", "go")),
    ]
    names = {str(p.person_id): p.own_id for p in crowd}
    async with town.running() as client:
        await town.send(*crowd)
        run = await town.match(client, {"people": len(crowd), "revisions": len(crowd)})
        assert (run["pairs"], run["groups"], run["waitlisted"], run["gap"]) == (5, 1, {}, 0)
        facts = [fact for fact in await town.told() if fact["type"] in ("PairCreated", "GroupCreated")]
        found = {
            (fact["format"], tuple(sorted(names[m["person_id"]] for m in fact["members"])), *fact["about"]) for fact in facts
        }
        assert found == {
            ("group", ("k1", "n0", "n1", "n2", "n3")),
            ("e_mentoring", ("k2", "n8")),
            ("reverse", ("k3", "n9"), "ai"),
            ("multi_mentor", ("k4", "n7"), "law"),
            ("multi_mentor", ("k5", "n7"), "go"),
        }
        (reverse,) = [fact for fact in facts if fact["format"] == "reverse"]
        assert {names[m["person_id"]]: m["role"] for m in reverse["members"]} == {"n9": "mentor", "k3": "mentee"}
        total = sum(f["score"] * max(1, len(f["members"]) - 1) for f in facts)
        assert run["score_total"] == total
        again = await town.match(client)
        assert (again["pairs"], again["groups"], again["waitlisted"]) == (0, 0, {})
