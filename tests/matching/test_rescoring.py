"""Open proposals over real Kafka and PostgreSQL: scored anew when someone in them, or the policy, changes; races, kills, resends."""

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from services.matching import jobs, store
from services.matching.domain import runs
from services.matching.domain.model import Relationship
from services.matching.ranking import Ranking
from services.matching.rescoring import Rescoring
from shared.events import Policy, ProfileChanged, ProgramChanged, Role
from shared.tables import Table
from tests.matching.conftest import until
from tests.matching.people import person_id, record
from tests.matching.test_coordinating import browsing, ids_of, sign_in, token_of
from tests.matching.test_survives import process

pytestmark = [pytest.mark.platform, pytest.mark.usefixtures("soon")]

WANTS = {"skills_wanted": ("sql", "go"), "languages": ("en",)}
HAS = {"skills_offered": ("sql",), "languages": ("en", "fr")}


def someone(town, name, *, revision=1, capacity=1, **said):
    """A mentor k…, a mentee n… or a peer p…, as of this revision."""
    role = {"k": Role.mentor, "n": Role.mentee, "p": Role.peer}[name[0]]
    basis = HAS if role is Role.mentor else WANTS if role is Role.mentee else HAS | WANTS
    kind = {"kind": ProfileChanged} if revision > 1 else {}
    return record(
        name, role, town.program, organization=town.organization, capacity=capacity, revision=revision, **kind, **(basis | said)
    )


@asynccontextmanager
async def proposed(town, *people, **policy):
    """A client, and the pairs that a run proposes of these people."""
    await town.open(match_mode="propose", **policy)
    await town.send(*people)
    async with town.running() as client:
        run = await town.match(client, {"people": len(people), "revisions": len(people)})
        yield client, run, await pairs(client, run)


async def pairs(client, run):
    return (await client.get(f"/v1/match-runs/{run['run_id']}/pairs")).json()["pairs"]


def names(town, pair, *of):
    """Of these people those who are in the pair."""
    return {one for one in of if str(person_id(town.organization, one)) in {m["person_id"] for m in pair["members"]}}


async def known(town, name, revision):
    query = "select revision >= $2 from matching.people where id = $1"
    assert await until(lambda: town.see.fetchval(query, person_id(town.organization, name), revision))


async def up_to_date(town):
    """Nothing is left to be scored anew: neither armed nor marked."""
    query = """
    select not exists(select from matching.timers where kind = 'rescore')
    and not exists(select from matching.programs where rescore_at is not null)
    """
    assert await until(lambda: town.see.fetchval(query))


@pytest.fixture
def held(monkeypatch):
    """The answer on proposals is held back: a signal that it is there, one that lets it go, and how many there were."""
    there, go, answers = asyncio.Event(), asyncio.Event(), []
    ask = Ranking.anew

    async def later(self, question):
        answers.append(await ask(self, question))
        there.set()
        await go.wait()
        return answers[-1]

    monkeypatch.setattr(Ranking, "anew", later)
    return there, go, answers


async def test_a_changed_profile_scores_its_proposal_anew_as_a_new_run_of_the_same_people_would(town):
    changed = {"skills_wanted": ("sql",), "industry": "bank"}
    everyone = ("k1", "n1", "n2")
    async with proposed(town, *(someone(town, name) for name in everyone), capacity=1) as (client, run, (pair,)):
        (mentee,) = names(town, pair, "n1", "n2")
        await town.send(someone(town, mentee, revision=2, **changed))
        await known(town, mentee, 2)
        await up_to_date(town)
        (after,) = await pairs(client, run)
        assert (after["status"], after["proposed_score"], after["against"]) == ("proposed", pair["score"], None)
        assert after["score"] > pair["score"]

        other = type(town)(town.stage, town.see)
        await other.open(match_mode="propose")
        await other.known()
        await other.send(*(someone(other, name, **(changed if name == mentee else {})) for name in everyone))
        async with other.client(client.base_url.port) as another:
            (fresh,) = await pairs(another, await other.match(another, {"people": 3, "revisions": 3}))
        assert names(other, fresh, *everyone) == {"k1", mentee}
        assert (after["score"], after["reasons"]) == (fresh["score"], fresh["reasons"])

        async with browsing(client) as browser:
            await sign_in(browser, town)
            text = (await browser.get(f"/coordinate/runs/{run['run_id']}")).text
        told = [f"{score / 1_000_000:.2f}" for score in (pair["score"], after["score"])]
        assert f"{told[0]} → {told[1]}: scored anew on" in text
        assert f"Why they fit: {told[1]} of 1" in text

        answer = await client.post(f"/v1/relationships/{pair['relationship_id']}/approve")
        assert answer.json()["status"] == "active"
    first, again = await town.told("MatchProposed")
    assert (first.get("score_before"), again["score_before"], again["score"]) == (None, pair["score"], after["score"])
    (begun,) = await town.told("PairCreated")
    assert (begun["score"], begun["reasons"]) == (after["score"], again["reasons"])


async def test_what_changes_nothing_of_a_proposal_and_what_comes_twice_is_told_to_nobody(town):
    async with proposed(town, someone(town, "k1"), someone(town, "n1")) as (client, run, (pair,)):
        for _ in range(2):
            await town.send(
                someone(town, "n1", revision=2, time_zone="Africa/Lagos"), someone(town, "n1", revision=1, languages=())
            )
        await known(town, "n1", 2)
        await up_to_date(town)
        assert await pairs(client, run) == [pair]
        scored_for = "select scored_for from matching.relationships where id = $1"
        assert await town.see.fetchval(scored_for, UUID(pair["relationship_id"])) == "[1, 2, 1]"
        for _ in range(2):
            await town.send(someone(town, "n1", revision=3, skills_wanted=("sql",)))
        await known(town, "n1", 3)
        await up_to_date(town)
        await town.send(someone(town, "n1", revision=3, skills_wanted=("sql",)), someone(town, "k2"))
        await known(town, "k2", 1)
        await up_to_date(town)
    assert len(await town.told("MatchProposed")) == 2


async def test_a_proposal_that_a_rule_forbids_now_is_withdrawn_with_the_reason_and_found_again_when_it_holds(town):
    async with proposed(town, someone(town, "k1"), someone(town, "n1")) as (client, run, (pair,)):
        await town.send(someone(town, "n1", revision=2, languages=("yo",)))

        async def withdrawn():
            return await town.told("MatchRejected")

        (fact,) = await until(withdrawn)
        assert (fact["reason"], fact["rejected_by"]) == ("no_longer_holds", None)
        (after,) = await pairs(client, run)
        assert (after["status"], after["against"]) == ("rejected", "language")
        refused = await client.post(f"/v1/relationships/{pair['relationship_id']}/approve")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:ithaca:problem:no_longer_holds")
        assert "no language in common" in refused.text
        async with browsing(client) as browser:
            await sign_in(browser, town)
            text = (await browser.get(f"/coordinate/runs/{run['run_id']}?view=rejected")).text
        assert "This match no longer holds: no language in common. It was withdrawn" in text
        assert "Rejected or withdrawn (1)" in text

        await town.send(someone(town, "n1", revision=3))
        await known(town, "n1", 3)
        (again,) = await pairs(client, await town.match(client))
        assert (again["members"], again["status"]) == (pair["members"], "proposed")


async def test_in_a_rolling_program_those_whose_proposal_fell_are_offered_to_others_at_once(town):
    people = [someone(town, name) for name in ("k1", "n1", "n2")]
    async with proposed(town, *people, rolling=True) as (_, _, (pair,)):
        (mentee,) = names(town, pair, "n1", "n2")
        (other,) = {"n1", "n2"} - {mentee}
        await town.send(someone(town, mentee, revision=2, skills_wanted=("law",)))  # below the least score, a rule of the policy

        async def found():
            told = await town.told("MatchProposed")
            return told[1] if len(told) > 1 else None

        assert names(town, await until(found), *("n1", "n2", "k1")) == {"k1", other}
    assert [fact["reason"] for fact in await town.told("MatchRejected")] == ["no_longer_holds"]


async def test_another_policy_scores_every_proposal_anew_and_drops_what_it_forbids(town):
    people = [someone(town, "k1", rank=3), someone(town, "n1", rank=1), someone(town, "k2", rank=9), someone(town, "n2", rank=7)]
    async with proposed(town, *people, least_ranks_above=1, most_ranks_above=8) as (client, run, before):
        assert len(before) == 2
        policy = Policy.model_validate(
            {"match_mode": "propose", "most_ranks_above": 2, "weights": {"skills": 1.0, "language": 0.0, "industry": 0.0}}
        )
        await town.send(
            ProgramChanged(program=town.program, organization=town.organization, name="Crossing", policy=policy, revision=2)
        )
        query = "select revision = 2 from matching.programs where id = $1"
        assert await until(lambda: town.see.fetchval(query, town.program))
        await up_to_date(town)
        for pair in await pairs(client, run):
            near = names(town, pair, "k1", "n1", "k2", "n2") in ({"k1", "n1"}, {"k2", "n2"})
            assert (pair["status"], pair["against"]) == (("proposed", None) if near else ("rejected", "ranks"))
            assert not near or pair["score"] == 500_000


async def test_a_circle_is_scored_anew_as_a_whole_and_falls_as_a_whole(town):
    async with proposed(town, *(someone(town, f"p{n}") for n in range(4)), formats=["circle"]) as (client, run, (circle,)):
        await town.send(someone(town, "p2", revision=2, skills_wanted=("go",)))
        await known(town, "p2", 2)
        await up_to_date(town)
        (after,) = await pairs(client, run)
        assert (after["status"], after["score"] < circle["score"]) == ("proposed", True)
        await town.send(someone(town, "p2", revision=3, languages=("yo",)))
        await known(town, "p2", 3)
        await up_to_date(town)
        (gone,) = await pairs(client, run)
        assert (gone["status"], gone["against"]) == ("rejected", "language")
        free = "select count(*) from matching.people where places = '[]' and met = '[]' and organization = $1"
        assert await town.see.fetchval(free, town.organization) == 4


@pytest.mark.alone
async def test_a_thousand_changes_are_looked_at_together_and_those_of_people_without_a_proposal_not_at_all(
    town, held, monkeypatch
):
    _, go, answers = held
    go.set()
    monkeypatch.setattr(runs, "ROLLS_EVERY", 10)
    mentees = [f"n{n:02}" for n in range(20)]
    everyone = [
        someone(town, "k1", capacity=20),
        *(someone(town, name) for name in mentees),
        someone(town, "n99", languages=("yo",)),
    ]
    async with proposed(town, *everyone) as (client, run, before):
        assert len(before) == 20
        await up_to_date(town)
        await town.send(*(someone(town, "n99", revision=n, languages=("yo",)) for n in range(2, 12)))
        await known(town, "n99", 11)
        assert await town.see.fetchval("select count(*) from matching.timers where kind = 'rescore'") == 0
        assert not answers
        changes = [someone(town, name, revision=n, skills_wanted=("sql",)) for n in range(2, 52) for name in mentees]
        await town.send(*changes)
        for name in mentees:
            await known(town, name, 51)
        await up_to_date(town)
        assert [p["score"] > b["score"] for p, b in zip(await pairs(client, run), before, strict=True)] == [True] * 20
        assert 1 <= len(answers) <= 4  # one in ten seconds, however many
    again = (await town.told("MatchProposed"))[20:]
    assert Counter(fact["relationship_id"] for fact in again) == {pair["relationship_id"]: 1 for pair in before}


@pytest.mark.alone
async def test_who_changed_while_their_run_was_solved_is_scored_anew_when_it_is_over(town, monkeypatch):
    solved, go = asyncio.Event(), asyncio.Event()
    apply = jobs.Drivers._apply

    async def later(self, run):
        solved.set()
        await go.wait()
        await apply(self, run)

    monkeypatch.setattr(jobs.Drivers, "_apply", later)
    await town.open(match_mode="propose")
    await town.send(someone(town, "k1"), someone(town, "n1"))
    async with town.running() as client:
        answer = await client.post("/v1/programs/crossing/match-runs", json={"after": {"people": 2, "revisions": 2}})
        await asyncio.wait_for(solved.wait(), 120)
        await town.send(someone(town, "n1", revision=2, skills_wanted=("sql",)))
        await known(town, "n1", 2)
        go.set()
        run = await town.finished(client, answer.json()["run_id"])
        await up_to_date(town)
        (pair,) = await pairs(client, run)
        assert pair["score"] > pair["proposed_score"]
        assert run["score_total"] == pair["proposed_score"]


@pytest.mark.alone
async def test_nobody_approves_a_score_of_before_the_change_and_a_rejection_meanwhile_stays(town, held):
    there, go, _ = held
    people = [someone(town, name) for name in ("k1", "n1", "k2", "n2")]
    async with proposed(town, *people) as (client, run, (one, two)):
        for name in ("n1", "n2"):
            await town.send(someone(town, name, revision=2, skills_wanted=("sql",)))
            await known(town, name, 2)
        await asyncio.wait_for(there.wait(), 60)
        url = f"/v1/relationships/{one['relationship_id']}"
        refused = await client.post(f"{url}/approve")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:ithaca:problem:scored_anew")
        async with browsing(client) as browser:
            await sign_in(browser, town)
            where = f"/coordinate/runs/{run['run_id']}"
            text = (await browser.get(where)).text
            assert text.count("It is being scored anew") == 2
            assert "Approve " not in text
            form = {"do": "approve", "pair": ids_of(text)[0], "token": token_of(text)}
            assert "or had just changed" in (await browser.post(where, data=form)).text
        rejected = await client.post(f"/v1/relationships/{two['relationship_id']}/reject", json={"reason": "known_conflict"})
        assert rejected.json()["status"] == "rejected"
        go.set()
        await up_to_date(town)
        assert (await client.post(f"{url}/approve")).json()["status"] == "active"
        states = {pair["relationship_id"]: (pair["status"], pair["against"]) for pair in await pairs(client, run)}
        assert states == {one["relationship_id"]: ("active", None), two["relationship_id"]: ("rejected", None)}
    assert [f["relationship_id"] for f in (await town.told("MatchProposed"))[2:]] == [one["relationship_id"]]
    assert [fact["reason"] for fact in await town.told("MatchRejected")] == ["known_conflict"]


@pytest.mark.alone
async def test_of_two_changes_the_later_one_counts_though_the_answer_to_the_first_comes_after_it(town, held):
    there, go, answers = held
    async with proposed(town, someone(town, "k1"), someone(town, "n1")) as (client, run, (pair,)):
        await town.send(someone(town, "n1", revision=2, languages=("yo",)))  # the first would forbid it
        await asyncio.wait_for(there.wait(), 60)
        await town.send(someone(town, "n1", revision=3, skills_wanted=("sql",)))
        await known(town, "n1", 3)
        go.set()
        await up_to_date(town)
        (after,) = await pairs(client, run)
        assert [answer.against for some in answers for answer in some] == ["language", None]
        assert (after["status"], after["score"] > pair["score"]) == ("proposed", True)
    assert not await town.told("MatchRejected")


async def test_two_copies_score_a_proposal_anew_once(town):
    async with proposed(town, someone(town, "k1"), someone(town, "n1")) as (_, _, _), town.service("b").running():
        for revision, wanted in ((2, ("sql",)), (3, ("go",)), (4, ("sql",))):
            before = len(await town.told("MatchProposed")) + len(await town.told("MatchRejected"))
            await town.send(
                someone(town, "n1", revision=revision, skills_wanted=wanted, industry="bank"),
                someone(town, "k1", revision=revision, industry="bank"),
            )
            for name in ("n1", "k1"):
                await known(town, name, revision)
            await up_to_date(town)
            assert len(await town.told("MatchProposed")) + len(await town.told("MatchRejected")) == before + 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.alone
async def test_a_copy_that_is_killed_before_it_has_written_the_new_score_is_followed_by_one_that_does(town, unused_tcp_port):
    async with proposed(town, someone(town, "k1"), someone(town, "n1")) as (_, run, (pair,)):
        await up_to_date(town)
    hold = "select id from matching.relationships where id = $1 for update"
    waits = """
    select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%from relationships where id = any%for update%'
    """
    holder = await asyncpg.connect(town.stage.superuser)
    async with town.client(unused_tcp_port) as client:
        async with holder.transaction():
            await holder.fetchval(hold, UUID(pair["relationship_id"]))
            with process(town, unused_tcp_port) as service:
                await town.send(someone(town, "n1", revision=2, skills_wanted=("sql",)))
                assert await until(lambda: town.see.fetchval(waits))
                service.kill()
        await holder.close()
        assert await town.see.fetchval("select rescore_at is not null from matching.programs where id = $1", town.program)
        assert len(await town.told("MatchProposed")) == 1
        with process(town, unused_tcp_port):
            await up_to_date(town)
            (after,) = await pairs(client, run)
    assert after["score"] > pair["score"]
    assert [fact["score"] for fact in await town.told("MatchProposed")] == [pair["score"], after["score"]]


@pytest.mark.alone
async def test_a_program_that_can_t_be_looked_at_just_now_is_looked_at_later(town, monkeypatch):
    look, tries = Rescoring._look_at, []

    async def fails_once(self, *program):
        tries.append(program)
        if len(tries) == 1:
            raise ConnectionError
        await look(self, *program)

    async with proposed(town, someone(town, "k1"), someone(town, "n1")) as (client, run, (pair,)):
        await up_to_date(town)
        monkeypatch.setattr(Rescoring, "_look_at", fails_once)
        await town.send(someone(town, "n1", revision=2, skills_wanted=("sql",)))
        await known(town, "n1", 2)
        await up_to_date(town)
        (after,) = await pairs(client, run)
    assert (len(tries), after["score"] > pair["score"]) == (2, True)


@pytest.mark.alone
async def test_what_is_out_of_date_is_found_by_indexes(town):
    connection = await asyncpg.connect(town.stage.settings("matching").database)
    try:
        async with connection.transaction():
            await connection.execute("set local enable_seqscan = off; set local search_path = matching")
            for sql, values, index in (
                (store.TO_RESCORE, (), "programs_to_rescore"),
                (store.OUT_OF_DATE, ("o.p1", store.START, 250), "relationships_proposed"),
                (Table(Relationship, "relationships").load, ([UUID(int=1)],), "relationships_pkey"),
            ):
                plan = "\n".join(row[0] for row in await connection.fetch(f"explain {sql}", *values))
                assert index in plan, plan
                assert "Seq Scan on" not in plan, plan
    finally:
        await connection.close()
