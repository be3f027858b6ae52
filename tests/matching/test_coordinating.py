"""Coordinators' pages over real Kafka and PostgreSQL: sign in and out, what is shown, approve and reject."""

import re
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from shared import sessions
from shared.cloudevents import new_id
from shared.events import AccessKeyRevoked, ProgramClosed, Role
from tests.matching.conftest import until
from tests.matching.people import record
from tests.matching.test_flow import people

pytestmark = pytest.mark.platform

PAGE = {"Accept": "text/html"}


@asynccontextmanager
async def browsing(client):
    """A browser that hasn't signed in."""
    async with httpx.AsyncClient(base_url=client.base_url, headers=PAGE, timeout=20, follow_redirects=True) as browser:
        yield browser


async def sign_in(browser, town):
    answer = await browser.post("/coordinate/sign-in", data={"key": town.key})
    assert answer.status_code == 200, answer.text
    return answer.text


def token_of(text):
    return re.search(r'name="token" value="([^"]+)"', text)[1]


def ids_of(text):
    return list(dict.fromkeys(re.findall(r'name="pair" value="([^"]+)"', text)))


@asynccontextmanager
async def proposed(town, **policy):
    """A client, and a run of three proposals with two who wait."""
    await town.open(match_mode="propose", **policy)
    everyone = people(town)
    await town.send(*everyone)
    async with town.running() as client:
        yield client, await town.match(client, {"people": len(everyone), "revisions": len(everyone)})


async def test_a_coordinator_signs_in_with_a_key_and_out_again(town):
    await town.open()
    async with town.running() as client, browsing(client) as browser:
        assert str((await browser.get("/coordinate")).url).endswith("/coordinate/sign-in")
        text = await sign_in(browser, town)
        assert "Crossing" in text
        assert f"/coordinate/programs/{town.program}" in text
        cookie = (await client.post("/coordinate/sign-in", data={"key": town.key})).headers["set-cookie"]
        assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "samesite=strict", "path=/coordinate"}
        assert town.secret not in cookie

        assert (await browser.post("/coordinate/sign-out", data={"token": "x"})).status_code == 403
        assert "Sign in" in (await browser.post("/coordinate/sign-out", data={"token": token_of(text)})).text
        assert not browser.cookies
        assert str((await browser.get("/coordinate")).url).endswith("/coordinate/sign-in")


@pytest.mark.parametrize("key", ["", "ith_x_y", "nonsense", "ith_{id}_0000"])
@pytest.mark.alone
async def test_a_wrong_key_is_told_of_and_never_shown_again(town, key):
    await town.open()
    async with town.running() as client, browsing(client) as browser:
        answer = await browser.post("/coordinate/sign-in", data={"key": key.format(id=town.key_id)})
        assert answer.status_code == 422
        assert "This isn’t a key that holds." in answer.text
        assert "set-cookie" not in answer.headers
        assert not key or key.format(id=town.key_id) not in answer.text


@pytest.mark.alone
async def test_too_many_tries_are_refused_for_a_while(town):
    await town.open()
    async with town.running() as client, browsing(client) as browser:
        answers = [await browser.post("/coordinate/sign-in", data={"key": "ith_x_y"}) for _ in range(21)]
        assert [answer.status_code for answer in answers] == [422] * 20 + [429]
        assert int(answers[-1].headers["retry-after"]) <= 60


async def test_a_form_of_another_site_signs_nobody_in(town):
    await town.open()
    async with town.running() as client, browsing(client) as browser:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        answer = await browser.post("/coordinate/sign-in", data={"key": town.key}, headers=elsewhere)
        assert (answer.status_code, bool(browser.cookies)) == (403, False)


async def test_a_session_ends_with_its_time_and_with_its_key_and_none_can_be_made_up(town):
    await town.open()
    async with town.running() as client, browsing(client) as browser:
        await sign_in(browser, town)
        held = browser.cookies[sessions.COOKIE]
        key_id, expires, _ = held.split(".")
        assert key_id == town.key_id

        async def shows(cookie):
            url, headers = f"{client.base_url}/coordinate", PAGE | {"Cookie": f"{sessions.COOKIE}={cookie}".encode("latin-1")}
            async with httpx.AsyncClient() as bare:
                return (await bare.get(url, headers=headers)).status_code == 200

        assert await shows(held)
        secret, past = town.stage.link_secret, int(expires) - 9 * 3600
        for forged in (
            held[:-1] + ("0" if held[-1] != "0" else "1"),
            f"{key_id}.{int(expires) + 1}.{held.split('.')[2]}",
            sessions.sealed(key_id, int(expires), "guessed"),
            sessions.sealed(key_id, past, secret),
            sessions.sealed(secret[:16], int(expires), secret),
            "",
            "..",
            f"{key_id}.²³.x",
        ):
            assert not await shows(forged)

        await town.send(
            AccessKeyRevoked(key_id=town.key_id, sha256="0" * 64, organization=town.organization, rights=(), revoked=True)
        )
        gone = "select revoked from matching.access_keys where id = $1"
        assert await until(lambda: town.see.fetchval(gone, town.key_id))
        assert not await shows(held)


@pytest.mark.alone
async def test_a_session_lasts_eight_hours_of_the_platform_s_time(town):
    await town.open()
    async with town.running() as client, browsing(client) as browser:
        await sign_in(browser, town)
        assert "Your programs" in (await browser.get("/coordinate")).text
        await town.stage.move_clock(timedelta(hours=8, minutes=1))

        async def over():
            return str((await browser.get("/coordinate")).url).endswith("/coordinate/sign-in")

        assert await until(over)


async def test_a_run_is_shown_with_its_proposals_and_reasons_and_each_is_approved_or_rejected(town):
    async with proposed(town) as (client, run):
        url = f"/coordinate/runs/{run['run_id']}"
        async with browsing(client) as browser:
            await sign_in(browser, town)
            text = (await browser.get(f"/coordinate/programs/{town.program}")).text
            assert "for you to approve" in text
            assert url in text
            text = (await browser.get(url)).text
            assert "No better plan exists" in text
            assert "1 mentee: every mentor who fits has as many mentees as they can take" in text
            assert "1 mentee: nobody offers" in text
            assert "One place more of k0" in text
            assert "4.5 hours a week when both are free" in text
            assert "A language in common: English" in text
            assert "@" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
            one, two, three = ids_of(text)
            token = token_of(text)

            for done, gone in ((1, 0), (1, 0)):  # again: the same answer
                answer = await browser.post(url, data={"do": "approve", "pair": one, "token": token})
                assert (answer.status_code, f"approved={done}&gone={gone}" in str(answer.url)) == (200, True)
            assert "1 pair approved" in answer.text
            assert ids_of(answer.text) == [two, three]
            refused = await browser.post(url, data={"do": "reject", "pair": two, "token": token, "reason": "expired"})
            assert refused.status_code == 422
            answer = await browser.post(url, data={"do": "reject", "pair": two, "token": token, "reason": "known_conflict"})
            assert "1 proposal rejected" in answer.text
            answer = await browser.post(url, data={"do": "approve", "pair": [two, three, str(new_id())], "token": token})
            assert "1 pair approved" in answer.text
            assert "2 proposals had been decided meanwhile" in answer.text
            assert "Nothing is left to decide." in (await browser.get(f"{url}?view=proposed")).text
            assert "Begun (2)" in answer.text
            assert "Rejected or withdrawn (1)" in answer.text

    facts = await town.told()
    told = {f["relationship_id"]: f for f in facts if f["type"] in ("MatchApproved", "MatchRejected")}
    assert {str(key): fact["type"] for key, fact in told.items()} == {
        one: "MatchApproved", two: "MatchRejected", three: "MatchApproved",
    }  # fmt: skip
    assert (told[two]["reason"], told[two]["rejected_by"], told[one]["approved_by"]) == (
        "known_conflict", town.key_id, town.key_id,
    )  # fmt: skip
    assert sum(f["type"] == "MatchApproved" and f["relationship_id"] == one for f in facts) == 1


async def test_all_proposals_of_a_page_are_approved_at_once_and_the_next_page_follows(town):
    await town.open(match_mode="propose")
    async with town.running() as client:
        common = {"organization": town.organization, "languages": ("en",)}
        roles = [("mentor", "k"), ("mentee", "n")]
        everyone = [record(f"{c}{n:02}", role, town.program, **common) for role, c in roles for n in range(23)]
        await town.send(*everyone)
        run = await town.match(client, {"people": 46, "revisions": 46})
        url = f"/coordinate/runs/{run['run_id']}"
        async with browsing(client) as browser:
            await sign_in(browser, town)
            text = (await browser.get(url)).text
            assert "Approve all 20 on this page" in text
            (link,) = re.findall(r'href="(\?view=proposed&amp;after=[^"]+)"', text)
            assert len(ids_of((await browser.get(url + link.replace("&amp;", "&"))).text)) == 3
            answer = await browser.post(url, data={"do": "approve", "pair": ids_of(text)[:20], "token": token_of(text)})
            assert "20 pairs approved" in answer.text
            assert len(ids_of(answer.text)) == 3
        begun = "select count(*) from matching.relationships where run_id = $1 and status = 'active'"
        assert await town.see.fetchval(begun, UUID(run["run_id"])) == 20


async def test_who_waits_is_told_with_why_and_what_would_help(town):
    async with proposed(town) as (client, run), browsing(client) as browser:
        await sign_in(browser, town)
        text = (await browser.get(f"/coordinate/runs/{run['run_id']}/waiting")).text
        assert "n99" in text
        assert "Nobody offers security" in text
        assert "1 mentor more who offers it would be enough" in text
        assert "One mentor more, or one place more of a mentor" in text


async def test_fairness_has_a_page_where_the_program_audits_something(town):
    async with proposed(town, audit=["organization"]) as (client, run), browsing(client) as browser:
        await sign_in(browser, town)
        assert "How fair it was" in (await browser.get(f"/coordinate/runs/{run['run_id']}")).text
        text = (await browser.get(f"/coordinate/runs/{run['run_id']}/fairness")).text
        assert "Mentees by organization" in text
        assert "3: 60% (23% to 88%)" in text


async def test_a_run_is_started_once_however_often_its_form_is_sent(town):
    await town.open()
    await town.send(*people(town))
    async with town.running() as client, browsing(client) as browser:
        await sign_in(browser, town)
        url = f"/coordinate/programs/{town.program}"
        text = (await browser.get(url)).text
        once = re.search(r'name="once" value="([^"]+)"', text)[1]
        assert (await browser.post(url, data={"token": "x", "once": once})).status_code == 403
        urls = {
            str((await browser.post(url, data={"token": token_of(text), "once": once})).url).rpartition("/")[2] for _ in range(2)
        }
        (run_id,) = urls
        await town.finished(client, run_id)
        assert (await town.told("MatchRunRequested"))[0]["requested_by"] == town.key_id

        await town.send(ProgramClosed(program=town.program))
        closed = "select closed from matching.programs where id = $1"
        assert await until(lambda: town.see.fetchval(closed, town.program))
        text = (await browser.get(url)).text
        assert "This program is closed" in text
        assert "Start a run" not in text
    assert len(await town.told("MatchRunRequested")) == 1


async def test_another_organization_s_program_runs_and_proposals_are_not_found(town):
    async with proposed(town) as (client, run):
        stranger = type(town)(town.stage, town.see)
        await stranger.open()
        await stranger.known()
        pair = (await client.get(f"/v1/match-runs/{run['run_id']}/pairs")).json()["pairs"][0]["relationship_id"]
        async with browsing(client) as browser:
            text = await sign_in(browser, stranger)
            assert town.organization not in text
            form = {"token": token_of(text), "do": "approve", "pair": pair}
            for path in (f"programs/{town.program}", f"runs/{run['run_id']}"):
                assert (await browser.get(f"/coordinate/{path}")).status_code == 404
                assert (await browser.post(f"/coordinate/{path}", data=form)).status_code == 404
            for page in ("waiting", "fairness"):
                assert (await browser.get(f"/coordinate/runs/{run['run_id']}/{page}")).status_code == 404
        status = "select status from matching.relationships where id = $1"
        assert await town.see.fetchval(status, UUID(pair)) == "proposed"


async def test_a_form_without_this_session_s_token_changes_nothing(town):
    async with proposed(town) as (client, run):
        url = f"/coordinate/runs/{run['run_id']}"
        async with browsing(client) as browser:
            await sign_in(browser, town)
            (pair, *_) = ids_of((await browser.get(url)).text)
            for token in ("", "0" * 43):
                answer = await browser.post(url, data={"do": "approve", "pair": pair, "token": token})
                assert answer.status_code == 403
                assert "Nothing was changed." in answer.text
        status = "select status from matching.relationships where id = $1"
        assert await town.see.fetchval(status, UUID(pair)) == "proposed"


async def test_a_circle_is_shown_with_all_of_its_members_and_approved_as_one(town):
    await town.open(formats=["circle"], match_mode="propose")
    crowd = [
        record(
            f"p{n}", Role.peer, town.program, organization=town.organization, languages=("en",), skills_offered=("sql",),
            skills_wanted=("go",), years_experience=float(n),
        )
        for n in range(4)
    ]  # fmt: skip
    await town.send(*crowd)
    async with town.running() as client:
        run = await town.match(client, {"people": 4, "revisions": 4})
        async with browsing(client) as browser:
            await sign_in(browser, town)
            url = f"/coordinate/runs/{run['run_id']}"
            text = (await browser.get(url)).text
            assert "p0, p1, p2 and p3" in text
            assert text.count("<strong>Peer p") == 4
            assert "between them at work" in text
            assert "erased" not in text
            assert "mentor" not in text.lower()
            answer = await browser.post(url, data={"do": "approve", "pair": ids_of(text)[:1], "token": token_of(text)})
            assert "approved=1&gone=0" in str(answer.url)
    (begun,) = await town.told("GroupCreated")
    assert len(begun["members"]) == 4
